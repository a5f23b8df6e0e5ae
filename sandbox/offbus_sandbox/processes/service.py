"""A program that the sandbox keeps running: a node's agent, the stand-in responder. Restarted when it dies."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import anyio
import structlog
from anyio.abc import TaskStatus

from offbus.errors import CouldNotRun
from offbus_sandbox.config import Backoff
from offbus_sandbox.processes.backoff import restarted
from offbus_sandbox.processes.child import Child, Command
from offbus_sandbox.processes.table import ProcessId

__all__ = ["Service"]

RESTARTS = Backoff(base_s=0.2, cap_s=5.0, forget_after_s=10.0)
READY_WITHIN_S = 30.0
GRACE_S = 5.0


@dataclass(slots=True)
class Service:
    """One program. It gets `--ready-fd N` and writes to N when it does its job."""

    name: str
    command: Command
    records: Path
    restarts: int = 0
    process: ProcessId | None = None

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Keep it running until cancelled. `task_status.started` is called when it is ready for the first time.

        Raises CouldNotRun when it does not get ready the first time; later failures are logged and tried again.
        """

        async def life(number: int) -> None:
            self.restarts = number
            await self._once(lambda ready: None if number else self._first(ready, task_status))

        await restarted(RESTARTS, life, lambda _pause_s: None)

    def _first(self, ready: bool, task_status: TaskStatus[None]) -> None:
        if not ready:
            raise CouldNotRun(f"{self.name} did not come up", hint=f"see {self.command.log}")
        task_status.started()

    async def _once(self, told: Callable[[bool], None]) -> None:
        ready, tell = os.pipe()
        try:
            child = self._start(tell)
            self.process = child.id
            try:
                os.close(tell)
                tell = -1
                told(await is_ready(ready))
                status = await child.wait()
                structlog.get_logger().warning(
                    "ended, will be restarted", service=self.name, code=status.code
                )
            finally:
                self.process = None
                with anyio.CancelScope(shield=True):  # bounded: GRACE_S, then SIGKILL
                    await child.end(GRACE_S)
        finally:
            for fd in {ready, tell} - {-1}:
                os.close(fd)

    def _start(self, tell: int) -> Child:
        own = self.command
        argv = (*own.argv, "--ready-fd", str(tell))
        return Child.start(Command(argv, own.env, own.log, own.cwd, pass_fds=(tell,)), self.records)


async def is_ready(fd: int) -> bool:
    """Whether the other end wrote something; it closing without a word means that the program has ended."""
    with anyio.move_on_after(READY_WITHIN_S):
        await anyio.wait_readable(fd)
        return bool(os.read(fd, 1))
    return False
