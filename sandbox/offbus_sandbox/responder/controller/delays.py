"""When a transition that was decided on may happen: the settable delays, without sleeping through what
changes.

A node wants one transition at a time. The first time it is wanted starts its delay; wanting another one
forgets it. Must not: run anything.
"""

from collections.abc import Callable

__all__ = ["Due"]


class Due:
    """The delays of all nodes. `clock` is monotonic, in seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._wanted: dict[str, tuple[str, float]] = {}

    def remaining(self, node: str, transition: str, delay_s: float) -> float:
        """Seconds until the node may make this transition; 0.0 when it may now, which also forgets it."""
        wanted, at = self._wanted.get(node, ("", 0.0))
        if wanted != transition:
            at = self._clock() + delay_s
            self._wanted[node] = (transition, at)
        left = at - self._clock()
        if left > 0:
            return left
        self.forget(node)
        return 0.0

    def forget(self, node: str) -> None:
        """Nothing is wanted any more."""
        self._wanted.pop(node, None)
