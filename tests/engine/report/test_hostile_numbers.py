"""A journal that somebody made costs no more than its own size to report."""

import json
from pathlib import Path

from offbus.journal.events import Event, EventKind
from offbus.report.gaps import MOST_LOST, Gaps


def event(seq: int, kind: EventKind, **data: object) -> Event:
    head = {"v": 2, "seq": seq, "run": "r", "t": "2026-01-01T00:00:00.000000Z", "mono_ns": seq, "clock": "c"}
    made: Event = json.loads(json.dumps({**head, "kind": kind, "data": data}))
    return made


def test_undos_that_cannot_have_been_are_not_listed_one_by_one(tmp_path: Path) -> None:
    gaps = Gaps()
    gaps.look(event(1, EventKind.RUN_STARTED))
    gaps.look(event(5, EventKind.UNDO_RECORDED, undo=10**12))
    assert gaps.lost_undos() == [1, 2, 3], "three events are missing, so three records at most"
    gaps.look(event(10**12, EventKind.UNDO_RECORDED, undo=10**12 + 1))
    assert len(gaps.lost_undos()) == MOST_LOST
