"""Differences between two fingerprints: each told by its own name, also those of items that hold many."""

from hypothesis import given
from hypothesis import strategies as st

from offbus.runner.fingerprint_diff import differences, value_of

LABELS = "Node/n labels"


def test_what_holds_many_is_told_one_by_one() -> None:
    before = {f"{LABELS}[]": {"kept": "1", "changed": "a", "gone": "b"}, "Node/n taints": []}
    after = {f"{LABELS}[]": {"kept": "1", "changed": "c", "new": "d"}, "Node/n taints": ["x"]}
    assert differences(before, after) == [
        (f"{LABELS}[changed]", "was 'a', is 'c'"),
        (f"{LABELS}[gone]", "was 'b', is gone"),
        (f"{LABELS}[new]", "was not there, is 'd'"),
        ("Node/n taints", "was [], is ['x']"),
    ]


def test_a_fingerprint_of_an_older_version_that_has_each_by_itself_compares() -> None:
    old = {f"{LABELS}[a]": "1", f"{LABELS}[b]": "2", "Node/n taints": []}
    assert differences(old, {f"{LABELS}[]": {"a": "1", "b": "2"}, "Node/n taints": []}) == []
    assert differences(old, {f"{LABELS}[]": {"a": "1"}, "Node/n taints": []}) == [
        (f"{LABELS}[b]", "was '2', is gone")
    ]


def test_the_value_of_a_name_that_was_told() -> None:
    items = {f"{LABELS}[]": {"a": "1"}, "Node/n taints": ["x"]}
    assert value_of(items, f"{LABELS}[a]") == "1"
    assert value_of(items, f"{LABELS}[b]") is None
    assert value_of(items, "Node/n taints") == ["x"]
    assert value_of(items, "Node/m taints") is None


def test_what_only_explains_a_difference_makes_none() -> None:
    """A key that ends with `()`; and it is not told."""
    one = {"count": 1, "on()": "0-3"}
    assert differences({"a": one, "b": {"of()": 1}}, {"a": {"count": 1, "on()": "7"}, "c": {"of()": 1}}) == []
    assert differences({"a": one}, {"a": {"count": 2}}) == [("a", "was {'count': 1}, is {'count': 2}")]
    assert differences({"a": one}, {}) == [("a", "was {'count': 1}, is gone")]
    assert value_of({"a": one}, "a") == one


FLAT = st.dictionaries(st.sampled_from("abcd"), st.integers(0, 2))


@given(before=FLAT, after=FLAT)
def test_together_or_each_by_itself_says_the_same(before: dict[str, int], after: dict[str, int]) -> None:
    def alone(items: dict[str, int]) -> dict[str, int]:
        return {f"x[{key}]": value for key, value in items.items()}

    together = differences({"x[]": before}, {"x[]": after})
    assert together == differences(alone(before), alone(after))
    assert {name for name, _ in together} == {
        f"x[{key}]" for key in before.keys() | after.keys() if before.get(key) != after.get(key)
    }
