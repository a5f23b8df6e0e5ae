"""The step types of the world of the engine's tests (world.py), and the registry that holds all of it."""

from datetime import timedelta

import anyio
from pydantic import Field

from offbus.cleanup import CLEANUP
from offbus.environment import EnvironmentType
from offbus.errors import JournalError, Retryable, StepError, StepFailed
from offbus.plugins import Registry
from offbus.step import Context, Kind, Outputs, Params, StepType
from offbus.undo import Undo
from tests.kits.engine.world import (
    UNDO_TYPES,
    Disarm,
    RestoreKey,
    Unregistered,
    WorldGuards,
    WorldOpener,
    WorldOptions,
    world_of,
)


class SetParams(Params):
    key: str = Field(description="Which key.")
    value: str = Field(default="set", description="Its new value.")
    undo: str = Field(default="restore_key", description="Which undo type.")
    seconds: float = Field(default=0, description="How long to stay after the change.")
    fail: str = Field(default="", description="Raise this afterwards: see _raise.")
    fault: bool = Field(default=False, description="Declare and prove a fault.")
    prove: bool = Field(default=True, description="Prove the declared fault.")


class SetOutputs(Outputs):
    key: str
    count: int
    share: float
    late: str | None = None


async def set_key(ctx: Context, params: SetParams) -> SetOutputs:
    """Set a key, after its undo was journaled."""
    world = world_of(ctx.environment)
    before = world.items.get(params.key)
    if params.undo == "unregistered":
        undo: Undo = Unregistered(key=params.key, before=before, intended=params.value)
    elif params.undo in ("explode", "hang"):
        undo = UNDO_TYPES[params.undo]()
    else:
        undo = UNDO_TYPES[params.undo](key=params.key, before=before, intended=params.value)  # type: ignore[call-arg]
    await ctx.undo(undo)
    world.put(params.key, params.value)
    if params.fault:
        ctx.fault_declared(
            fault=f"fault-{ctx.step}", subject="world", planes={"key": "the key was not read back"}
        )
        if params.prove:
            ctx.fault_proven(
                fault=f"fault-{ctx.step}", plane="key", evidence={"value": world.items[params.key]}
            )
    if params.seconds:
        await ctx.sleep(timedelta(seconds=params.seconds))
    _raise(params.fail)
    return SetOutputs(key=params.key, count=3, share=0.5)


def _raise(kind: str) -> None:
    match kind:
        case "failed":
            raise StepFailed("the world did not follow")
        case "errored":
            raise StepError("the call was refused")
        case "retry":
            raise Retryable("not now", after=timedelta(seconds=2))
        case "bug":
            raise ZeroDivisionError("oops")
        case "several":
            raise ExceptionGroup(
                "tasks", [ExceptionGroup("a task's", [JournalError("full")]), *_of_two_tasks()]
            )
        case "several and a bug":
            raise ExceptionGroup(
                "tasks", [*_of_two_tasks(), ExceptionGroup("a task's", [ZeroDivisionError("oops")])]
            )


def _of_two_tasks() -> list[Exception]:
    return [
        StepFailed("a did not follow", evidence={"key": "a"}),
        StepError("b was refused", evidence={"key": "b"}),
    ]


class WaitParams(Params):
    seconds: float = Field(description="How long.")


class WaitOutputs(Outputs):
    waited: float


async def wait(ctx: Context, params: WaitParams) -> WaitOutputs:
    """Look on for a while."""
    await ctx.sleep(timedelta(seconds=params.seconds))
    return WaitOutputs(waited=params.seconds)


class WatchParams(Params):
    warm_up: float = Field(default=0, description="Seconds until ready.")
    linger: float = Field(default=0, description="Seconds to go on after being asked to stop.")
    key: str = Field(default="", description="A key to set while it runs.")


class WatchOutputs(Outputs):
    ticks: int


