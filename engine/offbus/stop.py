"""Asks the process that holds a run to stop. It is found by the run's lock, and verified to be that process.

The run's lock says which process holds it: host, boot, pid and when that process started. What a file says may be
anybody's word, also in a folder that is this user's alone (an archive that was unpacked), and who can only read a file
can hold its lock: the process that is named must itself hold it, as the kernel says (`Holder.holds`). It is signalled
through a pidfd (pidfd_open(2)), opened before all of this is compared, so that a pid that is used again
meanwhile is never hit.

The signal is SIGTERM: as a first signal it does what Ctrl-C does, and unlike SIGINT it is never a second one.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from offbus.errors import CouldNotRun
from offbus.journal.lock import Holder
from offbus.open_run import OpenRun

__all__ = ["asked_to_stop", "is_suspended"]


@contextmanager
def asked_to_stop(folder: OpenRun) -> Iterator[int | None]:
    """Ask the process that holds a run to stop; a pidfd of it, None when it has already ended. Raises CouldNotRun."""
    process = _process_of(folder)
    try:
        try:
            signal.pidfd_send_signal(process, signal.SIGTERM)
        except ProcessLookupError:
            yield None
            return
        yield process
    finally:
        os.close(process)


def _process_of(folder: OpenRun) -> int:
    """A pidfd of the process that holds the run, verified. Raises CouldNotRun."""
    holder, hint = folder.holder, f"on its machine, run: offbus stop {folder.id}"
    if holder is None:
        raise CouldNotRun(f"run {folder.id} does not say which process holds it", hint=hint)
    elsewhere = f"run {folder.id} is held by {holder}, which is not on this machine"
    try:
        process = os.pidfd_open(holder.pid)
    except OSError as err:
        raise CouldNotRun(elsewhere, hint=hint) from err
    if why := _objection(folder, holder) if holder.is_here else elsewhere:
        os.close(process)
        raise CouldNotRun(why, hint=hint)
    return process


def _objection(folder: OpenRun, holder: Holder) -> str:
    """Why a process of this machine is not asked; "" for the one that holds the run."""
    try:
        held = folder.is_held_by(holder)
    except OSError as err:
        return f"whether {holder} holds run {folder.id} cannot be determined: {err.strerror}"
    return "" if held else f"{holder} does not hold run {folder.id}, though its lock names it"


def is_suspended(pid: int) -> bool:
    """Whether a process is stopped (Ctrl-Z, SIGSTOP): it gets a signal only when it is resumed."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return state.rpartition(")")[2].split()[0] in ("T", "t")
