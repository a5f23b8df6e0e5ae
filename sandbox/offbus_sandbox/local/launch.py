"""Starts, finds and ends supervisors, from the outside."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import anyio

from offbus.errors import CouldNotRun
from offbus.journal.lock import FileLock, holder_of
from offbus_sandbox.config import SandboxConfig
from offbus_sandbox.layout import Layout
from offbus_sandbox.processes.ending import wait_gone
from offbus_sandbox.processes.survey import end_leftovers, leftovers
from offbus_sandbox.processes.table import MARK, ProcessId, signal_process

__all__ = ["is_running", "start", "stop"]

READY = b'{"ready"'
"""How the line of a ready supervisor begins (offbus_sandbox.supervisor)."""
READY_WITHIN_S = 60.0
GONE_WITHIN_S = 30.0


def is_running(layout: Layout) -> bool:
    """Whether a supervisor holds the folder. Raises CouldNotRun when that cannot be asked."""
    return FileLock(layout.lock, str(layout.real)).is_held()


async def start(layout: Layout, config: SandboxConfig) -> None:
    """Start a supervisor; returns when it and all agents are ready.

    Raises CouldNotRun with the reason why it did not start. Nothing is left behind then, nor after a cancellation.
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
            message = {"error": f"timed out after {READY_WITHIN_S:g}s waiting for it to be ready"}
    except BaseException:
        await end_unready(layout, ready)
        raise
    finally:
        os.close(ready)
    if not message.get("ready"):
        if not is_running(layout):  # another supervisor may hold the folder
            await end_leftovers(layout)
        why = message.get("error") or "the supervisor ended without an error message"
        hint = message.get("hint") or f"see {layout.logs / 'supervisor.log'}"
        raise CouldNotRun(f"the local environment did not start: {why}", hint=str(hint))


async def end_unready(layout: Layout, ready: int) -> None:
    """End a supervisor that is still starting: it can end what it started only once it is up, unless it is gone."""
    with anyio.CancelScope(shield=True):
        with anyio.move_on_after(GONE_WITHIN_S):
            await heard(ready)
        await stop(layout)


def launch(layout: Layout, tell: int) -> None:
    """Start the process; it detaches itself, so waiting for it here is short."""
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
    """The supervisor's message; None after the timeout."""
    with anyio.move_on_after(READY_WITHIN_S):
        return await heard(fd)
    return None


async def heard(fd: int) -> Mapping[str, Any]:
    """The supervisor's message: that it is ready, or why it has ended; empty when it sent none."""
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
    """End a sandbox, and verify that no process of it is left. Raises CouldNotRun with those that did not end."""
    holder = holder_of(layout.lock) if is_running(layout) else None
    supervisor = ProcessId.of(holder.pid) if holder is not None else None
    if supervisor is not None:  # one that takes too long, or is not known, ends with the rest
        signal_process(supervisor, signal.SIGTERM)
        with anyio.move_on_after(GONE_WITHIN_S):
            await wait_gone(supervisor)
    await end_leftovers(layout)
    remaining = leftovers(layout)
    if remaining:
        names = ", ".join(f"{p.id.pid} {p.command()}" for p in remaining)
        raise CouldNotRun(f"cannot end processes of {layout.real}: {names}", hint="end them by hand")
