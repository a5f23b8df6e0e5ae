"""The step types of the world of the engine's tests (world.py), and the registry that holds all of it.

Drills in YAML use small types that say what they mean (`set_key`, `wait`); the laws use `act_action` and
`act_observation` (world_acts.py), which do anything that a step can do.
"""

from datetime import timedelta

import anyio
from pydantic import Field

from offbus.cleanup import CLEANUP
from offbus.plugins import Registry
from offbus.scenario_step import SCENARIO
from offbus.step import Context, Kind, Outputs, Params, StepType
from tests.kits.engine.world import Storage, world_of, world_type
from tests.kits.engine.world_acts import ACTS, Effect, Ending, abort_run, change, declare_fault, end
from tests.kits.engine.world_undos import UNDO_TYPES, RestoreKey


class NoOutputs(Outputs):
    """Nothing to tell."""


class SetParams(Params):
    key: str = Field(description="Which key.")
    value: str = Field(default="set", description="Its new value.")
    undo: str = Field(default="restore_key", description="Which undo type.")
    seconds: float = Field(default=0, description="How long to stay after the change.")
    fail: Ending = Field(default="passes", description="How it ends.")
    fault: bool = Field(default=False, description="Declare and prove a fault.")
    prove: bool = Field(default=True, description="Prove the declared fault.")


class SetOutputs(Outputs):
    key: str
    count: int
    share: float
    late: str | None = None


async def set_key(ctx: Context, params: SetParams) -> SetOutputs:
    """Set a key."""
    await change(ctx, Effect(key=params.key, value=params.value, undo=params.undo))
    if params.fault:
        declare_fault(ctx, params.key, proven=params.prove)
    if params.seconds:
        await ctx.sleep(timedelta(seconds=params.seconds))
    await end(ctx, params.fail)
    return SetOutputs(key=params.key, count=3, share=0.5)


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
        await change(ctx, Effect(key=params.key, value="watched"))
    ctx.ready()
    await ctx.stopped()
    await ctx.sleep(timedelta(seconds=params.linger))
    ctx.metric("ticks", 5, "1")
    return WatchOutputs(ticks=5)


class ShieldParams(Params):
    seconds: float = Field(description="How long it goes on, whatever happens.")
    key: str = Field(default="", description="A key that is set at the end of that time.")
    late: str = Field(default="", description="A key that it wants to set after that time.")


async def shield(ctx: Context, params: ShieldParams) -> NoOutputs:
    """A rude step: it does not heed its cancellation."""
    with anyio.CancelScope(shield=True):
        if params.key:
            await change(ctx, Effect(key=params.key, undo="disarm", takes=params.seconds))
        else:
            await ctx.sleep(timedelta(seconds=params.seconds))
        if params.late:
            await change(ctx, Effect(key=params.late))
    return NoOutputs()


class MakeParams(Params):
    key: str = Field(description="Which key.")
    forget: bool = Field(default=False, description="Amend an undo that it did not record.")


async def make_key(ctx: Context, params: MakeParams) -> NoOutputs:
    """Make a key whose value only the world knows: it is added to the undo's record."""
    world, undo = world_of(ctx.environment), RestoreKey(key=params.key, before=None, intended=None)
    if not params.forget:
        await ctx.undo(undo)
    world.put(params.key, f"made-{params.key}")
    await ctx.amend(undo, undo.model_copy(update={"intended": world.items[params.key]}))
    return NoOutputs()


class MeasureParams(Params):
    levels: list[float] = Field(description="What is measured.")
    every: float = Field(default=1, description="Seconds before each measurement.")


async def measure(ctx: Context, params: MeasureParams) -> NoOutputs:
    """Measure one level after the other."""
    for level in params.levels:
        await ctx.sleep(timedelta(seconds=params.every))
        ctx.metric("level", level, "1")
    return NoOutputs()


class AbortParams(Params):
    reason: str = Field(default="too many", description="What the guard says.")


async def abort(ctx: Context, params: AbortParams) -> NoOutputs:
    """A guard stops the run from inside the environment."""
    await abort_run(ctx, params.reason)
    raise AssertionError


STEP_TYPES = {
    kind.name: kind
    for kind in (
        StepType(
            name="make_key",
            kind=Kind.ACTION,
            summary="Make.",
            params=MakeParams,
            outputs=NoOutputs,
            run=make_key,
        ),
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
        SCENARIO,
        *ACTS.values(),
    )
}


def registry_of(storage: Storage | None = None) -> Registry:
    """All that there is, in a world of that storage."""
    return Registry.of(steps=STEP_TYPES, environments={"world": world_type(storage)}, undos=UNDO_TYPES)


REGISTRY = registry_of()
