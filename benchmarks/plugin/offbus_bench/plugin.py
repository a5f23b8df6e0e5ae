"""Step types that do nothing, without and with an undo record, in an environment that holds nothing."""

import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from offbus.environment import EnvironmentType, Guards, Options, RunHandle
from offbus.step import Context, Kind, Outputs, Params, StepType
from offbus.undo import Undo, UndoContext, UndoResult


class Nothing:
    """An environment without anything in it."""

    async def fingerprint(self) -> dict[str, Any]:
        """Nothing can change."""
        return {}

    async def close(self, *, finished: bool) -> None:
        """Nothing to end."""


class Opener:
    """Opens it."""

    @asynccontextmanager
    async def open(
        self, options: Options, guards: Guards, run: RunHandle, *, run_dir: str
    ) -> AsyncIterator[Nothing]:
        """For a run."""
        run.opened({})
        yield Nothing()

    @asynccontextmanager
    async def reopen(
        self, state: Mapping[str, Any], run: RunHandle, *, run_dir: str
    ) -> AsyncIterator[Nothing]:
        """For a recovery."""
        yield Nothing()

    def identity(self, options: Options) -> str:
        """The same everywhere."""
        return "nothing"


class UndoNothing(Undo):
    """An undo record that is journaled, fsynced and played, and changes nothing."""

    number: str

    def describe(self) -> str:
        """One line."""
        return f"undo step {self.number}"

    async def undo(self, ctx: UndoContext) -> UndoResult:
        """Nothing was changed."""
        return UndoResult.nothing("nothing was changed")


async def noop(ctx: Context, params: Params) -> Outputs:
    """Do nothing."""
    return Outputs()


async def noop_undo(ctx: Context, params: Params) -> Outputs:
    """Do nothing, with an undo record."""
    await ctx.undo(UndoNothing(number=ctx.step))
    return Outputs()


async def fault(ctx: Context, params: Params) -> Outputs:
    """Prove a fault that is none: a run without one fails as vacuous."""
    ctx.fault_declared(fault=ctx.run_id, subject="nothing", planes={"none": "it was not proven"})
    ctx.fault_proven(fault=ctx.run_id, plane="none", evidence={})
    return Outputs()


async def killed(ctx: Context, params: Params) -> Outputs:
    """Take the runner away as `kill -9` does, at a known place."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("nobody survives SIGKILL")


def step_type(name: str, summary: str, run: Callable[[Any, Any], Awaitable[Any]]) -> StepType:
    """An action without params and outputs."""
    return StepType(name=name, kind=Kind.ACTION, summary=summary, params=Params, outputs=Outputs, run=run)


NOTHING = EnvironmentType(name="nothing", summary="Nothing.", options=Options, guards=Guards, opener=Opener())
FAULT = step_type("fault", "Prove a fault that is none.", fault)
KILLED = step_type("killed", "Kill the runner.", killed)
NOOP = step_type("noop", "Do nothing.", noop)
NOOP_UNDO = step_type("noop_undo", "Do nothing, with an undo.", noop_undo)
