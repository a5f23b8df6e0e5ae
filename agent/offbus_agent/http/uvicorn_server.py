"""uvicorn for programs of ours: quiet, and without signal handlers of its own, for their programs have theirs."""

from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

__all__ = ["OwnSignals"]


class OwnSignals(uvicorn.Server):
    """Leaves signals to its program: uvicorn would raise them again at the end, and not exit with 0."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield

    def stop(self) -> None:
        """Ask for the end."""
        self.should_exit = True
