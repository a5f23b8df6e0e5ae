"""One fault of the gateway while its run is played: what its journal tells, when it ends, and what became of it.

Job: listen to the run's events and turn them into the published record. It decides nothing: the step injects or
refuses, the engine undoes. Times that count are the event loop's; those that are told are UTC.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import anyio

from offbus.journal.events import Event, EventKind
from offbus.journal.kinds import PHASE, RESIDUE, STEP_ENDED, STOPPED, UNDO_ENDED
from offbus_steps.gateway.fault_scenario import HOLDING, INJECTING
from offbus_steps.gateway.models import FaultRecord

__all__ = ["LiveFault"]


class LiveFault:
    """A fault, from the request to the end of its run."""

    def __init__(self, record: FaultRecord, lasts: timedelta, changed: Callable[[FaultRecord], None]) -> None:
        self.record = record
        self.decided = anyio.Event()
        """It is injected, or it will not be."""
        self.undone = anyio.Event()
        """Nothing more is changed: what follows is the watch after the undo, and the comparison."""
        self.over = anyio.Event()
        """Its run has ended."""
        self.why: tuple[str, str] | None = None
        """What kept it from being injected, or ended it: message and hint."""
        self.residue: list[str] = []
        self._lasts = lasts
        self._changed = changed
        self._deadline = 0.0
        self._renewed = anyio.Event()
        self._ending = ""
        self._unresolved: dict[int, str] = {}

    @property
    def injected(self) -> bool:
        """Whether it was."""
        return self.record.injected_at is not None

    async def hold(self) -> None:
        """Wait until it is to end."""
        while not self._ending:
            with anyio.move_on_after(self._deadline - anyio.current_time()) as waiting:
                await self._renewed.wait()
            self._renewed = anyio.Event()
            if waiting.cancelled_caught:
                self.end("its time was over")

    def end(self, why: str) -> None:
        """Recover it; the first reason counts."""
        self._ending = self._ending or why
        self._renewed.set()

    def renew(self, lasts: timedelta) -> None:
        """It lives that long from now."""
        self._deadline = anyio.current_time() + lasts.total_seconds()
        self._renewed.set()
        self._tell(expires_at=datetime.now(UTC) + lasts)

    def heard(self, event: Event) -> None:
        """One event of its run's journal."""
        kind = event["kind"]
        if kind == EventKind.STEP_ENDED:
            self._step_ended(event)
        elif kind == EventKind.STOPPED and self.why is None:
            self.why = (STOPPED.data(event)["reason"], "")
        elif kind == EventKind.UNDO_ENDED:
            self._undo_ended(event)
        elif kind == EventKind.RESIDUE:
            self.residue.append("{item}: {detail} ({fix})".format(**RESIDUE.data(event)))
        elif kind == EventKind.PHASE:
            self._phase(PHASE.data(event)["name"])

    def conclude(self, problem: str = "") -> None:
        """Nothing more will happen to it; `problem`: its run could not be played to its end."""
        remaining = [*self.residue, *([problem] if problem else [])]
        if remaining or not self.injected:
            self._tell(status="failed")
            if self.why and not self.injected:
                self._tell(details={**self.record.details, "message": self.why[0]})
        self._tell(details={**self.record.details, "residue": remaining or "none"})

    def finish(self) -> None:
        """Its run has ended, and holds nothing any more."""
        for event in (self.decided, self.undone, self.over):
            event.set()

    def _step_ended(self, event: Event) -> None:
        data, step = STEP_ENDED.data(event), event.get("step")
        if step == INJECTING and data["outcome"] == "passed":
            self._tell(status="injected", injected_at=datetime.now(UTC))
            self.renew(self._lasts)
            self.decided.set()
        elif step != HOLDING and data["outcome"] not in ("passed", "skipped") and not self.why:
            self.why = (data.get("message") or data.get("because") or data["outcome"], data.get("hint") or "")

    def _undo_ended(self, event: Event) -> None:
        data = UNDO_ENDED.data(event)
        self._unresolved.pop(data["undo"], None)
        if data["result"] not in ("restored", "nothing"):
            self._unresolved[data["undo"]] = data["detail"]

    def _phase(self, name: str) -> None:
        if name in ("always", "undo") and self.injected:
            self._tell(status="recovering")
        if name in ("settle", "close") and not self.undone.is_set():
            if self.injected and not self._unresolved:
                message = f"recovered: {self._ending or (self.why[0] if self.why else 'its run ended')}"
                details = {**self.record.details, "message": message}
                self._tell(status="recovered", recovered_at=datetime.now(UTC), details=details)
            self.undone.set()
            self.decided.set()

    def _tell(self, **news: object) -> None:
        self.record = self.record.model_copy(update=news)
        self._changed(self.record)
