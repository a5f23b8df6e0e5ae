"""What somebody nested as deep as it likes is cut where it is too deep, and nothing beside it is lost."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offbus_steps.kubernetes.rest.deep_json import DEEPEST, parsed

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def nested(depth: int, innermost: str = "1", opens: str = '{"a":', closes: str = "}") -> str:
    return opens * depth + innermost + closes * depth


def depth_of(value: Any) -> int:
    depth, level = 0, [value]
    while level := [one for many in level if isinstance(many, (dict, list)) for one in inner(many)]:
        depth += 1
    return depth


def inner(value: dict[str, Any] | list[Any]) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else value


@given(VALUES)
def test_what_is_not_too_deep_is_as_it_is(value: Any) -> None:
    assert parsed(json.dumps(value).encode()) == value
    deep = json.dumps({"items": [value, "DEEP"]}).replace('"DEEP"', nested(5000))
    found = parsed(deep.encode())["items"]
    assert found[0] == value
    assert depth_of(found[1]) <= DEEPEST


@pytest.mark.parametrize(("opens", "closes"), [('{"a":', "}"), ("[", "]"), ('[{"\\"[{":', "}]")])
def test_what_is_cut_off_still_differs(opens: str, closes: str) -> None:
    """Changes are seen, wherever they are; a text with brackets in it is none."""
    first, same, second = (
        json.dumps(parsed(nested(5000, one, opens, closes).encode())) for one in ('"]}["', '"]}["', "2")
    )
    assert first == same
    assert first != second


@pytest.mark.parametrize("text", ["", "{", '{"a"', nested(5000)[:-1], "[" * 5000, "]" * 5000, '"\\'])
def test_what_is_no_json_is_told_as_that(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parsed(text.encode())
