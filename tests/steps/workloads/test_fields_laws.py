"""Laws of setting and restoring fields: whatever others do in between, an undo is exact or says why not."""

from copy import deepcopy
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from offbus_steps.workloads.fields import (
    MISSING,
    Decision,
    Field,
    apply,
    decide,
    merge_patch,
    plan,
    read,
    restore,
)

NAMES = st.sampled_from(["a", "b", "c", "LD_PRELOAD"])
VALUES = st.one_of(st.none(), st.booleans(), st.integers(-3, 3), st.sampled_from(["", "x", "y"]))
ENTRIES = (
    st.lists(NAMES, unique=True, max_size=4)
    .flatmap(
        lambda names: st.tuples(
            *(st.builds(lambda n, v: {"name": n, "value": v}, st.just(n), VALUES) for n in names)
        )
    )
    .map(list)
)
OBJECTS: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {}, optional={"spec": st.fixed_dictionaries({}, optional={"env": ENTRIES, "note": VALUES})}
)
PATHS = st.one_of(
    NAMES.map(lambda name: ("spec", "env", ("name", name))),
    st.just(("spec", "note")),
    st.just(("spec", "extra", "deep")),
    st.just(("spec", "mounts", ("mountPath", "/run/offbus"))),
)


@st.composite
def planned(draw: st.DrawFn) -> tuple[dict[str, Any], list[Field]]:
    """An object and fields with different paths, planned on it."""
    obj = draw(OBJECTS)
    paths = draw(st.lists(PATHS, unique=True, min_size=1, max_size=4))
    return obj, [plan(obj, path, _intended(path)) for path in paths]


def _intended(path: tuple[Any, ...]) -> Any:
    last = path[-1]
    return {last[0]: last[1], "value": "ours"} if isinstance(last, tuple) else "ours"


@given(planned())
def test_restoring_what_was_applied_gives_the_object_back(case: tuple[dict[str, Any], list[Field]]) -> None:
    obj, fields = case
    assert restore(apply(obj, fields), fields) == obj


@given(planned())
def test_a_field_that_was_recorded_twice_is_restored_once(case: tuple[dict[str, Any], list[Field]]) -> None:
    obj, fields = case
    assert restore(apply(obj, fields), [*fields, *fields]) == obj


@given(planned())
def test_applying_sets_exactly_the_fields(case: tuple[dict[str, Any], list[Field]]) -> None:
    obj, fields = case
    changed = apply(obj, fields)
    assert all(read(changed, field.path) == field.intended for field in fields)


@given(planned())
def test_neither_apply_nor_restore_changes_what_it_was_given(
    case: tuple[dict[str, Any], list[Field]],
) -> None:
    obj, fields = case
    before = deepcopy(obj)
    changed = apply(obj, fields)
    kept = deepcopy(changed)
    restore(changed, fields)
    assert (obj, changed) == (before, kept)


@given(planned())
def test_what_is_ours_is_restored_and_then_nothing_is_left_to_do(
    case: tuple[dict[str, Any], list[Field]],
) -> None:
    obj, fields = case
    changed = apply(obj, fields)
    ours = [one for one in fields if decide(changed, one) is Decision.RESTORE]
    back = restore(changed, ours)
    assert back == obj
    assert {decide(back, one) for one in fields} == {Decision.NOTHING}


@given(planned())
def test_a_field_that_somebody_else_set_is_a_conflict(case: tuple[dict[str, Any], list[Field]]) -> None:
    obj, fields = case
    changed = apply(obj, fields)
    field = fields[0]
    last = field.path[-1]
    theirs = {last[0]: last[1], "value": "theirs"} if isinstance(last, tuple) else "theirs"
    stolen = apply(changed, [field.model_copy(update={"intended": theirs})])
    assert decide(stolen, field) is Decision.CONFLICT


@given(planned(), NAMES)
def test_entries_of_others_survive_the_undo(case: tuple[dict[str, Any], list[Field]], name: str) -> None:
    """Merge keys, not positions: what was added beside ours stays."""
    obj, fields = case
    changed = apply(obj, fields)
    other = {"name": f"other-{name}", "value": "kept"}
    changed.setdefault("spec", {}).setdefault("env", []).insert(0, other)
    back = restore(changed, [one for one in fields if decide(changed, one) is Decision.RESTORE])
    assert other in back["spec"]["env"]


@given(planned())
def test_fields_survive_json(case: tuple[dict[str, Any], list[Field]]) -> None:
    _, fields = case
    assert [Field.model_validate_json(one.model_dump_json()) for one in fields] == fields


@given(OBJECTS, OBJECTS)
def test_a_merge_patch_leads_from_one_object_to_the_other(old: dict[str, Any], new: dict[str, Any]) -> None:
    assert _merged(old, merge_patch(old, new)) == _without_nulls(old, new)


def _merged(target: Any, patch: Any) -> Any:
    """RFC 7396, section 2."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = _merged(result.get(key), value)
    return result


def _without_nulls(old: Any, new: Any) -> Any:
    """A merge patch cannot set null in a map: it removes; an equal null that was there stays."""
    if not isinstance(new, dict):
        return new
    found = {}
    for key, value in new.items():
        before = old.get(key, MISSING) if isinstance(old, dict) else MISSING
        if value is None and before is not None:
            continue
        found[key] = _without_nulls(before if before is not MISSING else {}, value)
    return found


def test_an_object_whose_container_is_gone_needs_no_undo() -> None:
    obj = {"spec": {"containers": [{"name": "main"}]}}
    field = plan(
        obj, ("spec", "containers", ("name", "main"), "env", ("name", "X")), {"name": "X", "value": "1"}
    )
    assert decide({"spec": {"containers": [{"name": "other"}]}}, field) is Decision.NOTHING


def test_a_value_that_was_there_and_that_somebody_removed_is_a_conflict() -> None:
    obj = {"spec": {"note": "before"}}
    field = plan(obj, ("spec", "note"), "ours")
    assert decide({"spec": {}}, field) is Decision.CONFLICT
