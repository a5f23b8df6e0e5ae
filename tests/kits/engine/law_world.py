"""A world in memory for the laws: steps and undos that misbehave in every way that a number can name."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, ClassVar

import anyio

from offbus.environment import EnvironmentType, Guards, Options, RunHandle
from offbus.errors import Retryable, StepError, StepFailed
from offbus.step import Context, Kind, Outputs, Params, StepType
from offbus.undo import Phase, Undo, UndoContext, UndoResult

STUBBORN_S = 3.0
"""How long a stubborn step goes on after it was cancelled."""


@dataclass
class LawWorld:
    """What there is, and the run that acts on it."""

    items: dict[str, str]
    run: RunHandle | None = None
    flaky: set[int] = field(default_factory=set)
    """Undos that have failed once already."""

    async def fingerprint(self) -> dict[str, Any]:
        return dict(self.items)

    async def close(self, *, finished: bool) -> None:
        return None

    def put(self, key: str, value: str | None) -> None:
        if value is None:
            self.items.pop(key, None)
        else:
            self.items[key] = value


class LawOpener:
    """Opens the world that it was made with."""

    def __init__(self, world: LawWorld) -> None:
        self.world = world

    @asynccontextmanager
    async def open(
        self, _options: Any, _guards: Any, run: RunHandle, *, run_dir: str
    ) -> AsyncIterator[LawWorld]:
        run.opened({})
        self.world.run = run
        yield self.world

    @asynccontextmanager
    async def reopen(
        self, _state: Mapping[str, Any], run: RunHandle, *, run_dir: str
    ) -> AsyncIterator[LawWorld]:
        self.world.run = run
        yield self.world

    def identity(self, _options: Any) -> str:
        return "law"


def environment_of(world: LawWorld) -> EnvironmentType:
    return EnvironmentType(name="law", summary="", options=Options, guards=Guards, opener=LawOpener(world))


class Restore(Undo):
    """The three-way decision on one key."""

    key: str
    before: str | None
    intended: str

    def describe(self) -> str:
        return f"restore {self.key}"

    async def undo(self, ctx: UndoContext) -> UndoResult:
        world: Any = ctx.environment
        await self.misbehave(world)
        now = world.items.get(self.key)
        if now == self.before:
            return UndoResult.nothing("as before")
        if now != self.intended:
            return UndoResult.conflict(f"it is {now}")
        world.put(self.key, self.before)
        return UndoResult.restored()

    async def misbehave(self, world: LawWorld) -> None:
        """What this kind of undo does first."""


class Disarm(Restore):
    """The same, in the first pass."""

    phase: ClassVar[Phase] = Phase.DISARM


class Explodes(Restore):
    """Fails always."""

    async def misbehave(self, world: LawWorld) -> None:
        raise RuntimeError("no")


class Flaky(Restore):
    """Fails the first time in every process."""

    async def misbehave(self, world: LawWorld) -> None:
        if id(self) not in world.flaky:
            world.flaky.add(id(self))
            raise OSError("not yet")


class FlakyDisarm(Flaky):
    """Fails the first time, in the first pass."""

    phase: ClassVar[Phase] = Phase.DISARM


class Hangs(Restore):
    """Never ends."""

    timeout: ClassVar[timedelta] = timedelta(seconds=4)

    async def misbehave(self, world: LawWorld) -> None:
        await anyio.sleep_forever()


class HangsArmed(Hangs):
    """Never ends, in the first pass."""

    phase: ClassVar[Phase] = Phase.DISARM


class Slow(Restore):
    """Takes its time."""

    async def misbehave(self, world: LawWorld) -> None:
        await anyio.sleep(2)


class Garbage(Restore):
    """Does it, and returns nonsense."""

    async def undo(self, ctx: UndoContext) -> UndoResult:
        await super().undo(ctx)
        return "done"  # type: ignore[return-value]


UNDOS: dict[str, type[Restore]] = {
    kind.__name__.lower(): kind
    for kind in (Restore, Disarm, Explodes, Flaky, FlakyDisarm, Hangs, HangsArmed, Slow, Garbage)
}
SURE = ("restore", "disarm")
"""Undos that work at the first try: their effect is always undone."""


class Effect(Params):
    """One change to the world."""

    key: str
    undo: str = "restore"
    in_flight: bool = False
    """The change is made only half a second after it was asked for, whatever happens to the step meanwhile."""
    meddled: bool = False
    """Somebody else changes it afterwards."""


class ActParams(Params):
    """What a step does."""

    effects: tuple[Effect, ...] = ()
    before: float = 0
    after: float = 0
    ending: str = "passes"
    rude: bool = False
    """It does not heed its cancellation while it changes things."""
    fault: bool = False
    metric: float | None = None


class ActOutputs(Outputs):
    value: int = 1


async def act(ctx: Context, params: ActParams) -> Any:
    """Do what the numbers said."""
    world: Any = ctx.environment
    await ctx.sleep(timedelta(seconds=params.before))
    with anyio.CancelScope(shield=params.rude):
        for effect in params.effects:
            await change(ctx, world, effect)
    if params.fault:
        ctx.fault_declared(fault=f"f-{ctx.step}", subject="law", planes={"key": "not seen"})
        ctx.fault_proven(fault=f"f-{ctx.step}", plane="key", evidence={})
    if params.metric is not None:
        ctx.metric("m", params.metric, "1")
    ctx.ready()
    await ctx.sleep(timedelta(seconds=params.after))
    return await end(ctx, world, params.ending)


async def change(ctx: Context, world: LawWorld, effect: Effect) -> None:
    intended = f"{ctx.step}'s"
    undo = UNDOS[effect.undo](key=effect.key, before=world.items.get(effect.key), intended=intended)
    await ctx.undo(undo)
    if effect.in_flight:
        with anyio.CancelScope(shield=True):
            await anyio.sleep(0.5)
    world.put(effect.key, "theirs" if effect.meddled else intended)


async def end(ctx: Context, world: LawWorld, ending: str) -> Any:
    match ending:
        case "fails":
            raise StepFailed("it did not follow")
        case "errs":
            raise StepError("refused")
        case "retryable":
            raise Retryable("not now", after=timedelta(seconds=2))
        case "bug":
            raise ZeroDivisionError("oops")
        case "hangs":
            await anyio.sleep_forever()
        case "aborts" if world.run is not None:
            world.run.abort("too many")
            await anyio.sleep_forever()
        case "stubborn":
            try:
                await anyio.sleep_forever()
            finally:
                with anyio.CancelScope(shield=True):
                    await anyio.sleep(STUBBORN_S)
        case "until stopped":
            await ctx.stopped()
        case "garbage":
            return 7
    return ActOutputs()


def act_type(kind: Kind) -> StepType:
    return StepType(
        name=f"act_{kind.value}",
        kind=kind,
        summary="",
        params=ActParams,
        outputs=ActOutputs,
        run=act,
        background=True,
        metrics={"m": "double"},
    )


ACTS = {kind: act_type(kind) for kind in Kind}
