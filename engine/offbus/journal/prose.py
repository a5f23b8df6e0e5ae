"""Which fields of events hold texts of the world outside: in them no secret is written (offbus.masking).

Each field's schema says it (offbus.journal.origin). All others are the run's own words: names, ids, numbers, and what
an undo needs, which must stay as it is.
"""

from collections.abc import Iterator
from functools import cache
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from offbus.journal.events import EventKind
from offbus.journal.kinds import DATA, Draft
from offbus.journal.origin import Origin
from offbus.masking import Masking

__all__ = ["masked", "told_fields"]


def masked(draft: Draft, masking: Masking) -> Draft:
    """The event without the secrets that are known."""
    if not masking.knows_any or not (fields := told_fields(draft.kind)):
        return draft
    hidden = {name: masking.json(draft.data[name]) for name in fields if name in draft.data}
    return Draft(draft.kind, {**draft.data, **hidden})


@cache
def told_fields(kind: EventKind) -> tuple[str, ...]:
    """The fields of a kind that are not the run's own words, nor numbers."""
    hints = get_type_hints(DATA[kind], include_extras=True)
    return tuple(name for name, hint in hints.items() if Origin.OUTSIDE in _origins(hint))


def _origins(hint: Any) -> Iterator[Origin]:
    """Of each text that a type holds; of one that does not say it, as if it were of others."""
    origin, parts = get_origin(hint), get_args(hint)
    said = [one for one in parts if isinstance(one, Origin)] if origin is Annotated else []
    if said:
        yield from said
    elif origin is Annotated:
        yield from _origins(parts[0])
    elif origin is dict:
        yield from _origins(parts[1])
    elif parts and origin is not Literal:
        for part in parts:
            yield from _origins(part)
    elif isinstance(hint, type) and hasattr(hint, "__required_keys__"):
        for of in get_type_hints(hint, include_extras=True).values():
            yield from _origins(of)
    elif origin is not Literal and hint not in (int, float, bool, type(None)):
        yield Origin.OUTSIDE
