"""The latest changes of the store, in order, for watchers.

Resource versions are consecutive, so a watcher is only a position in this history: it needs no queue, a slow one costs
nothing, and one that falls behind the window gets `Gone` exactly as from an API server.
"""

import math
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import anyio

from offbus_steps.port import Gone, WatchType

__all__ = ["Change", "History"]


@dataclass(frozen=True, slots=True)
class Change:
    """One change. `before` is the object as it was (None when it was added)."""

    version: int
    type: WatchType
    object: dict[str, Any]
    before: dict[str, Any] | None


class History:
    """A window of changes with a wake-up for watchers."""

    def __init__(self, last: int, *, keep: int) -> None:
        """`last` is the version before the first change that will be added; `keep` is the window's length."""
        self.last = last
        self._keep = keep
        self._changes: list[Change] = []
        self._more = anyio.Event()
        self._closed = False

    def add(self, change: Change) -> None:
        """Append the next change and wake the watchers."""
        self._changes.append(change)
        self.last = change.version
        if len(self._changes) > 2 * self._keep:  # trimmed by halves, so that adding stays cheap
            del self._changes[: -self._keep]
        self._more.set()
        self._more = anyio.Event()

    def close(self) -> None:
        """End all watches: the store closes."""
        self._closed = True
        self._more.set()

    def since(self, version: int) -> list[Change]:
        """The changes after `version`. Raises Gone when some are no longer stored, or for a future version."""
        behind = self.last - version
        if behind < 0 or behind > len(self._changes):
            raise Gone(f"resource version {version} is not in the history", hint="list again, then watch")
        return self._changes[len(self._changes) - behind :]

    async def follow(self, version: int, *, quiet_s: float = math.inf) -> AsyncIterator[list[Change]]:
        """Batches of changes after `version`, as they come, until the store closes; an empty one whenever nothing came
        for `quiet_s`. Raises Gone."""
        while not self._closed:
            more = self._more
            batch = self.since(version)
            if batch:
                version = batch[-1].version
                yield batch
                continue
            with anyio.move_on_after(quiet_s) as quiet:
                await more.wait()
            if quiet.cancelled_caught:
                yield []
