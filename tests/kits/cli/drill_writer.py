"""Writes the journal of one drill, event by event, by the real JournalWriter on a clock that the script moves."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from offbus.declared import written
from offbus.journal.events import Event, EventKind
from offbus.journal.kinds import Draft
from offbus.journal.writer import JournalWriter
from offbus.open_run import opened
from offbus.report.fold import Fold
from offbus.report.model import Report
from offbus.runner.recorder import JournalRecorder
from offbus.runner.run_end import end_run
from offbus.runs import RunFolder
from offbus_steps.inference.metrics import METRICS
from offbus_steps.observe.metrics import TIMES
from offbus_steps.watch.lanes import LANES
from tests.kits.virtual_time import VirtualClock

STEPS = (
    ("deploy", "deploy", "action"),
    ("load", "load", "observation"),
    ("baseline", "baseline", "observation"),
    ("prepare", "prepare_cuda", "action"),
    ("inject", "inject_fault", "action"),
    ("fails", "verify_inference", "observation"),
    ("cordon", "await_cordon", "observation"),
    ("drain", "await_drain", "observation"),
    ("heal", "cleanup", "action"),
    ("moved", "await_recovery", "observation"),
    ("works", "verify_inference", "observation"),
)


NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
"""When the run begins."""


class Drill:
    """Writes one run's journal. Everything that was written is in `events`."""

    def __init__(self, base: Path, *, name: str = "xid79-nvsentinel") -> None:
        self.clock = VirtualClock("0b0f1c1e-boot", begins_s=5.0, begins=NOON)
        self.folder = RunFolder(base / f"20260131T120000Z-{name}-3f9a2c41")
        self.folder.path.mkdir(parents=True)
        self.journal = JournalWriter(self.folder.journal, self.folder.id, self.clock)
        self.fold = Fold()
        self.events: list[Event] = []
        self.journal.listen(self.fold.apply)
        self.journal.listen(self.events.append)
        self._name = name
        self._undos = 0

    def at(self, seconds: float) -> "Drill":
        """Move the clock."""
        self.clock.passed_s = seconds
        return self

    def write(self, kind: EventKind, step: str | None = None, **data: Any) -> None:
        """One event."""
        self.journal.append(Draft(kind, data), step=step)

    def recorder(self, step: str | None = None) -> JournalRecorder:
        """What steps write with."""
        return JournalRecorder(self.journal, 1, {}, step)

    def begin(self, steps: Sequence[tuple[str, str, str]] = STEPS) -> None:
        """The first events of a run."""
        self.write(
            EventKind.RUN_STARTED,
            name=self._name,
            summary="A GPU falls off the bus; the node is cordoned and drained; inference survives elsewhere.",
            scenario="scenarios/xid79.yaml",
            digest="ab" * 32,
            environment="local",
            identity="local",
            versions={"offbus": "0.1.0", "python": "3.11.7"},
            steps=[_planned(*step) for step in steps],
            metrics={name: written(one) for name, one in {**TIMES, **METRICS}.items()},
            lanes=[written(one) for one in LANES],
            expect=['metrics.time_to_cordon < duration("60s")'],
            timeout_s=1800.0,
            undo_timeout_s=300.0,
            host="vm-1",
            pid=42,
        )

    def step(self, name: str, start: float, end: float, outcome: str = "passed", **more: Any) -> None:
        """A step from its start to its end, with nothing between."""
        self.at(start).write(EventKind.STEP_STARTED, name, attempt=1)
        self.end(name, end, outcome, **more)

    def end(self, name: str, at: float, outcome: str = "passed", **more: Any) -> None:
        """The end of a step."""
        self.at(at).write(EventKind.STEP_ENDED, name, outcome=outcome, attempts=1, **more)

    def plan_undo(self, step: str, describe: str, phase: str = "restore") -> int:
        """The record of an undo; its number."""
        self._undos += 1
        data = {"undo": self._undos, "type": "restore_fields", "distribution": "offbus", "phase": phase}
        self.write(EventKind.UNDO_RECORDED, step, **data, describe=describe, record={})
        return self._undos

    def undo(self, number: int, start: float, end: float, result: str = "restored", detail: str = "") -> None:
        """One try of an undo."""
        self.at(start).write(EventKind.UNDO_STARTED, undo=number, attempt=1, by="runner")
        more = {"result": result, "detail": detail, "evidence": {}}
        self.at(end).write(EventKind.UNDO_ENDED, undo=number, attempt=1, **more)

    def finish(self) -> Report:
        """The end of the run, as the runner writes it."""
        with opened(self.folder) as folder:
            return end_run(self.journal, self.fold, folder)


def _planned(name: str, uses: str, kind: str) -> dict[str, Any]:
    more = {"needs": [], "always": False, "timeout_s": 300.0}
    return {
        "id": name,
        "uses": uses,
        "kind": kind,
        "background": name == "load",
        "injects": name == "inject",
    } | more
