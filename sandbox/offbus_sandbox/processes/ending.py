"""Ends processes reliably: signal, wait for the kernel to confirm, repeat until none is left."""

import os
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress

import anyio

from offbus_sandbox.processes.table import CHILD_MARK, MARK, Process, ProcessId, processes, signal_process

__all__ = ["belongs", "end_all", "marked", "wait_gone"]

Find = Callable[[], Sequence[Process]]


def belongs(process: Process, leader: ProcessId, mark: str) -> bool:
    """Whether a process is of a child's family: of `leader`'s session, or one that left it but carries its mark.

    A session's number is not reused while a member lives, so a process older than `leader` belongs to an earlier
    session of that number.
    """
    in_session = process.session == leader.pid and process.id.start >= leader.start
    return in_session or (mark != "" and process.environment().get(CHILD_MARK) == mark)


def marked(sandbox: str) -> list[Process]:
    """The processes that carry a sandbox's mark, in any session, except the caller."""
    return [p for p in processes() if p.id.pid != os.getpid() and p.environment().get(MARK) == sandbox]


async def wait_gone(process: ProcessId) -> None:
    """Return when that process has ended. A pidfd becomes readable then (pidfd_open(2))."""
    try:
        fd = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return
    try:
        while process.alive:
            await anyio.wait_readable(fd)
    finally:
        os.close(fd)


async def end_all(find: Find, *, grace_s: float = 0.0) -> None:
    """End everything that `find` finds, until it finds nothing: SIGTERM, `grace_s` seconds, SIGKILL.

    A process that forks while it is being killed is found by the next round.
    """
    victims = [p.id for p in find()]
    if victims and grace_s > 0:
        with anyio.move_on_after(grace_s):
            await signalled(victims, signal.SIGTERM)
    while victims := [p.id for p in find()]:
        await signalled(victims, signal.SIGKILL)


async def signalled(victims: Sequence[ProcessId], number: signal.Signals) -> None:
    """Send the signal to all, then wait for all."""
    for victim in victims:
        with suppress(PermissionError):  # of another user; `find` still returns it, and the caller reports it
            signal_process(victim, number)
    async with anyio.create_task_group() as group:
        for victim in victims:
            group.start_soon(wait_gone, victim)
