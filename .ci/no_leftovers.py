"""Runs a command; if it leaves processes behind, kills them and fails.

Orphans of the command become children of this process (PR_SET_CHILD_SUBREAPER, prctl(2)), also those that
started a session of their own, as the supervisor of `local` does. They have a grace time to end by themselves.
Linux, standard library, any Python 3.9 or newer: it runs before there is a virtual environment.

    python3 .ci/no_leftovers.py [--grace=SECONDS] COMMAND [ARGUMENT…]

Exit status: the command's; 1 when it succeeded and left processes behind.
"""

import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
GRACE = "--grace="
GRACE_S = 20.0


def main(command: list[str]) -> int:
    """Run the command, wait for orphans, report."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise SystemExit(f"no_leftovers: prctl: {os.strerror(ctypes.get_errno())}")
    grace_s = GRACE_S
    if command[0].startswith(GRACE):
        grace_s = float(command.pop(0).removeprefix(GRACE))
    code = subprocess.run(command, check=False).returncode
    killed = end_orphans(grace_s)
    for line in killed:
        print(f"no_leftovers: left behind: {line}", file=sys.stderr)
    return code or bool(killed)


def end_orphans(grace_s: float) -> list[str]:
    """Wait for all orphans; kill those that outlive the grace time. Returns what was killed."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    killed: list[str] = []
    deadline = time.monotonic() + grace_s
    while reap():
        if signal.sigtimedwait({signal.SIGCHLD}, max(0.0, deadline - time.monotonic())) is None:
            for pid in children():  # their own children become ours, and are killed in the next round
                killed.append(f"{pid} {command_line(pid)}")
                os.kill(pid, signal.SIGKILL)
            deadline = time.monotonic() + 1
    return killed


def reap() -> bool:
    """Reap all children that have ended; whether any still runs."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            continue
    except ChildProcessError:
        return False
    return True


def children() -> list[int]:
    """Our children, adopted ones included."""
    tasks = Path("/proc/self/task").iterdir()
    return [int(pid) for task in tasks for pid in (task / "children").read_text().split()]


def command_line(pid: int) -> str:
    """The command line of a process."""
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
