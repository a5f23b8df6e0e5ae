"""What expressions compute with durations and measured numbers, and what is refused."""

import math
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offbus.findings.model import Position
from offbus.language.cel import types
from offbus.language.cel.expressions import Compiler, EvaluationError, Expression
from offbus.language.cel.scope import Scope
from offbus.language.cel.trouble import Trouble
from offbus.language.cel.types import CelType
from offbus.language.cel.vocabulary import Vocabulary

INPUTS = {
    "a": types.DURATION,
    "b": types.DURATION,
    "x": types.DOUBLE,
    "n": types.INT,
    "t": types.TIMESTAMP,
    "l": CelType("list", (types.DOUBLE,)),
    "m": CelType("list", (types.INT,)),
    "d": types.DYN,
    "s": types.STRING,
}
COMPILER = Compiler()
DURATIONS = st.timedeltas(timedelta(days=-400), timedelta(days=400))


def compiled(text: str) -> Expression:
    found = COMPILER.compile(text, Vocabulary(INPUTS), Position("x"))
    assert isinstance(found, Expression), found
    return found


def refused(text: str) -> Trouble:
    found = COMPILER.compile(text, Vocabulary(INPUTS), Position("x"))
    assert isinstance(found, list)
    return found[0]


def value(text: str, **inputs: Any) -> Any:
    return compiled(text).value(Scope(inputs=inputs))


@pytest.mark.parametrize(
    ("text", "of", "wanted"),
    [
        ("inputs.a / inputs.b", "double", 1.5),
        ("inputs.a / inputs.b < 5.0", "bool", True),
        ("inputs.a * 1.2", "duration", timedelta(seconds=3.6)),
        ("1.2 * inputs.a", "duration", timedelta(seconds=3.6)),
        ("inputs.a * 2", "duration", timedelta(seconds=6)),
        ("2 * inputs.a", "duration", timedelta(seconds=6)),
        ("inputs.a / 2", "duration", timedelta(seconds=1.5)),
        ("inputs.a / 2.0", "duration", timedelta(seconds=1.5)),
        ("inputs.a < inputs.b * 2.0", "bool", True),
        ('duration("1500ms").seconds()', "double", 1.5),
        ("(inputs.a - inputs.b).seconds()", "double", 1.0),
        ("min(inputs.a, inputs.b)", "duration", timedelta(seconds=2)),
        ("max(inputs.a, inputs.b, inputs.a * 3)", "duration", timedelta(seconds=9)),
        ("min(3, 1, 2)", "int", 1),
        ("max(1.5, inputs.x)", "double", 1.5),
        ('max(inputs.t, timestamp("2030-01-01T00:00:00Z")) == inputs.t', "bool", False),
        ("min(inputs.l)", "double", 1.0),
        ("max(inputs.m)", "int", 5),
        ("inputs.l.quantile(0.5)", "double", 2.0),
        ("inputs.m.quantile(1.0)", "int", 5),
        ("[1.0, 2.0, 3.0].quantile(0.34)", "double", 2.0),
        ("[0.5, inputs.x].map(i, i * 2.0).quantile(1.0)", "double", 2.4),
        ("7 / 2 * 2", "int", 6),
        ("7.0 / 2.0", "double", 3.5),
        ("2u * 3u / 2u", "uint", 3),
        ("-7 / 2", "int", -3),
    ],
)
def test_what_it_gives(text: str, of: str, wanted: Any) -> None:
    from datetime import UTC, datetime

    expression = compiled(text)
    assert expression.type.name == of
    inputs = {
        "a": timedelta(seconds=3), "b": timedelta(seconds=2), "x": 1.2, "n": 3, "l": [3.0, 1.0, 2.0], "m": [5, 4],
        "t": datetime(2026, 1, 1, tzinfo=UTC),
    }  # fmt: skip
    found = expression.value(Scope(inputs=inputs))
    assert found == (pytest.approx(wanted) if isinstance(wanted, float) else wanted)


