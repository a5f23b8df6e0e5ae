"""The graph of a scenario's steps: a pure function of their names and needs; no clock, no I/O, no anyio.

`build` takes the steps in file order, each with the names that it needs, and guarantees:

1. Every step occurs in `order` exactly once.
2. A step comes after everything that it needs.
3. The order is stable: if the file's order already satisfies 2, it is kept; a step that is needed by one further up
   is moved up to just before it, and nothing else moves. This is the *plan order*: results are reported in it.
4. It is deterministic: the same steps and needs give the same order.
5. A cycle is refused with `CycleError`, whose `path` is a shortest cycle: each step needs the next, the
   last is the first.
6. `ancestors(x)` is what x needs, directly or not, in plan order; x is not among them.
   `ancestors(x, n)` are at most n of them, the nearest.
7. `is_ancestor(a, x)` is the same as `a in ancestors(x)`.
8. Time and memory of `build` are linear in steps plus needs, whatever the depth: no recursion, no set of ancestors per
   step. A question about ancestors costs at most the part of the graph between; in a plain sequence it is O(1).

Unknown names and names that occur twice are the caller's findings; here they are a ValueError.
"""

import sys
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

__all__ = ["CycleError", "Dag", "build"]


class CycleError(ValueError):
    """Raised when steps need each other; `path` is ("a", "b", "a"): a needs b, b needs a."""

    def __init__(self, path: tuple[str, ...]) -> None:
        super().__init__(" needs ".join(path))
        self.path = path


class _Position(NamedTuple):
    """Where a step is: in which chain of single needs, how far down it, and where in the plan order."""

    chain: int
    depth: int
    rank: int


@dataclass(frozen=True, slots=True)
class Dag:
    """The graph; made by `build` only."""

    order: tuple[str, ...]
    """All steps in plan order."""
    needs: Mapping[str, tuple[str, ...]]
    """What each step needs directly, without repeats, as the file lists them."""
    _positions: Mapping[str, _Position]
    _heads: Sequence[str]
    """The first step of each chain."""

    def ancestors(self, step: str, most: int = sys.maxsize) -> tuple[str, ...]:
        """Everything that must have ended before `step` starts, in plan order (guarantee 6).

        Of more than `most` those that are the fewest needs away, and no others are looked at.
        """
        found = dict.fromkeys((step,))  # in the order of their distance
        open_ends = deque(found)
        while open_ends and len(found) <= most:
            needed = (name for name in self.needs[open_ends.popleft()] if name not in found)
            new = dict.fromkeys(islice(needed, most))
            found |= new
            open_ends.extend(new)
        return tuple(sorted(list(found)[1 : most + 1], key=lambda name: self._positions[name].rank))

    def is_ancestor(self, ancestor: str, step: str) -> bool:
        """Whether `ancestor` must have ended before `step` starts (guarantee 7).

        Walks up chain by chain: inside a chain everything above is an ancestor, so only heads are looked at.
        """
        goal, seen = self._positions[ancestor], {self._positions[step].chain}
        open_ends = deque([step])
        while open_ends:
            here = self._positions[open_ends.popleft()]
            if here.rank <= goal.rank and here is not goal:
                continue  # everything that it needs comes before it: the goal is not among them
            if here.chain == goal.chain and here.depth >= goal.depth:
                return ancestor != step
            for need in self.needs[self._heads[here.chain]]:
                position = self._positions[need]
                if position.chain == goal.chain or position.chain not in seen:
                    seen.add(position.chain)
                    open_ends.append(need)
        return False


def build(needs: Mapping[str, Iterable[str]]) -> Dag:
    """The graph of `needs`: step -> what it needs, in file order. Raises CycleError, ValueError (an unknown name)."""
    edges = {step: tuple(dict.fromkeys(wanted)) for step, wanted in needs.items()}
    for step, wanted in edges.items():
        for name in wanted:
            if name not in edges:
                raise ValueError(f"step {step!r} needs {name!r}, which does not exist")
    order = _order(edges)
    positions, heads = _chains(order, edges)
    return Dag(order, edges, positions, heads)


def _order(needs: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Depth first along needs, from each step in file order, with a stack of our own (guarantees 1 to 5)."""
    done: dict[str, None] = {}
    for start in needs:
        if start in done:
            continue
        stack = [(start, iter(needs[start]))]
        on_stack = {start}
        while stack:
            step, rest = stack[-1]
            following = next((name for name in rest if name not in done), None)
            if following is None:
                done[step] = None
                on_stack.discard(step)
                stack.pop()
            elif following in on_stack:
                raise CycleError(_shortest_cycle(needs, following))
            else:
                on_stack.add(following)
                stack.append((following, iter(needs[following])))
    return tuple(done)


def _shortest_cycle(needs: Mapping[str, tuple[str, ...]], start: str) -> tuple[str, ...]:
    """A shortest path from `start`, which is on a cycle, back to itself: breadth first."""
    came_from: dict[str, str] = {}
    queue = deque([start])
    while queue:
        step = queue.popleft()
        for name in needs[step]:
            if name == start:
                return _way(came_from, start, step)
            if name not in came_from:
                came_from[name] = step
                queue.append(name)
    raise AssertionError(f"{start!r} is on a cycle, so a way back exists")


def _way(came_from: Mapping[str, str], start: str, end: str) -> tuple[str, ...]:
    """start, …, end, start: each needs the next."""
    back = []
    while end != start:
        back.append(end)
        end = came_from[end]
    return (start, *reversed(back), start)


def _chains(
    order: Sequence[str], needs: Mapping[str, tuple[str, ...]]
) -> tuple[dict[str, _Position], list[str]]:
    """Splits the graph into chains: a step continues the chain of its only need, if no other step did before it."""
    positions: dict[str, _Position] = {}
    heads: list[str] = []
    continued: set[str] = set()
    for index, step in enumerate(order):
        wanted = needs[step]
        if len(wanted) == 1 and wanted[0] not in continued:
            above = positions[wanted[0]]
            continued.add(wanted[0])
            positions[step] = _Position(above.chain, above.depth + 1, index)
        else:
            positions[step] = _Position(len(heads), 0, index)
            heads.append(step)
    return positions, heads