async def watch(ctx: Context, params: WatchParams) -> WatchOutputs:
    """Run beside the others until asked to stop."""
    await ctx.sleep(timedelta(seconds=params.warm_up))
    if params.key:
        await ctx.undo(RestoreKey(key=params.key, before=None, intended="watched"))
        world_of(ctx.environment).put(params.key, "watched")
    ctx.ready()
    await ctx.stopped()
    await ctx.sleep(timedelta(seconds=params.linger))
    ctx.metric("ticks", 5, "1")
    return WatchOutputs(ticks=5)


class ShieldParams(Params):
    seconds: float = Field(description="How long it goes on, whatever happens.")
    key: str = Field(default="", description="A key that is set at the end of that time.")
    late: str = Field(default="", description="A key that it wants to set after that time.")


async def shield(ctx: Context, params: ShieldParams) -> "NoOutputs":
    """A rude step: it does not heed its cancellation."""
    if params.key:
        await ctx.undo(Disarm(key=params.key, before=None, intended="set"))
    with anyio.CancelScope(shield=True):
        await ctx.sleep(timedelta(seconds=params.seconds))
        if params.key:
            world_of(ctx.environment).put(params.key, "set")
        if params.late:
            await ctx.undo(RestoreKey(key=params.late, before=None, intended="set"))
            world_of(ctx.environment).put(params.late, "set")
    return NoOutputs()


class MeasureParams(Params):
    levels: list[float] = Field(description="What is measured.")
    every: float = Field(default=1, description="Seconds before each measurement.")


async def measure(ctx: Context, params: MeasureParams) -> "NoOutputs":
    """Measure one level after the other."""
    for level in params.levels:
        await ctx.sleep(timedelta(seconds=params.every))
        ctx.metric("level", level, "1")
    return NoOutputs()


class AbortParams(Params):
    reason: str = Field(default="too many", description="What the guard says.")


class NoOutputs(Outputs):
    pass


async def abort(ctx: Context, params: AbortParams) -> NoOutputs:
    """A guard stops the run from inside the environment."""
    world_of(ctx.environment).run.abort(params.reason)
    await anyio.sleep_forever()
    raise AssertionError


STEP_TYPES = {
    kind.name: kind
    for kind in (
        StepType(
            name="set_key",
            kind=Kind.ACTION,
            summary="Set.",
            params=SetParams,
            outputs=SetOutputs,
            run=set_key,
        ),
        StepType(
            name="wait",
            kind=Kind.OBSERVATION,
            summary="Wait.",
            params=WaitParams,
            outputs=WaitOutputs,
            run=wait,
        ),
        StepType(
            name="watch",
            kind=Kind.OBSERVATION,
            summary="Watch.",
            params=WatchParams,
            outputs=WatchOutputs,
            run=watch,
            background=True,
            metrics={"ticks": "double"},
        ),
        StepType(
            name="abort", kind=Kind.ACTION, summary="Abort.", params=AbortParams, outputs=NoOutputs, run=abort
        ),
        StepType(
            name="shield",
            kind=Kind.ACTION,
            summary="Be rude.",
            params=ShieldParams,
            outputs=NoOutputs,
            run=shield,
        ),
        StepType(
            name="measure",
            kind=Kind.OBSERVATION,
            summary="Measure.",
            params=MeasureParams,
            outputs=NoOutputs,
            run=measure,
            metrics={"level": "double"},
        ),
        StepType(
            name="missing",
            kind=Kind.ACTION,
            summary="Nothing runs it.",
            params=WaitParams,
            outputs=WaitOutputs,
            run="world_missing:run",
        ),
        CLEANUP,
    )
}

REGISTRY = Registry.of(
    steps=STEP_TYPES,
    environments={
        "world": EnvironmentType(
            name="world", summary="A file.", options=WorldOptions, guards=WorldGuards, opener=WorldOpener()
        )
    },
    undos=UNDO_TYPES,
)
