"""Which cell of a matrix is played when, and what ends it. Knows no runs: what plays a cell is handed in.

- Cells begin in their order, at most `max_parallel` at a time. Those that share something (an environment) are played
  in turn; one that has to wait for it is passed by.
- A cell that leaves residue (exit 4) stops the matrix: what it left may break every further one. So does, with
  `fail_fast`, one that did not pass. Cells that run then are played to their end; none is begun.
- `stop` (a signal) begins none either. Ending those that run is the caller's: each has its own undo.
"""

from collections.abc import Awaitable, Callable, Hashable, Sequence

import anyio

from offbus.exits import Exit, worst

__all__ = ["Play"]


class Play:
    """One play of some cells, known by their numbers."""

    def __init__(self, shared: Sequence[Hashable], *, fail_fast: bool = False, max_parallel: int = 1) -> None:
        """`shared[n]` is what cell n needs for itself while it is played."""
        self.ended: dict[int, Exit] = {}
        self.stopped: str | None = None
        """Why no further cell is begun."""
        self._shared = shared
        self._fail_fast = fail_fast
        self._room = max_parallel
        self._waiting = list(range(len(shared)))
        self._busy: set[Hashable] = set()

    @property
    def exit(self) -> Exit:
        """The worst of all cells that were played."""
        return worst(*self.ended.values())

    @property
    def not_played(self) -> Sequence[int]:
        """The cells that were not begun."""
        return tuple(self._waiting)

    def stop(self, why: str) -> None:
        """Begin no further cell. The first reason counts."""
        self.stopped = self.stopped or why

    async def play(self, act: Callable[[int], Awaitable[Exit]]) -> Exit:
        """Play them; the worst exit. What `act` raises ends all of it: it is to return what became of a cell."""
        async with anyio.create_task_group() as tasks:

            async def one(number: int) -> None:
                self._ended(number, await act(number))
                begin()

            def begin() -> None:
                while (number := self._next()) is not None:
                    tasks.start_soon(one, number)

            begin()
        return self.exit

    def _next(self) -> int | None:
        """Take the next cell that may begin now."""
        if self.stopped is None and self._room:
            for number in self._waiting:
                if self._shared[number] not in self._busy:
                    self._waiting.remove(number)
                    self._busy.add(self._shared[number])
                    self._room -= 1
                    return number
        return None

    def _ended(self, number: int, code: Exit) -> None:
        self.ended[number] = code
        self._busy.remove(self._shared[number])
        self._room += 1
        if code is Exit.RESIDUE:
            self.stop("a cell left residue")
        elif self._fail_fast and code is not Exit.PASSED:
            self.stop("a cell did not pass (fail_fast)")