@given(a=DURATIONS, b=DURATIONS.filter(bool), x=st.floats(-1e3, 1e3))
def test_durations_compute_as_their_seconds_do(a: timedelta, b: timedelta, x: float) -> None:
    assert value("inputs.a / inputs.b", a=a, b=b) == pytest.approx(a.total_seconds() / b.total_seconds())
    product = value("inputs.a * inputs.x", a=a, x=x)
    assert product == value("inputs.x * inputs.a", a=a, x=x)
    assert product.total_seconds() == pytest.approx(a.total_seconds() * x, abs=1e-5)
    assert value("inputs.a.seconds()", a=a) == a.total_seconds()
    assert value("min(inputs.a, inputs.b)", a=a, b=b) == min(a, b)
    assert value("max(inputs.a, inputs.b)", a=a, b=b) == max(a, b)


@given(st.lists(st.floats(-1e9, 1e9), min_size=1), st.floats(0, 1, exclude_min=True))
def test_a_quantile_is_one_of_the_values_and_bounds_its_share(values: list[float], share: float) -> None:
    found = value(
        f"inputs.l.quantile({share!r})" if "e" not in repr(share) else "inputs.l.quantile(1.0)", l=values
    )
    assert found in values
    if "e" not in repr(share):
        assert sum(one <= found for one in values) >= math.ceil(share * len(values))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("inputs.a / inputs.b", "a duration is divided by a duration of 0s"),
        ("inputs.a / 0", "a duration is divided by 0"),
        ("inputs.a / 0.0", "a duration is divided by 0"),
        ("inputs.a * 1e300", "is no duration"),
        ("inputs.a * 1e12", "is no duration"),
        ("inputs.a * (0.0 / 0.0)", "is no duration"),
        ("inputs.a / 1e-300", "is no duration"),
        ("min(inputs.l)", "min() of an empty list"),
        ("max(5.0, 0.0 / 0.0) <= 5.0", "max() of what is no number"),
        ("min(0.0 / 0.0, 5.0) >= 1.0", "min() of what is no number"),
        ("max([1.0, 0.0 / 0.0]) <= 1.0", "max() of what is no number"),
        ("[9.0, 0.0 / 0.0, 1.0].quantile(1.0) <= 1.0", "quantile() of what is no number"),
        ("inputs.l.quantile(0.5)", "quantile() of an empty list"),
        ("[1.0].quantile(0.0)", "greater than 0 and at most 1"),
        ("[1.0].quantile(1.5)", "greater than 0 and at most 1"),
        ("min(inputs.d)", "takes numbers"),
        ("7 / 0", "divide by zero"),
        ("9223372036854775807 * 2", "overflow"),
    ],
)
def test_what_has_no_value_is_an_error_that_says_why(text: str, says: str) -> None:
    inputs = {"a": timedelta(days=400), "b": timedelta(0), "l": [], "d": ["x"]}
    with pytest.raises(EvaluationError) as caught:
        value(text, **inputs)
    assert says in caught.value.why


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("inputs.a * inputs.b", "`*` does not take duration and duration"),
        ("inputs.x / inputs.a", "`/` does not take double and duration"),
        ("inputs.n * inputs.x", "`*` does not take int and double"),
        ("min(inputs.a, 1)", "min() does not take duration and int"),
        ('min("a", "b")', "min() does not take string and string"),
        ("min([inputs.a, inputs.b]) > inputs.a", "min() does not take list(duration)"),
        ("inputs.l.quantile(1)", "quantile() does not take list(double) and int"),
        ("inputs.x.seconds()", "seconds() does not take double"),
    ],
)
def test_types_are_checked_at_load(text: str, says: str) -> None:
    assert says in refused(text).message


@pytest.mark.parametrize(
    ("text", "warns"),
    [
        ("inputs.a.getMilliseconds() > 5", True),
        ('duration("1500ms").getMilliseconds() == 500', True),
        ("(inputs.a - inputs.b).getSeconds() == 1", True),
        ("inputs.t.getMilliseconds() == 500", False),
        ('timestamp("2020-01-01T00:00:00Z").getMilliseconds() == 0', False),
        ("inputs.a.getHours() == 1", False),
    ],
)
def test_functions_that_surprise_have_a_hint(text: str, warns: bool) -> None:
    found = compiled(text).surprises
    assert [one.code for one in found] == ["OB415"] * warns
    for one in found:
        assert text[one.start :].startswith("get")
        assert one.hint == "all of it as a number of seconds: .seconds()"


def test_what_is_unset_is_an_error_in_arithmetic_too() -> None:
    with pytest.raises(EvaluationError, match=r"inputs\.b was not set"):
        value("inputs.a / inputs.b > 1.0 || inputs.a > inputs.b", a=timedelta(seconds=1))
