"""A child process in its own session, its output in a file, its end an event.

It is recorded in a file before anybody relies on it, and carries the sandbox's mark in its environment, so that the
next supervisor finds it after this one was killed. Nothing here uses a shell.
"""

import asyncio
import os
import secrets
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import anyio

from offbus_sandbox.processes.ending import belongs, end_all
from offbus_sandbox.processes.table import CHILD_MARK, ProcessId, processes

__all__ = ["Child", "Command", "ExitStatus", "recorded"]


@dataclass(frozen=True, slots=True)
class Command:
    """What to start. `argv[0]` is looked up in the PATH of `env`."""

    argv: Sequence[str]
    env: Mapping[str, str]
    log: Path
    """Receives stdout and stderr, appended."""
    cwd: Path
    pass_fds: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class ExitStatus:
    """How a process ended, as a container runtime reports it: 128 + signal for a killed one."""

    code: int
    signal: int

    @classmethod
    def of(cls, returncode: int) -> "ExitStatus":
        """From `subprocess`'s return code, negative for signals."""
        return cls(128 - returncode, -returncode) if returncode < 0 else cls(returncode, 0)


class Child:
    """A child, started when this is made; always `end` it, also after it has exited: its descendants may still run."""

    def __init__(self, command: Command, records: Path) -> None:
        """Start it. Raises OSError when that fails (no such program, no such folder)."""
        self.mark = secrets.token_hex(8)
        with command.log.open("ab") as log:
            # the program's path is from the *child's* PATH: subprocess would search ours
            program, path = command.argv[0], command.env.get("PATH", "")
            found = program if "/" in program else shutil.which(program, path=path)
            if found is None:
                raise FileNotFoundError(f"{program} is not in PATH {path}")
            self._process = subprocess.Popen(
                [found, *command.argv[1:]],
                env={**command.env, CHILD_MARK: self.mark},
                cwd=command.cwd,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=command.pass_fds,
                start_new_session=True,
            )
        identity = ProcessId.of(self._process.pid)
        assert identity is not None, "a child stays in the table until it is waited for"  # noqa: S101
        self.id = identity
        self._record = records / str(identity.pid)
        self._record.write_text(f"{identity.start} {self.mark}\n")
        self.exited = anyio.Event()
        self._pidfd = os.pidfd_open(identity.pid)
        asyncio.get_running_loop().add_reader(self._pidfd, self._on_exit)

    async def wait(self) -> ExitStatus:
        """Wait until it has ended by itself."""
        await self.exited.wait()
        return ExitStatus.of(self._process.returncode)

    def kill(self) -> None:
        """SIGKILL, now; `end` cleans up after it."""
        if self._process.returncode is None:
            self._process.kill()

    async def end(self, grace_s: float) -> ExitStatus:
        """SIGTERM, `grace_s` seconds, then SIGKILL to its whole session; returns when all have ended."""
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)
            with anyio.move_on_after(grace_s):
                await self.exited.wait()
        self.kill()
        # its session, and those that left the session but carry its mark
        await end_all(lambda: [p for p in processes() if belongs(p, self.id, self.mark)])
        await self.exited.wait()
        self._record.unlink(missing_ok=True)
        return ExitStatus.of(self._process.returncode)

    def _on_exit(self) -> None:
        if self._process.poll() is None:
            return
        asyncio.get_running_loop().remove_reader(self._pidfd)
        os.close(self._pidfd)
        self.exited.set()


def recorded(records: Path) -> list[tuple[ProcessId, str]]:
    """The recorded children, alive or not, each with its mark."""
    found = []
    for record in records.iterdir():
        with suppress(
            ValueError, FileNotFoundError
        ):  # half-written before a kill: the sandbox's mark finds that process
            start, mark = record.read_text().split()
            found.append((ProcessId(int(record.name), int(start)), mark))
    return found
