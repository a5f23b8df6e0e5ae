"""What an event of a journal is, and every kind there is. Events are written and read by offbus.journal.kinds.

One event = `{v, seq, run, t, mono_ns, clock, kind, step?, data, crc}`:

- `v`        format version, 2
- `seq`      1, 2, 3 … without a gap
- `run`      the run's id
- `t`        UTC, microseconds, "2026-01-31T12:00:00.000000Z"
- `mono_ns`  the runner's monotonic clock (CLOCK_BOOTTIME where there is one), nanoseconds
- `clock`    whose clock that is: the boot id; events of one clock are ordered by `mono_ns`, and always by `seq`
- `step`     the step that it belongs to
- `crc`      CRC-32 of the line up to `,"crc"`, eight hex digits

The engine's kinds are closed: a journal folds without any plugin. What steps have to say goes through `observed`,
`metric`, `fault_declared`, `fault_proven` and `needs_attention`.
"""

import re
from enum import StrEnum
from typing import NotRequired

from typing_extensions import TypedDict

__all__ = ["OF_STEPS", "VERSION", "Event", "EventKind", "Outcome", "is_run"]

VERSION = 2
RUN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def is_run(text: str) -> bool:
    """Whether it can be the id of a run: it goes into labels, paths and commands."""
    return RUN.fullmatch(text) is not None


class EventKind(StrEnum):
    """All kinds."""

    RUN_STARTED = "run_started"
    ADOPTED = "adopted"
    ENVIRONMENT_OPENED = "environment_opened"
    FINGERPRINT = "fingerprint"
    PHASE = "phase"
    STEP_STARTED = "step_started"
    STEP_READY = "step_ready"
    ATTEMPT_ENDED = "attempt_ended"
    STEP_ENDED = "step_ended"
    UNDO_RECORDED = "undo_recorded"
    UNDO_STARTED = "undo_started"
    UNDO_ENDED = "undo_ended"
    OBSERVED = "observed"
    METRIC = "metric"
    FAULT_DECLARED = "fault_declared"
    FAULT_PROVEN = "fault_proven"
    NEEDS_ATTENTION = "needs_attention"
    WATCHED = "watched"
    EXPECTATION = "expectation"
    STOPPED = "stopped"
    RESIDUE = "residue"
    RUN_ENDED = "run_ended"


OF_STEPS = frozenset(
    (EventKind.STEP_STARTED, EventKind.STEP_READY, EventKind.ATTEMPT_ENDED, EventKind.STEP_ENDED)
)
"""The kinds that say what became of a step: their events name it."""


class Outcome(StrEnum):
    """How a step ended."""

    PASSED = "passed"
    FAILED = "failed"
    ERRORED = "errored"
    TIMED_OUT = "timed_out"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"


class Event(TypedDict):
    """One line of a journal."""

    v: int
    seq: int
    run: str
    t: str
    mono_ns: int
    clock: str
    kind: str
    step: NotRequired[str]
    data: object
    """In the shape of its kind: see offbus.journal.kinds."""
