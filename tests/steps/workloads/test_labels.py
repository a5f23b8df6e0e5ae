"""Selectors, in all forms that Kubernetes has: one rule set."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offbus_steps.port import Invalid
from offbus_steps.workloads.labels import Expression, matches, parse_selector, selector_text, selects

keys = st.sampled_from(["a", "b", "nvidia.com/gpu.clique", "in", "notin"])
words = st.sampled_from(["", "x", "y", "1", "2.3-z"])
labels = st.dictionaries(keys, words, max_size=4)
expressions = st.builds(
    Expression,
    key=keys,
    operator=st.sampled_from(["In", "NotIn", "Exists", "DoesNotExist"]),
    values=st.lists(words, min_size=1, max_size=3).map(tuple),
)


@given(labels, st.lists(expressions, max_size=4), labels)
def test_the_text_of_a_selector_selects_what_the_selector_does(
    wanted: dict[str, str], more: list[Expression], found: dict[str, str]
) -> None:
    spec = {"matchLabels": wanted, "matchExpressions": [one.model_dump() for one in more]}
    assert parse_selector(selector_text(wanted, more))(found) == selects(spec, found)


@given(expressions, labels)
def test_an_expression_and_its_opposite_never_agree(one: Expression, found: dict[str, str]) -> None:
    opposite = {"In": "NotIn", "NotIn": "In", "Exists": "DoesNotExist", "DoesNotExist": "Exists"}[
        one.operator
    ]
    assert matches(one.model_dump(), found) != matches({**one.model_dump(), "operator": opposite}, found)


@pytest.mark.parametrize(
    ("text", "labels", "selected"),
    [
        ("", {}, True),
        ("a=b", {"a": "b"}, True),
        ("a==b", {"a": "c"}, False),
        ("a!=b", {}, True),
        ("a,!b", {"a": ""}, True),
        ("a,!b", {"a": "", "b": ""}, False),
        ("nvidia.com/x = y , a=b", {"nvidia.com/x": "y", "a": "b"}, True),
        ("a in (b, c)", {"a": "c"}, True),
        ("a in (b,c)", {}, False),
        ("a notin (b),c=d", {"c": "d"}, True),
        ("a notin (b),c=d", {"a": "b", "c": "d"}, False),
        ("a>3", {"a": "4"}, True),
        ("a<3", {"a": "4"}, False),
        ("in in (in)", {"in": "in"}, True),
    ],
    ids=str,
)
def test_selectors_in_words(text: str, labels: dict[str, str], *, selected: bool) -> None:
    assert parse_selector(text)(labels) is selected


@pytest.mark.parametrize(
    "text", ["=b", "a=b=c", "!a=b", "a b", "a in b", "a in (b", "a,,b", "a in (b)c", ",", "a=b,"], ids=str
)
def test_a_selector_that_is_not_understood_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="selector"):
        parse_selector(text)


def test_null_selects_nothing_and_empty_everything() -> None:
    assert not selects(None, {"a": "b"})
    assert selects({}, {"a": "b"})
    assert selects({}, {})


@pytest.mark.parametrize(
    ("operator", "values", "label", "matched"),
    [
        ("Gt", ["3"], "4", True),
        ("Gt", ["3"], "3", False),
        ("Lt", ["3"], "-1", True),
        ("Gt", ["3"], None, False),
        ("Lt", ["3"], None, False),
        ("Gt", ["3"], "many", False),
        ("Gt", ["x"], "4", False),
        ("Gt", [], "4", False),
    ],
)
def test_numbers_are_compared_as_numbers(
    operator: str, values: list[str], label: str | None, *, matched: bool
) -> None:
    expression: dict[str, Any] = {"key": "n", "operator": operator, "values": values}
    assert matches(expression, {} if label is None else {"n": label}) is matched


def test_an_operator_that_does_not_exist_is_refused() -> None:
    with pytest.raises(Invalid, match="'Like' is not In, NotIn"):
        selects({"matchExpressions": [{"key": "a", "operator": "Like"}]}, {})
