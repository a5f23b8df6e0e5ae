"""Which fields of events hold texts of the world outside: in them no secret is written (offbus.masking).

All others are the run's own words: names, ids, numbers, and what an undo needs, which must stay as it is.
"""

from offbus.journal.events import EventKind
from offbus.journal.kinds import Draft
from offbus.masking import Masking

__all__ = ["masked"]

_PROSE = {
    EventKind.ATTEMPT_ENDED: ("message",),
    EventKind.STEP_ENDED: ("because", "message", "hint", "evidence", "outputs"),
    EventKind.UNDO_ENDED: ("detail", "evidence"),
    EventKind.OBSERVED: ("to", "was", "evidence", "brief"),
    EventKind.FAULT_PROVEN: ("evidence", "brief"),
    EventKind.NEEDS_ATTENTION: ("reason",),
    EventKind.WATCHED: ("detail",),
    EventKind.EXPECTATION: ("detail",),
    EventKind.STOPPED: ("reason",),
    EventKind.RESIDUE: ("detail", "fix"),
    EventKind.RUN_ENDED: ("reasons",),
}


def masked(draft: Draft, masking: Masking) -> Draft:
    """The event without the secrets that are known."""
    fields = _PROSE.get(draft.kind, ())
    if not masking.knows_any or not fields:
        return draft
    hidden = {name: masking.json(draft.data[name]) for name in fields if name in draft.data}
    return Draft(draft.kind, {**draft.data, **hidden})
