"""A program that the sandbox keeps running: a node's agent, the stand-in responder. Restarted when it dies."""

import os
from dataclasses import dataclass, replace
from pathlib import Path

import anyio
import structlog
from anyio.abc import TaskStatus

from offbus.errors import CouldNotRun
from offbus_sandbox.config import Backoff
from offbus_sandbox.processes.child import Child, Command
from offbus_sandbox.processes.restart_backoff import restarted
from offbus_sandbox.processes.table import ProcessId

__all__ = ["Service"]

RESTARTS = Backoff(base_s=0.2, cap_s=5.0, forget_after_s=10.0)
READY_WITHIN_S = 30.0
GRACE_S = 5.0


@dataclass(slots=True)
class Service:
    """One program. It gets `--ready-fd N` and writes to N when it is ready."""

    name: str
    command: Command
    records: Path
    restarts: int = 0
    process: ProcessId | None = None

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Keep it running until cancelled. `task_status.started` is called when it is ready for the first time.

        Raises CouldNotRun when it does not become ready the first time; later failures are logged and retried.
        """

        async def life(number: int) -> None:
            self.restarts = number
            await self._once(None if number else task_status)

        await restarted(RESTARTS, life, lambda _pause_s: None)

    async def _once(self, first: TaskStatus[None] | None) -> None:
        """Run it until it ends; `first` is set for the first start, which must become ready."""
        ready, tell = os.pipe()
        argv = (*self.command.argv, "--ready-fd", str(tell))
        try:
            child = Child(replace(self.command, argv=argv, pass_fds=(tell,)), self.records)
            self.process = child.id
            try:
                os.close(tell)
                tell = -1
                if not await is_ready(ready) and first:
                    raise CouldNotRun(f"{self.name} did not start", hint=f"see {self.command.log}")
                if first:
                    first.started()
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


async def is_ready(fd: int) -> bool:
    """Whether the program reported that it is ready; a descriptor closed without data means that it has ended."""
    with anyio.move_on_after(READY_WITHIN_S):
        await anyio.wait_readable(fd)
        return bool(os.read(fd, 1))
    return False
