"""Stop conditions: evaluated whenever one of their metrics is measured, with a timer for `for`; nothing polls.

A condition whose metrics are not all measured yet has no value: it does not hold. One that cannot be evaluated for
another reason (a division by zero) does not hold either, and the next measurement decides.
"""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import anyio
from anyio.abc import TaskGroup

from offbus.journal.events import Event
from offbus.journal.kinds import METRIC

if TYPE_CHECKING:
    from offbus.language.cel.scope import Scope
    from offbus.language.scenario import StopCondition

__all__ = ["StopWatch"]


class StopWatch:
    """Watches the stop conditions of a run while its steps are played."""

    def __init__(
        self,
        conditions: Iterable["StopCondition"],
        scope: Callable[[], "Scope"],
        stop: Callable[[str], None],
        tasks: TaskGroup,
    ) -> None:
        self._conditions = list(conditions)
        self._scope = scope
        self._stop = stop
        self._tasks = tasks
        self._holding: dict[int, anyio.CancelScope] = {}
        """The timer of each condition that holds now, by its index in the list."""

    def heard(self, event: Event) -> None:
        """A listener of the journal."""
        metric = METRIC.of(event)
        if metric is None:
            return
        for index, condition in enumerate(self._conditions):
            if any(
                name.root == "metrics" and name.rest == metric["name"] for name in condition.expression.names
            ):
                self._look(index, condition)

    def _look(self, index: int, condition: "StopCondition") -> None:
        from offbus.language.cel.expressions import EvaluationError

        try:
            holds = condition.expression.evaluate(self._scope())
        except EvaluationError:
            holds = False
        if not holds:
            timer = self._holding.pop(index, None)
            if timer is not None:
                timer.cancel()
        elif not condition.hold:
            self._stop(_reason(condition))
        elif index not in self._holding:
            timer = self._holding[index] = anyio.CancelScope()
            self._tasks.start_soon(self._count_down, condition, timer)

    async def _count_down(self, condition: "StopCondition", timer: anyio.CancelScope) -> None:
        with timer:
            await anyio.sleep(condition.hold.total_seconds())
            self._stop(_reason(condition))


def _reason(condition: "StopCondition") -> str:
    held = f" for {condition.hold.total_seconds():g} s" if condition.hold else ""
    return f"stop condition: {condition.text}{held}"
