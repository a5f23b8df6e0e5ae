"""Runs beside the steps: disarms faults after a stop without waiting for steps, and halts `always` steps in time."""

from datetime import timedelta

import anyio

from offbus.runner.scheduler import Scheduler
from offbus.runner.step_runner import Stepper
from offbus.runner.undo_registry import UndoLog

__all__ = ["FAST_DISARM_AFTER", "fast_disarm", "halt_after"]

FAST_DISARM_AFTER = timedelta(milliseconds=250)
"""How long the steps may take to end after a stop before the faults are disarmed without waiting for them."""


async def fast_disarm(stop_requested: anyio.Event, stepper: Stepper, undos: UndoLog) -> None:
    """Once a stop is requested: disarm what steps that do not end leave armed. Cancelled when all steps have ended."""
    await stop_requested.wait()
    await anyio.sleep(FAST_DISARM_AFTER.total_seconds())
    with anyio.CancelScope(shield=True):
        await undos.disarm_now(stepper.running)


async def halt_after(limit: timedelta, playing: Scheduler) -> None:
    """Halt `always` steps that take more than their share of the undo's budget."""
    await anyio.sleep(limit.total_seconds())
    playing.halt(f"`always` steps did not end within {limit.total_seconds():g} s, half of undo_timeout")
