"""When a planned transition may happen: configurable delays that never sleep through a change.

A node has one pending transition at a time. The first request for it starts its delay; a request for another one
replaces it. Must not: run anything.
"""

from collections.abc import Callable

__all__ = ["Due"]


class Due:
    """The delays of all nodes. `clock` is monotonic, in seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._wanted: dict[str, tuple[str, float]] = {}

    def remaining(self, node: str, transition: str, delay_s: float) -> float:
        """Seconds until the node may make this transition; 0.0 when it may now, which also clears it."""
        wanted, at = self._wanted.get(node, ("", 0.0))
        if wanted != transition:
            at = self._clock() + delay_s
            self._wanted[node] = (transition, at)
        remaining = at - self._clock()
        if remaining > 0:
            return remaining
        self.forget(node)
        return 0.0

    def forget(self, node: str) -> None:
        """Clear the node's pending transition."""
        self._wanted.pop(node, None)
