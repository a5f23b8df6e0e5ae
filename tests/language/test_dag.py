"""The guarantees of `offbus.dag`, each by its number, on examples and on any graph."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offbus.dag import CycleError, build

Needs = dict[str, list[str]]


@st.composite
def acyclic(draw: st.DrawFn) -> Needs:
    """Any acyclic graph, its steps in any file order."""
    count = draw(st.integers(0, 12))
    names = [f"s{n}" for n in range(count)]
    edges = {
        name: draw(st.lists(st.sampled_from(names[:n]), max_size=4)) if n else []
        for n, name in enumerate(names)
    }
    return {name: edges[name] for name in draw(st.permutations(names))}


@st.composite
def any_graph(draw: st.DrawFn) -> Needs:
    names = [f"s{n}" for n in range(draw(st.integers(1, 7)))]
    return {name: draw(st.lists(st.sampled_from(names), max_size=3)) for name in names}


def reachable(needs: Needs, start: str) -> set[str]:
    """What `start` needs, directly or not: the definition, spelt out."""
    found: set[str] = set()
    todo = list(needs[start])
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo += needs[name]
    return found


@given(acyclic())
def test_1_and_2_every_step_once_and_after_what_it_needs(needs: Needs) -> None:
    order = build(needs).order
    assert sorted(order) == sorted(needs)
    for step, wanted in needs.items():
        for name in wanted:
            assert order.index(name) < order.index(step)


@given(acyclic())
def test_3_an_order_that_already_fits_is_kept(needs: Needs) -> None:
    fitting = {step: needs[step] for step in build(needs).order}
    assert build(fitting).order == tuple(fitting)


def test_3_only_what_is_needed_further_up_moves() -> None:
    assert build({"a": [], "b": ["d"], "c": [], "d": [], "e": []}).order == ("a", "d", "b", "c", "e")


@given(acyclic())
def test_4_the_same_graph_gives_the_same_order(needs: Needs) -> None:
    assert build(needs).order == build(dict(needs)).order


@given(any_graph())
def test_5_a_cycle_is_refused_with_a_way_round(needs: Needs) -> None:
    cyclic = any(step in reachable(needs, step) for step in needs)
    if not cyclic:
        assert len(build(needs).order) == len(needs)
        return
    with pytest.raises(CycleError) as caught:
        build(needs)
    path = caught.value.path
    assert path[0] == path[-1]
    assert len(set(path)) == len(path) - 1
    assert all(need in needs[step] for step, need in pairwise(path))


def test_5_the_way_round_is_a_shortest_one_and_the_message_spells_it() -> None:
    with pytest.raises(CycleError, match=r"^a needs b needs a$"):
        build({"a": ["c", "b"], "b": ["a"], "c": ["d"], "d": ["b"]})


@given(acyclic())
def test_6_ancestors_are_what_is_needed_in_plan_order(needs: Needs) -> None:
    dag = build(needs)
    for step in needs:
        assert set(dag.ancestors(step)) == reachable(needs, step)
        assert list(dag.ancestors(step)) == [
            other for other in dag.order if other in set(dag.ancestors(step))
        ]


@given(acyclic(), st.integers(0, 5))
def test_6_of_more_ancestors_those_are_told_that_are_fewest_needs_away(needs: Needs, most: int) -> None:
    dag = build(needs)
    for step in needs:
        away, ring = {step: 0}, {step}
        while ring := {need for one in ring for need in needs[one]} - away.keys():
            away |= dict.fromkeys(ring, max(away.values()) + 1)
        told = dag.ancestors(step, most)
        assert list(told) == [one for one in dag.ancestors(step) if one in told]
        nearest = sorted(away[one] for one in away if one != step)
        assert sorted(away[one] for one in told) == nearest[:most]


@given(acyclic())
def test_7_is_ancestor_agrees_with_ancestors(needs: Needs) -> None:
    dag = build(needs)
    for step in needs:
        for other in needs:
            assert dag.is_ancestor(other, step) == (other in dag.ancestors(step))


SHAPES = {
    "a sequence": {f"s{n}": [f"s{n - 1}"] if n else [] for n in range(10_000)},
    "a sequence written backwards": {f"s{n}": [f"s{n - 1}"] if n else [] for n in reversed(range(10_000))},
    "a fan and a join": {
        "root": [],
        **{f"s{n}": ["root"] for n in range(9_998)},
        "join": [f"s{n}" for n in range(9_998)],
    },
    "a ladder": {f"s{n}": [f"s{m}" for m in (n - 1, n - 2) if m >= 0] for n in range(10_000)},
}


@pytest.mark.parametrize("needs", SHAPES.values(), ids=SHAPES.keys())
def test_8_ten_thousand_steps_of_any_depth(needs: Needs) -> None:
    dag = build(needs)
    assert len(dag.order) == 10_000
    first, last = dag.order[0], dag.order[-1]
    assert dag.is_ancestor(first, last)
    assert not dag.is_ancestor(last, first)
    assert len(dag.ancestors(last)) == 9_999


def test_8_a_cycle_of_ten_thousand_steps() -> None:
    with pytest.raises(CycleError) as caught:
        build({f"s{n}": [f"s{(n + 1) % 10_000}"] for n in range(10_000)})
    assert len(caught.value.path) == 10_001


def test_a_need_that_does_not_exist_is_the_callers_mistake() -> None:
    with pytest.raises(ValueError, match=r"step 'a' needs 'b', which does not exist"):
        build({"a": ["b"]})


def test_repeated_needs_count_once() -> None:
    dag = build({"a": [], "b": ["a", "a"]})
    assert dag.needs["b"] == ("a",)
