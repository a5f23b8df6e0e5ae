"""Functions that packages add to expressions: typed at load, refused where they do not fit, and errors if they fail."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import Field

from offbus.findings.model import Position
from offbus.function import Function
from offbus.language.cel import types
from offbus.language.cel.expressions import Compiler, EvaluationError, Expression
from offbus.language.cel.functions import MOST_OF_RESULT
from offbus.language.cel.scope import Scope
from offbus.language.cel.trouble import Trouble
from offbus.language.cel.vocabulary import Vocabulary
from offbus.language.load import load_scenario
from offbus.plugins import FUNCTIONS, Plugin, Registry
from offbus.step import Outputs
from tests.kits.language.drill_types import ENVIRONMENTS, STEPS, drill


class Maker(Outputs):
    """A part of a record."""

    name: str = Field(description="Who makes it.")


class Part(Outputs):
    """A record."""

    number: int = Field(description="Its number.")
    fragile: bool = Field(description="Whether it breaks.")
    wait: timedelta = Field(timedelta(seconds=3), description="How long it takes.")
    tags: list[str] = Field([], description="What it is called.")
    facts: dict[str, int] = Field({}, description="What is known of it.")
    maker: Maker = Field(Maker(name="acme"), description="Who makes it.")
    weight: float | None = Field(None, description="What it weighs, if that is known.")


def part(number: int) -> Part:
    if number > 900:
        raise ValueError(f"there is no part {number}: \x1b[31m\ud800")
    return Part(number=number, fragile=number == 79, tags=["a", "b"], facts={"legs": 4})


def share(one: float, of: float) -> float:
    return one / of


def longer(what: timedelta, by: int) -> timedelta:
    return what * by


def named(text: str, *, times: int = 1) -> str:
    return text * times


def repeated(text: str, times: int) -> str:
    return text * times


def untyped(what) -> int:  # type: ignore[no-untyped-def]
    return 1


def no_number(_: int) -> int:
    return "x"  # type: ignore[return-value]


def no_text(_: int) -> str:
    return "\ud800"


def nothing(_: int) -> int | None:
    return None


def breaks(_: int) -> int:
    raise KeyError("\ud800k")


def pi() -> float:
    return 3.14


def function(name: str, call: Callable[..., Any]) -> Function:
    return Function(name=name, summary="A test's.", call=call)


CALLS: Mapping[str, Callable[..., Any]] = {
    "part": part, "share": share, "longer": longer, "named": named, "repeated": repeated, "untyped": untyped,
    "no_number": no_number, "no_text": no_text, "nothing": nothing, "breaks": breaks, "pi": pi,
}  # fmt: skip
GIVEN = Registry.of(
    steps=STEPS,
    environments=ENVIRONMENTS,
    functions={name: function(name, call) for name, call in CALLS.items()},
)
REGISTRY = Registry(
    {**GIVEN._plugins, (FUNCTIONS, "absent"): Plugin(FUNCTIONS, "absent", "acme_nowhere:X", "acme", "2.1")},
    GIVEN._loaded,
)
NAMES = {"n": types.INT, "t": types.DURATION, "d": types.DOUBLE, "s": types.STRING}
VALUES = {"n": 79, "t": timedelta(seconds=2), "d": 0.5, "s": "abc"}


def compiled(text: str) -> Expression | list[Trouble]:
    return Compiler(REGISTRY).compile(text, Vocabulary(inputs=NAMES), Position("x"))


def value(text: str) -> Any:
    found = compiled(text)
    assert isinstance(found, Expression), found
    return found.value(Scope(inputs=VALUES))


HAVE_VALUES = {
    "part(inputs.n).fragile": (types.BOOL, True),
    "!part(48).fragile && part(inputs.n).number == 79": (types.BOOL, True),
    "part(79).wait + inputs.t": (types.DURATION, timedelta(seconds=5)),
    "part(1).maker.name + inputs.s": (types.STRING, "acmeabc"),
    "part(1).tags[1]": (types.STRING, "b"),
    "part(1).tags.size()": (types.INT, 2),
    "part(1).facts.legs": (types.INT, 4),
    "part(part(7).number).number": (types.INT, 7),
    "[48, 79].filter(n, part(n).fragile)": (types.CelType("list", (types.INT,)), [79]),
    "part ( 7 ) . number // of a part(8).number": (types.INT, 7),
    "share(inputs.d, 2.0)": (types.DOUBLE, 0.25),
    "longer(inputs.t, 3)": (types.DURATION, timedelta(seconds=6)),
    "repeated(inputs.s, 2)": (types.STRING, "abcabc"),
    "pi() > 3.0": (types.BOOL, True),
}


@pytest.mark.parametrize(("text", "wanted"), HAVE_VALUES.items(), ids=HAVE_VALUES.keys())
def test_a_function_has_a_type_and_a_value(text: str, wanted: tuple[types.CelType, Any]) -> None:
    found = compiled(text)
    assert isinstance(found, Expression), found
    assert (found.type, value(text)) == wanted


UNTYPED = "offbus.functions '%s' of package (given) has no types for expressions: its parameter "
ABSENT = (
    "offbus.functions 'absent' of package acme 2.1 cannot be loaded: "
    "ModuleNotFoundError: No module named 'acme_nowhere'"
)
REFUSED = {
    "part(inputs.s).fragile": ("OB403", "part() does not take string", 4),
    "1 == part(inputs.n).fragile": ("OB403", "`==` does not take int and bool", 2),
    "part(7).number && inputs.x == 1": ("OB402", "there is no 'inputs.x'", 18),
    "part(7).fragile && part(8).number": ("OB403", "`&&` does not take bool and int", 16),
    "part(inputs.n).fragil": ("OB402", "part() has no field 'fragil'", 14),
    "part(1).maker.nam": ("OB402", "part() has no field 'maker.nam'", 7),
    "part(1).maker": ("OB402", "part() has no field 'maker'", 7),
    "part(1) == part(1)": ("OB403", "part() gives a whole object, and an expression takes a field of it", 0),
    "part(1).size()": ("OB403", "part() gives a whole object, and an expression takes a field of it", 0),
    "part().number": ("OB403", "part(number: int) takes 1 argument, not 0", 0),
    "part([1, 2], {1: 2}).number": ("OB403", "part(number: int) takes 1 argument, not 2", 0),
    "pi(1)": ("OB403", "pi() takes 0 arguments, not 1", 0),
    "parts(1)": ("OB402", "there is no function 'parts'", 0),
    "'x'.part()": ("OB402", "there is no function 'part'", 4),
    "part(7": ("OB401", "not an expression: it ends too early", 6),
    "true || untyped(1) == 1": (
        "OB414",
        f"{UNTYPED % 'untyped'}what is not positional, or has no annotation",
        8,
    ),
    "named('a')": ("OB414", f"{UNTYPED % 'named'}times is not positional, or has no annotation", 0),
    "absent(1)": ("OB414", ABSENT, 0),
}


@pytest.mark.parametrize(("text", "wanted"), REFUSED.items(), ids=REFUSED.keys())
def test_a_call_that_does_not_fit_is_refused_where_it_stands(text: str, wanted: tuple[str, str, int]) -> None:
    found = compiled(text)
    assert isinstance(found, list)
    assert (found[0].code.value, found[0].message, found[0].start) == wanted


def test_a_near_field_and_a_near_function_are_suggested() -> None:
    field, near = compiled("part(1).fragil"), compiled("parts(1)")
    assert isinstance(field, list)
    assert isinstance(near, list)
    assert field[0].suggestion == ".fragile"
    assert "its fields: facts, fragile, maker.name, number" in (field[0].hint or "")
    assert near[0].suggestion == "part"
    assert "CEL has its own, and installed packages: absent, breaks, longer" in (near[0].hint or "")


FAIL = {
    "part(901).fragile": r"part(): there is no part 901: \x1b[31m\xd800",
    "part(1).weight > 1.0": "part().weight has no value for what it was given",
    "nothing(1) == 1": "nothing() has no value for what it was given",
    "breaks(1) == 1": "breaks() of package (given) failed: KeyError: '\\ud800k'",
    "no_number(1) == 1": "no_number() of package (given) gave 'x', which is not a int",
    "repeated(inputs.s, 100000) == ''": f"gave more than {MOST_OF_RESULT} characters or items",
    "no_text(1) == 'x'": "construction from null",
}


@pytest.mark.parametrize(("text", "why"), FAIL.items(), ids=FAIL.keys())
def test_a_function_that_fails_is_an_error_and_never_false(text: str, why: str) -> None:
    with pytest.raises(EvaluationError) as caught:
        value(text)
    assert caught.value.message.startswith(f"{text}: ")
    assert why in caught.value.message


def test_what_a_function_may_give_is_counted_before_it_is_evaluated() -> None:
    assert value("[1, 2].map(n, repeated('a', n))") == ["a", "aa"]
    many = "[" + ",".join(["1"] * 3000) + "].map(n, repeated('a', 1))"
    with pytest.raises(EvaluationError, match="it may make more than"):
        value(many)


def test_one_that_gives_a_number_costs_little() -> None:
    assert value("[" + ",".join(["1"] * 3000) + "].map(n, part(n).number).size()") == 3000


@pytest.mark.parametrize(
    ("name", "call", "why"),
    [
        ("Part", part, "must be a lower-case identifier"),
        ("a-b", part, "must be a lower-case identifier"),
        ("size", part, "is taken by expressions themselves"),
        ("inputs", part, "is taken by expressions themselves"),
        ("a__b", part, "is taken by expressions themselves"),
    ],
)
def test_a_function_says_at_import_what_is_wrong_with_it(name: str, call: Any, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        function(name, call)


def test_what_is_no_function_is_refused() -> None:
    with pytest.raises(TypeError, match="call must be a function, not 7"):
        function("seven", 7)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["size", "int", "string", "matches", "duration", "type", "dyn"])
def test_the_names_that_the_library_has_are_reserved(name: str) -> None:
    from cel_expr_python import cel

    overload = cel.Overload(id="x", return_type=cel.Type.INT, parameters=[cel.Type.INT], impl=part)
    with pytest.raises(RuntimeError, match="declared multiple times"):
        cel.NewEnv(functions=[cel.FunctionDecl(name, [overload])]).compile("1")
    with pytest.raises(ValueError, match="is taken"):
        function(name, part)


def test_a_scenario_uses_one_in_a_condition_a_param_and_an_expectation(tmp_path: Path) -> None:
    text = drill(
        """\
        {id: d, uses: deploy}
        {id: a, uses: ask, when: "part(inputs.xid).fragile"}
        {id: i, uses: inject, with: {xid: "${{ part(inputs.xid).number + 1 }}"}}
        """,
        "inputs: {xid: {type: integer, default: 79}}\nexpect: [\"part(inputs.xid).maker.name == 'acme'\"]\n",
    )
    path = tmp_path / "drill.yaml"
    path.write_text(text, encoding="utf-8")
    scenario = load_scenario(path, registry=REGISTRY)
    scope = Scope(inputs=scenario.inputs)
    when = scenario.steps[1].when
    assert when is not None
    assert when.evaluate(scope)
    assert scenario.steps[2].params.data["xid"] == 80
    assert scenario.expect[0].expression.evaluate(scope)


class Inner(Outputs):
    """In a record."""

    b: int = 1
    b_c: int = 2


class Alike(Outputs):
    """Fields that look alike where a name is made of their path."""

    a: Inner = Inner()
    a_b: int = 3
    a_b_c: int = 4
    a_0b: int = 5
    a__b: int = 6


def alike(_: int) -> Alike:
    return Alike()


def test_fields_whose_paths_look_alike_are_not_taken_for_one_another() -> None:
    compiler = Compiler(Registry.of(functions={"f": Function(name="f", summary="x", call=alike)}))
    wanted = {"a.b": 1, "a.b_c": 2, "a_b": 3, "a_b_c": 4, "a_0b": 5, "a__b": 6}
    for fields in (wanted, dict(reversed(wanted.items()))):
        text = f"[{', '.join(f'f(1).{field}' for field in fields)}]"
        compiled = compiler.compile(text, Vocabulary(), Position("x"))
        assert isinstance(compiled, Expression)
        assert compiled.value(Scope()) == list(fields.values())
