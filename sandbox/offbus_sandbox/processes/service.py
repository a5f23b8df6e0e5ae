"""A program that the sandbox keeps running: a node's agent, the stand-in responder. Restarted when it dies."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import anyio
import structlog
from anyio.abc import TaskStatus

from offbus.errors import CouldNotRun
from offbus_sandbox.config import Backoff
from offbus_sandbox.kubelet.backoff import CrashLoop
from offbus_sandbox.processes.child import Child, Command
from offbus_sandbox.processes.table import ProcessId

__all__ = ["Service"]

RESTARTS = Backoff(base_s=0.2, cap_s=5.0, forget_after_s=10.0)
READY_WITHIN_S = 30.0
GRACE_S = 5.0


@dataclass(slots=True)
class Service:
    """One program. `tells_ready`: it gets `--ready-fd N` and writes to N when it serves."""

    name: str
    command: Callable[[], Command]
    records: Path
    tells_ready: bool = False
    restarts: int = 0
    process: ProcessId | None = None

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Keep it running until cancelled. `task_status.started` is called when it first serves.

        Raises CouldNotRun when it does not come up the first time; later failures are logged and tried again.
        """
        crashes = CrashLoop(RESTARTS)
        first = True
        while True:
            begun = time.monotonic()
            await self._once(task_status if first else anyio.TASK_STATUS_IGNORED, first=first)
            first = False
            await anyio.sleep(crashes.delay(time.monotonic() - begun))
            self.restarts += 1

    async def _once(self, task_status: TaskStatus[None], *, first: bool) -> None:
        log = structlog.get_logger().bind(service=self.name)
        ready, tell = os.pipe() if self.tells_ready else (-1, -1)
        command = self.command()
        try:
            child = self._start(command, tell)
        finally:
            close(tell)
        self.process = child.id
        try:
            if not self.tells_ready or await is_ready(ready):
                task_status.started()
            elif first:
                raise CouldNotRun(f"{self.name} did not come up", hint=f"see {command.log}")
            status = await child.wait()
            log.warning("ended, will be restarted", code=status.code)
        finally:
            close(ready)
            self.process = None
            with anyio.CancelScope(shield=True):  # bounded: GRACE_S, then SIGKILL
                await child.end(GRACE_S)

    def _start(self, command: Command, tell: int) -> Child:
        if self.tells_ready:
            argv = (*command.argv, "--ready-fd", str(tell))
            command = Command(argv, command.env, command.log, command.cwd, pass_fds=(tell,))
        return Child.start(command, self.records)


async def is_ready(fd: int) -> bool:
    """Whether the other end wrote something; it closing without a word means that the program has ended."""
    with anyio.move_on_after(READY_WITHIN_S):
        await anyio.wait_readable(fd)
        return bool(os.read(fd, 1))
    return False


def close(fd: int) -> None:
    """Close it if it was opened."""
    if fd >= 0:
        os.close(fd)
