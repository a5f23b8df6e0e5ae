"""Whether a run goes on: one state with its legal transitions, and what a stop interrupts at the moment.

    GOING_ON ──stop──▶ STOPPED ──forbid──▶ FORBIDDEN
        ▲  │              │                    ▲
        │  └───────────forbid──────────────────┘
        └──always part────┘

STOPPED: no further step of this part starts, and what runs is cancelled; `always` steps run yet.
FORBIDDEN: nothing new is changed, every fault is disarmed at once, `always` steps are skipped; nothing leads back.
Of each, the first reason counts.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum

import anyio

__all__ = ["StopStage", "StopState"]


class StopStage(Enum):
    """How far a run is stopped."""

    GOING_ON = 0
    STOPPED = 1
    FORBIDDEN = 2


class StopState:
    """See the module. May be changed at any time from inside the event loop."""

    def __init__(self) -> None:
        self.reason: str | None = None
        """Why no further step of this part starts; None while it goes on."""
        self.forbidden: str | None = None
        """Why nothing more may be changed; None while it may."""
        self.requested = anyio.Event()
        """Set when nothing more may be changed: what disarms on a stop waits for it."""
        self._interrupt: Callable[[str], None] | None = None

    @property
    def stage(self) -> StopStage:
        """How far the run is stopped."""
        if self.forbidden is not None:
            return StopStage.FORBIDDEN
        return StopStage.GOING_ON if self.reason is None else StopStage.STOPPED

    def stop(self, reason: str) -> bool:
        """No further step of this part starts. Returns whether this is the first reason: then `interrupt` follows."""
        first, self.reason = self.reason is None, self.reason or reason
        return first

    def interrupt(self, reason: str) -> None:
        """Cancel what runs now, where that can be interrupted."""
        if self._interrupt is not None:
            self._interrupt(reason)

    def forbid(self, why: str) -> None:
        """Nothing more may be changed; `stop` follows."""
        self.forbidden = self.forbidden or why
        self.requested.set()

    def begin_always(self) -> None:
        """The part of the `always` steps begins: only what forbids everything stops it, too."""
        self.reason = self.forbidden

    @contextmanager
    def interruptible(self, interrupt: Callable[[str], None]) -> Iterator[None]:
        """For the length of the block a stop calls `interrupt` with its reason; at once when it is stopped already."""
        if self.reason is not None:
            interrupt(self.reason)
        self._interrupt = interrupt
        try:
            yield
        finally:
            self._interrupt = None
