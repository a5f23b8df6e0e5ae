"""The order of all steps of a run: what each needs, and the DAG of that.

The default is the last non-background step above, `always` steps included, so that a plain list is a sequence. A file
that is inlined begins when the step that inlines it would: its steps that need nothing of their own file need what that
step needs. Who needs that step needs the file's last steps: those that none of its others needs, background steps apart
(of a file that has no others, those). So a plain list that is inlined gives the graph that it gives written out.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from offbus import dag
from offbus.findings.codes import Code
from offbus.findings.suggest import closest
from offbus.language.check.parts import Part
from offbus.language.check.steps import RawStep

__all__ = ["Graph", "arrange"]

MOST_ADDED = 100_000
"""Needs that files which are inlined add: of n last steps and m first ones of the next there are n times m."""
MOST_SHOWN = 12
"""Steps of a cycle that a finding names."""


@dataclass(slots=True)
class Graph:
    """The steps and their order."""

    steps: Mapping[str, RawStep]
    """All that run, by their ids in the run: no step that inlines a file."""
    dag: dag.Dag
    background: frozenset[str] = field(default_factory=frozenset)


def arrange(whole: Part) -> Graph:
    """Fill in what each step needs, and build the DAG; edges that cannot be are noted and left out."""
    _fill_in(whole, _ends(whole), _Room())
    table = {step.key: step for step in _running(whole)}
    background = frozenset(step.key for step in table.values() if step.model.background)
    while True:
        try:
            return Graph(table, dag.build({key: step.needs for key, step in table.items()}), background)
        except dag.CycleError as err:
            _note_cycle(err.path, table)


def _running(part: Part) -> Iterator[RawStep]:
    for name, step in part.steps.items():
        if name in part.inlined:
            yield from _running(part.inlined[name])
        else:
            yield step


def _ends(part: Part) -> dict[str, tuple[str, ...]]:
    """Of each step that inlines a file, by its id in the run, the last steps of it; local needs are filled in."""
    found: dict[str, tuple[str, ...]] = {}
    above: tuple[str, ...] = ()
    for name, step in part.steps.items():
        step.needs = above if step.model.needs is None else _named(step, part.steps)
        if not step.model.background:
            above = (name,)
    for name, inner in part.inlined.items():
        found |= _ends(inner)
        waited_for = [one for one, step in inner.steps.items() if not step.model.background] or [*inner.steps]
        needed = {need for one in waited_for for need in inner.steps[one].needs}
        waited_for = [one for one in waited_for if one not in needed]
        ends = [end for one in waited_for for end in found.get(inner.prefix + one, (inner.prefix + one,))]
        found[part.prefix + name] = tuple(dict.fromkeys(ends))
    return found


class _Room:
    """How many needs files that are inlined may still add: all last steps of one times all first steps of the next."""

    def __init__(self) -> None:
        self._remaining = MOST_ADDED
        self._told = False

    def take(self, needs: Sequence[str], step: RawStep) -> tuple[str, ...]:
        """The needs, or the first of them when there are too many; that is noted once."""
        self._remaining -= len(needs)
        if self._remaining >= 0:
            return tuple(needs)
        if not self._told:
            self._told = True
            message = f"files that are inlined add more than {MOST_ADDED} needs"
            hint = "let a file that others wait for end in one step"
            step.positions.note(Code.TOO_LARGE, message, step.positions.start_of(step.node), hint=hint)
        return tuple(needs[:1])


def _fill_in(part: Part, ends: Mapping[str, Sequence[str]], room: _Room, by: RawStep | None = None) -> None:
    """Local needs become those of the run."""
    for name, step in part.steps.items():
        found: dict[str, None] = {}
        for key in (part.prefix + need for need in step.needs):
            found |= dict.fromkeys(room.take(ends[key], step) if key in ends else (key,))
        step.needs = tuple(found)
        if not step.needs and by is not None:
            step.needs, step.said_by = room.take(by.needs, step), by.said_by or by
        if name in part.inlined:
            _fill_in(part.inlined[name], ends, room, step)


def _named(step: RawStep, known: Mapping[str, RawStep]) -> tuple[str, ...]:
    """The steps that `needs` lists, by their ids in the file."""
    needs: dict[str, None] = {}
    for index, name in enumerate(step.model.needs or ()):
        if name in known:
            needs[name] = None
            continue
        step.lacks_needs = True
        where = step.positions.of(step.node.children["needs"].children[index])
        step.positions.note(
            Code.UNKNOWN_NEED,
            f"there is no step {name!r} that step {step.local!r} could need",
            where,
            suggestion=closest(name, known),
        )
    return tuple(needs)


def _note_cycle(path: tuple[str, ...], table: Mapping[str, RawStep]) -> None:
    """Note a cycle at the first of its edges that a file spells out, and cut it there."""
    said = [table[key].said_by or table[key] for key in path[:-1]]
    at = next(n for n, step in enumerate(said) if step.model.needs is not None)
    step, need = said[at], path[at + 1]
    listed, positions = step.node.children["needs"].children, step.positions
    name = need.removeprefix(step.key.removesuffix(step.local)).partition(".")[0]
    where = next(
        (positions.of(child) for child in listed.values() if child.value == name),
        positions.value(step.node, "needs"),
    )
    shown = path if len(path) <= MOST_SHOWN else (*path[: MOST_SHOWN - 3], "…", *path[-2:])
    message = "it needs itself" if len(path) == 2 else f"steps need each other: {' → '.join(shown)}"
    positions.note(Code.CIRCULAR_NEEDS, message, where, hint="remove one of these needs")
    table[path[at]].needs = tuple(name for name in table[path[at]].needs if name != need)
    table[path[at]].lacks_needs = True
