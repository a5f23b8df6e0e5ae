"""Which file a process finds under a name, in its own mount namespace, within a bounded time.

A pod decides what is mounted there, and a file system of its own (FUSE) may never answer: whoever waits for one cannot
even be killed once its program has taken the request (Linux, fs/fuse/dev.c: request_wait_answer). So no thread of the
agent asks. A child process does (`file_status`), for all of them in turn; it is given `ANSWER_S`, then it is killed and
not waited for. Of children that do not end there are at most `MOST_STUCK`, and while there are that many nobody is
asked. Who was not asked, or has not answered, is missing in the result: what that means is for the caller to say.

What else the agent reads of a process comes from the kernel alone, without a file system of the pod's: /proc/PID/stat,
status, cgroup, maps, the links exe and ns/*, and of its memory (cmdline, environ) what is in no file (FOLL_ANON, since
CVE-2018-1120).
"""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from offbus_agent.metadata import FileId

__all__ = ["ANSWER_S", "MOST_STUCK", "files_seen"]

ANSWER_S = 3.0
"""For all of them together: each takes well under a millisecond."""
MOST_STUCK = 3
MOST_ASKED = 256
"""More monitors than any node has; who starts more only has itself, and others, not asked."""
LONGEST_PATH = 4096
"""PATH_MAX: no file has a longer name."""

_PROGRAM = Path(__file__).with_name("file_status.py")
_stuck: list["subprocess.Popen[bytes]"] = []
"""Children that were killed and have not ended yet."""


def files_seen(paths: Mapping[int, Path]) -> dict[int, FileId | None]:
    """What each process (by its pid) finds under its name; None: no file, or only through a link, or no absolute name.

    Those that did not answer in time are left out. Takes at most `ANSWER_S`. For one thread at a time.
    """
    _stuck[:] = [child for child in _stuck if child.poll() is None]
    asked = {
        pid: str(path) for pid, path in paths.items() if path.is_absolute() and len(str(path)) <= LONGEST_PATH
    }
    found: dict[int, FileId | None] = dict.fromkeys(paths.keys() - asked.keys())
    if asked and len(_stuck) < MOST_STUCK:
        for line in _answers(json.dumps(list(asked.items())[:MOST_ASKED]).encode()):
            pid, *file = map(int, line.split())
            found[pid] = (file[0], file[1]) if file else None
    return found


def _answers(question: bytes) -> list[bytes]:
    """The child's lines, as far as it came."""
    command = [sys.executable, "-I", "-S", str(_PROGRAM)]
    child = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    try:
        told = child.communicate(question, timeout=ANSWER_S)[0]
    except subprocess.TimeoutExpired as late:
        child.kill()
        _stuck.append(child)
        for pipe in filter(None, (child.stdin, child.stdout)):
            pipe.close()
        told = late.output or b""
    return told.split(b"\n")[:-1]
