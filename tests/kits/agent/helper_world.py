"""The kernel-log helper on a node that is a folder: the real program, asked over its real socket."""

import os
import select
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from offbus_agent.kmsg_helper import HelperUnreachable, KmsgHelper
from offbus_agent.page.native_library import HELPER, library

WATCHDOG_S = 60


class RunningHelper:
    """The helper's process, listening."""

    def __init__(
        self, root: Path, *options: str, uid: int | None = None, program: Path | None = None
    ) -> None:
        self.root = root
        self.socket = root / "helper" / "socket"
        self.socket.parent.mkdir(exist_ok=True)
        served = os.getuid() if uid is None else uid
        os.chown(self.socket.parent, served, served)
        usual = [f"--socket={self.socket}", f"--uid={served}", f"--gid={served}", f"--root={root}"]
        if not any(option.startswith("--log=") for option in options):
            usual.append(f"--log={root / 'kmsg'}")
        self.process = subprocess.Popen(
            [program or library(HELPER), *usual, *options], stderr=subprocess.PIPE, text=True
        )
        self.client = KmsgHelper(self.socket)
        try:
            self.client.await_listening(WATCHDOG_S)
        except HelperUnreachable as err:
            self.process.kill()
            raise AssertionError(f"{err}; it says: {self.process.communicate()[1]}") from err

    def send(self, packet: bytes) -> bytes:
        """What it answers to these bytes; nothing when it hangs up."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as asked:
            asked.settimeout(WATCHDOG_S)
            asked.connect(str(self.socket))
            asked.sendall(packet)
            return asked.recv(1 << 16)

    def status(self) -> dict[str, str]:
        """Its /proc/PID/status."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End it with a signal; its exit status."""
        self.process.send_signal(number)
        self.process.communicate(timeout=WATCHDOG_S)
        return self.process.returncode


@contextmanager
def helper(root: Path, *options: str, uid: int | None = None) -> Iterator[RunningHelper]:
    """A helper of a node folder, which has a record file."""
    (root / "kmsg").touch()
    started = RunningHelper(root, *options, uid=uid)
    try:
        yield started
    finally:
        if started.process.poll() is None:
            started.stop(signal.SIGKILL)


def hung_up(sock: socket.socket) -> bool:
    """Whether the other side closes within the watchdog's time."""
    readable, _, _ = select.select([sock], [], [], WATCHDOG_S)
    return bool(readable) and sock.recv(1) == b""
