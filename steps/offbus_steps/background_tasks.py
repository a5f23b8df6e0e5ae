"""Background tasks of a run: watches, leases, followers of faults.

One that fails stops the run by `abort`; an exception would cancel the task group, and nothing would be undone.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVarTuple

from anyio.abc import TaskGroup

from offbus.environment import RunHandle
from offbus.errors import StepError

__all__ = ["Background"]

Args = TypeVarTuple("Args")


@dataclass(frozen=True, slots=True)
class Background:
    """Starts tasks in the environment's task group."""

    tasks: TaskGroup
    run: RunHandle

    def start(self, func: Callable[[*Args], Awaitable[None]], *args: *Args, name: str) -> None:
        """Run `func(*args)` until it ends or the environment is closed; `name` appears in messages."""

        async def task() -> None:
            try:
                await func(*args)
            except StepError as err:
                self.run.abort(f"{name}: {err}")
            except Exception as err:  # noqa: BLE001  whatever broke, the run is stopped and undone, not torn down
                self.run.abort(f"bug in {name}: {type(err).__name__}: {err}")

        self.tasks.start_soon(task, name=name)
