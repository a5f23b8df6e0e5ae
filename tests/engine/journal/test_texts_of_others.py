"""Of every field of every kind of event its schema says whose words it holds; those of others are without secrets."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal, NotRequired, Required, Union, get_args, get_origin, get_type_hints

import pytest
from typing_extensions import TypedDict, is_typeddict

from offbus.journal import kinds
from offbus.journal.events import EventKind
from offbus.journal.kinds import DATA, Draft
from offbus.journal.origin import Origin, Own, Told
from offbus.journal.prose import masked, told_fields
from offbus.masking import HIDDEN, Masking

SECRET = "a-secret-of-the-run"
TOLD = {
    EventKind.ATTEMPT_ENDED: {"message"},
    EventKind.STEP_ENDED: {"because", "message", "hint", "evidence", "outputs"},
    EventKind.UNDO_RECORDED: {"describe"},
    EventKind.UNDO_ENDED: {"detail", "evidence"},
    EventKind.OBSERVED: {"to", "was", "evidence", "brief"},
    EventKind.FAULT_PROVEN: {"evidence", "brief"},
    EventKind.NEEDS_ATTENTION: {"reason"},
    EventKind.WATCHED: {"detail"},
    EventKind.EXPECTATION: {"detail"},
    EventKind.STOPPED: {"reason"},
    EventKind.RESIDUE: {"detail", "fix"},
    EventKind.RUN_ENDED: {"reasons"},
}
"""What others' words can get into. All else an undo or a reader needs as it is: ids, names, records, fingerprints."""


def open_texts(hint: Any) -> Iterator[str]:
    """The parts of a type that hold any text without saying whose words it is."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin is Annotated:
        if not any(isinstance(one, Origin) for one in parts[1:]):
            yield from open_texts(parts[0])
    elif is_typeddict(hint):
        for name, of in get_type_hints(hint, include_extras=True).items():
            yield from (f"{name}: {found}" for found in open_texts(of))
    elif hint in (str, Any, object):
        yield str(hint)
    elif origin in (NotRequired, Required, Union, list, dict):
        for part in parts[1:] if origin is dict else parts:
            yield from open_texts(part)
    elif origin is not Literal and hint not in (int, float, bool, type(None)):
        yield f"{hint}, which this test does not know"


FIELDS = [
    (kind, name, hint)
    for kind, schema in DATA.items()
    for name, hint in get_type_hints(schema, include_extras=True).items()
]


@pytest.mark.parametrize(("kind", "name", "hint"), FIELDS, ids=[f"{kind}.{name}" for kind, name, _ in FIELDS])
def test_each_field_says_whose_words_it_holds(kind: EventKind, name: str, hint: Any) -> None:
    assert list(open_texts(hint)) == [], f"{kind}.{name}: write Own or Told (offbus.journal.origin)"


def test_what_does_not_say_it_is_found() -> None:
    class Part(TypedDict):
        a: str

    for hint in (
        str,
        dict[str, Any],
        list[str],
        NotRequired[str],
        dict[str, str],
        Part,
        list[Part],
        set[str],
    ):
        assert list(open_texts(hint))
    for hint in (Own, Told, list[Told], NotRequired[Own], Literal["a"], dict[str, int], int):
        assert not list(open_texts(hint))


def test_those_are_the_words_of_others() -> None:
    assert {kind: set(told_fields(kind)) for kind in DATA if told_fields(kind)} == TOLD


@pytest.mark.parametrize("kind", DATA)
def test_no_secret_is_in_them(kind: EventKind) -> None:
    masking = Masking()
    masking.learn(SECRET)
    data = dict.fromkeys(get_type_hints(DATA[kind]), f"it said {SECRET}")
    found = masked(Draft(kind, data), masking).data
    assert {name for name, value in found.items() if value != data[name]} == TOLD.get(kind, set())
    assert {found[name] for name in TOLD.get(kind, ())} <= {f"it said {HIDDEN}"}


def test_a_kind_that_says_nothing_is_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forgotten is not the same as safe."""

    class New(TypedDict):
        name: Own
        what: str
        facts: NotRequired[dict[str, Any]]
        count: int

    monkeypatch.setitem(kinds.DATA, EventKind.PHASE, New)
    told_fields.cache_clear()
    try:
        assert set(told_fields(EventKind.PHASE)) == {"what", "facts"}
    finally:
        monkeypatch.undo()
        told_fields.cache_clear()
