"""What a step does in the world of the engine's tests: any changes, and any way to end or to misbehave."""

from datetime import timedelta
from typing import Any, Literal

import anyio
from pydantic import Field

from offbus.errors import JournalError, Retryable, StepError, StepFailed
from offbus.step import Context, Kind, Outputs, Params, StepType
from tests.kits.engine.world import world_of
from tests.kits.engine.world_undos import UNDO_TYPES, Unregistered

STUBBORN_S = 3.0
"""How long a stubborn step goes on after it was cancelled."""

Ending = Literal[
    "passes",
    "failed",
    "errored",
    "retry",
    "bug",
    "several",
    "several and a bug",
    "hangs",
    "aborts",
    "stubborn",
    "until stopped",
    "nonsense",
]
"""How a step ends once it has done what it does."""


class Brief(Params):
    """Shows only what differs from its defaults: Hypothesis prints it, and the text can be given to `@example`."""

    def __repr_args__(self) -> Any:
        fields = type(self).model_fields
        return [
            (name, value) for name, value in super().__repr_args__() if value != fields[name or ""].default
        ]


class Effect(Brief):
    key: str = Field(description="Which key.")
    value: str = Field(default="set", description="Its new value.")
    undo: str = Field(default="restore_key", description="Which undo type.")
    takes: float = Field(
        default=0, description="Seconds until it is made, whatever happens to the step meanwhile."
    )
    meddled: bool = Field(default=False, description="Somebody else changes it afterwards.")


async def change(ctx: Context, effect: Effect) -> None:
    """Set a key, after its undo was journaled."""
    world = world_of(ctx.environment)
    undo = UNDO_TYPES.get(effect.undo, Unregistered)
    await ctx.undo(undo(key=effect.key, before=world.items.get(effect.key), intended=effect.value))
    if effect.takes:
        with anyio.CancelScope(shield=True):
            await anyio.sleep(effect.takes)
    world.put(effect.key, "theirs" if effect.meddled else effect.value)


def declare_fault(ctx: Context, key: str, *, proven: bool = True) -> None:
    """A fault, seen on the one plane that there is."""
    fault = f"fault-{ctx.step}"
    ctx.fault_declared(fault=fault, subject="world", planes={"key": "the key was not read back"})
    if proven:
        ctx.fault_proven(
            fault=fault, plane="key", evidence={"value": world_of(ctx.environment).items.get(key)}
        )


async def end(ctx: Context, ending: Ending) -> None:
    """Returns only if the step passes, or when what it returns is the misbehaviour."""
    match ending:
        case "hangs":
            await anyio.sleep_forever()
        case "aborts":
            await abort_run(ctx, "too many")
        case "stubborn":
            try:
                await anyio.sleep_forever()
            finally:
                with anyio.CancelScope(shield=True):
                    await anyio.sleep(STUBBORN_S)
        case "until stopped":
            await ctx.stopped()
        case _:
            _raise(ending)


async def abort_run(ctx: Context, reason: str) -> None:
    """A guard stops the run from inside the environment."""
    world_of(ctx.environment).run.abort(reason)
    await anyio.sleep_forever()


def _raise(ending: Ending) -> None:
    match ending:
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


class ActParams(Brief):
    effects: tuple[Effect, ...] = Field(default=(), description="What it changes.")
    before: float = Field(default=0, description="Seconds before that.")
    after: float = Field(default=0, description="Seconds after that.")
    ending: Ending = Field(default="passes", description="How it ends.")
    rude: bool = Field(
        default=False, description="It does not heed its cancellation while it changes things."
    )
    fault: bool = Field(default=False, description="Declare and prove a fault.")
    level: float | None = Field(default=None, description="What it measures.")


class ActOutputs(Outputs):
    value: int = 1


async def act(ctx: Context, params: ActParams) -> Any:
    """Anything that a step can do."""
    await ctx.sleep(timedelta(seconds=params.before))
    with anyio.CancelScope(shield=params.rude):
        for effect in params.effects:
            await change(ctx, effect)
    if params.fault:
        declare_fault(ctx, params.effects[0].key if params.effects else "")
    if params.level is not None:
        ctx.metric("level", params.level, "1")
    ctx.ready()
    await ctx.sleep(timedelta(seconds=params.after))
    await end(ctx, params.ending)
    return 7 if params.ending == "nonsense" else ActOutputs()


ACTS = {
    kind: StepType(
        name=f"act_{kind.value}",
        kind=kind,
        summary="Do anything.",
        params=ActParams,
        outputs=ActOutputs,
        run=act,
        background=True,
        metrics={"level": "double"},
    )
    for kind in Kind
}
