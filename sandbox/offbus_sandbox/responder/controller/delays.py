"""When a planned transition may happen: configurable delays that never sleep through a change.

A node has one pending transition at a time. The first request for it starts its delay; a request for another one
replaces it. Must not: run anything.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

__all__ = ["Due"]


@dataclass(frozen=True, slots=True)
class Due:
    """The delays of all nodes. `_clock` is monotonic, in seconds."""

    _clock: Callable[[], float]
    _wanted: dict[str, tuple[str, float]] = field(default_factory=dict)

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
