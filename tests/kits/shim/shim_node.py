"""A node for the tests of the shim: its page, two stand-in GPUs, and programs that run under the real shim.

Programs obey one command a line and answer with one line, so that a test knows where a program is without waiting.
"""

import os
import select
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from offbus_agent.page.control import CallClass, ControlPage, EventsPage, ProcessRow, Slot
from offbus_agent.page.events_inotify import Doorbell

GPUS = ("GPU-5d1d9a3e-1111-2222-3333-000000000001", "GPU-5d1d9a3e-1111-2222-3333-000000000002")
PCI = ("0000:3b:00", "0000:5e:00")
MEMORY = 1 << 30
EVERY_CLASS = CallClass(0x7FF)


def now_ns() -> int:
    """The clock of the page."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


class Program:
    """A running test program."""

    def __init__(self, command: Sequence[str | Path], environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.greeting = self._line()

    def tell(self, command: str) -> None:
        """Give a command without waiting for its answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{command}\n")
        self._process.stdin.flush()

    def answer(self) -> str:
        """The answer to the oldest command that has none yet; blocks until it is there."""
        return self._line()

    def has_answered(self) -> bool:
        """Whether an answer can be read now."""
        assert self._process.stdout is not None
        return bool(select.select([self._process.stdout], [], [], 0)[0])

    def ask(self, command: str) -> str:
        """Give a command and wait for its answer."""
        self.tell(command)
        return self.answer()

    def asks(self, *commands: str) -> list[str]:
        """Several commands, one after the other."""
        return [self.ask(command) for command in commands]

    def signal(self, number: int) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def wait_until_stopped(self) -> None:
        """Blocks until SIGSTOP has taken effect."""
        _, status = os.waitpid(self._process.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)

    def end(self) -> str:
        """Let the program end, and return what it wrote to stderr."""
        _, errors = self._process.communicate(timeout=60)
        assert self._process.returncode == 0, errors
        return errors

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().rstrip("\n")


class Node:
    """The page of a node with a living agent, and the environment of its pods."""

    def __init__(self, folder: Path, native: Path) -> None:
        self.folder = folder
        self.native = native
        self.ctl = ControlPage.create(folder / "ctl", heartbeat_ttl_ns=3_600_000_000_000)
        self.ctl.heartbeat(now_ns())
        self.events = EventsPage.create(folder / "events")
        lines = (f"{g} {p}.0 {MEMORY} NVIDIA H100 80GB HBM3\n" for g, p in zip(GPUS, PCI, strict=True))
        (folder / "gpus").write_text("".join(lines), encoding="ascii")

    def environment(self, *, shim: bool = True, **more: str) -> dict[str, str]:
        """What a prepared pod has; with `shim=False` what it had before."""
        plain = {
            "PATH": os.environ["PATH"],
            "LD_LIBRARY_PATH": str(self.native / "standin"),
            "OFFBUS_STANDIN_GPUS": str(self.folder / "gpus"),
        }
        prepared = {"LD_PRELOAD": str(self.native / "liboffbus.so"), "OFFBUS_PAGE_DIR": str(self.folder)}
        return {**plain, **(prepared if shim else {}), **more}

    def proxied(self, **more: str) -> dict[str, str]:
        """What a pod has whose driver libraries are the proxies."""
        path = f"{self.native / 'proxy'}{os.pathsep}{self.native / 'standin'}"
        return {
            **self.environment(shim=False),
            "LD_LIBRARY_PATH": path,
            "OFFBUS_PAGE_DIR": str(self.folder),
            **more,
        }

    def start(self, *command: str | Path, **more: Any) -> Program:
        """Start a program under the shim."""
        return Program(command, self.environment(**more))

    def arm(self, *, fault_id: str = "fault-1", **values: Any) -> int:
        """Arm one slot; by default error 719 on every GPU, for running processes and new ones alike."""
        usual: dict[str, Any] = {"cuda_err": 719, "classes": EVERY_CLASS, "new_procs": True}
        return self.ctl.arm([Slot(fault_id=fault_id, **{**usual, **values})])

    def row(self, generation: int) -> ProcessRow:
        """The only row of a generation."""
        (row,) = [row for row in self.events.read() if row.generation == generation]
        return row

    def close(self) -> None:
        """Let go of the files."""
        self.ctl.close()
        self.events.close()


def hung(node: Node) -> Doorbell:
    """A doorbell at the events file of the node."""
    bell = Doorbell(node.folder)
    bell.watch([node.folder])
    return bell
