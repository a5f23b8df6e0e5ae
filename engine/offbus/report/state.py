"""What is known of a run after some of its events: the data that `Fold` fills and `judge` reads."""

from typing import Any

from offbus.declared import Lane, Metric
from offbus.journal.events import Event
from offbus.report.gaps import RESOLVED, Gaps
from offbus.report.model import (
    ExpectationReport,
    FaultReport,
    MetricReport,
    ResidueReport,
    SettlingReport,
    StepReport,
    StopReport,
    Takeover,
    TimelineEntry,
    UndoReport,
)

__all__ = ["RunState"]


class RunState:
    """The state of a run after some of its events."""

    def __init__(self) -> None:
        self.first: Event | None = None
        self.last: Event | None = None
        self.steps: dict[str, StepReport] = {}
        self.injecting: set[str] = set()
        self.expectations: list[ExpectationReport] = []
        self.faults: dict[str, FaultReport] = {}
        self.metrics: dict[str, MetricReport] = {}
        self.declared: dict[str, Metric] = {}
        """Metrics as the step types in use declare them; none in journals of offbus 0.1."""
        self.lanes: list[Lane] = []
        self.undos: dict[int, UndoReport] = {}
        self.early: set[int] = set()
        """Undos whose last try began before their step had ended (after a stop)."""
        self.residue: list[ResidueReport] = []
        self.needs_attention: dict[str, None] = {}
        """Each reason once, in order."""
        self.settling: dict[int, SettlingReport] = {}
        self.timeline: list[TimelineEntry] = []
        self.stops: list[StopReport] = []
        self.takeovers: list[Takeover] = []
        self.environment: dict[str, Any] | None = None
        self.opened: str | None = None
        self.fingerprint: dict[str, Any] | None = None
        self.after: dict[str, Any] | None = None
        self.gaps = Gaps()
        self.epoch = 1
        self.ended: Event | None = None

    @property
    def as_before(self) -> bool:
        """Whether the environment was read back and is as it was: then nothing is left, whatever else is unknown."""
        return self.fingerprint is not None and self.fingerprint == self.after

    def ordered_metrics(self) -> dict[str, MetricReport]:
        """The metrics in their declared order."""
        orders = {name: one.order for name, one in self.declared.items()}
        return dict(sorted(self.metrics.items(), key=lambda one: orders.get(one[0], 0)))

    def pending_undos(self) -> list[UndoReport]:
        """Undos that are recorded and not resolved, in the order of their records."""
        return [undo for undo in self.undos.values() if undo.result not in RESOLVED]
