"""A step's state while the scheduler plays it."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import anyio

from offbus.runner.attempts import Result

if TYPE_CHECKING:
    from offbus.language.scenario import Step

__all__ = ["Slot"]


@dataclass(slots=True)
class Slot:
    """A step's state in the run."""

    step: "Step"
    open_needs: int = 0
    dependents: list["Slot"] = field(default_factory=list)
    started: bool = False
    satisfied: bool = False
    result: Result | None = None
    scope: anyio.CancelScope | None = None
    cancelled_because: str | None = None
    _stop: anyio.Event | None = None
    _ended: anyio.Event | None = None

    @property
    def stop(self) -> anyio.Event:
        """Set when a background step should end."""
        if self._stop is None:
            self._stop = anyio.Event()
        return self._stop

    @property
    def asked_to_stop(self) -> bool:
        """Whether `stop` was set."""
        return self._stop is not None and self._stop.is_set()

    @property
    def ended(self) -> anyio.Event:
        """Set when the step has its outcome."""
        if self._ended is None:
            self._ended = anyio.Event()
        return self._ended

    def mark_ended(self) -> None:
        """The step has its outcome."""
        if self._ended is not None:
            self._ended.set()
