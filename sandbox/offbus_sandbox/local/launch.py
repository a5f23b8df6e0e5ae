"""Starting, finding and ending supervisors, from the outside."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import anyio

from offbus.errors import CouldNotRun
from offbus.journal.lock import FileLock, HeldElsewhere
from offbus_sandbox.config import SandboxConfig
from offbus_sandbox.layout import Layout
from offbus_sandbox.processes.ending import wait_gone
from offbus_sandbox.processes.survey import end_leftovers, leftovers
from offbus_sandbox.processes.table import MARK, ProcessId, signal_process

__all__ = ["is_running", "start", "stop"]

READY = b'{"ready"'
"""How the line of a supervisor that serves begins (offbus_sandbox.supervisor)."""
READY_WITHIN_S = 60.0
GONE_WITHIN_S = 30.0


def is_running(layout: Layout) -> bool:
    """Whether a supervisor holds the folder."""
    if not layout.lock.exists():
        return False
    try:
        with FileLock(layout.lock, str(layout.real)):
            return False
    except HeldElsewhere:
        return True


async def start(layout: Layout, config: SandboxConfig) -> None:
    """Start a supervisor; returns when it serves and all agents do.

    Raises CouldNotRun, saying why it did not come up; then nothing of it is left, nor after a cancellation.
    """
    layout.make()
    config.save(layout.config)
    ready, tell = os.pipe()
    try:
        launch(layout, tell)
        os.close(tell)
        message = await heard_in_time(ready)
        if message is None:
            await stop(layout)
            message = {"error": f"it was not ready within {READY_WITHIN_S:g} s"}
    except BaseException:
        await end_unready(layout, ready)
        raise
    finally:
        os.close(ready)
    if not message.get("ready"):
        await refuse(layout, message)


async def end_unready(layout: Layout, ready: int) -> None:
    """End a supervisor that is still starting: it must be up, or gone, before it can be asked to end all it started."""
    with anyio.CancelScope(shield=True):
        with anyio.move_on_after(GONE_WITHIN_S):
            await heard(ready)
        await stop(layout)


async def refuse(layout: Layout, message: Mapping[str, Any]) -> None:
    """Raise CouldNotRun for a supervisor that has gone; what it left is ended, unless another holds the folder."""
    if not is_running(layout):
        await end_leftovers(layout)
    why = message.get("error") or "it ended without a word"
    hint = message.get("hint") or f"see {layout.logs / 'supervisor.log'}"
    raise CouldNotRun(f"the local environment did not start: {why}", hint=str(hint))


def launch(layout: Layout, tell: int) -> None:
    """Start the process; it detaches itself, so waiting for it here takes a moment."""
    argv = [
        sys.executable,
        "-m",
        "offbus_sandbox.supervisor",
        "--dir",
        str(layout.real),
        "--ready-fd",
        str(tell),
    ]
    with (layout.logs / "supervisor.log").open("ab") as log:
        subprocess.run(
            argv,
            env={**os.environ, MARK: layout.id},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(tell,),
            start_new_session=True,
            check=False,
        )


async def heard_in_time(fd: int) -> Mapping[str, Any] | None:
    """What the supervisor says; None when it takes too long."""
    with anyio.move_on_after(READY_WITHIN_S):
        return await heard(fd)
    return None


async def heard(fd: int) -> Mapping[str, Any]:
    """What the supervisor says: that it is ready, or, when it has ended, why; empty when it said nothing."""
    text = b""
    while not text.startswith(READY) or not text.endswith(b"\n"):
        await anyio.wait_readable(fd)
        part = os.read(fd, 4096)
        if not part:
            break
        text += part
    try:
        message = json.loads(text)
    except ValueError:
        return {}
    return message if isinstance(message, dict) else {}


async def stop(layout: Layout) -> None:
    """End a sandbox, and prove that no process of it is left. Raises CouldNotRun naming what would not end."""
    if is_running(layout):
        await ask_to_stop(layout)
    await end_leftovers(layout)
    remaining = leftovers(layout)
    if remaining:
        names = ", ".join(f"{p.id.pid} {p.command()}" for p in remaining)
        raise CouldNotRun(f"processes of {layout.real} could not be ended: {names}", hint="end them by hand")


async def ask_to_stop(layout: Layout) -> None:
    """SIGTERM to whoever holds the lock, and wait until it has gone; one that takes too long is ended with the rest."""
    holder = json.loads(layout.lock.read_text())["pid"]
    supervisor = ProcessId.of(holder)
    if supervisor is None:
        return
    signal_process(supervisor, signal.SIGTERM)
    with anyio.move_on_after(GONE_WITHIN_S):
        await wait_gone(supervisor)
