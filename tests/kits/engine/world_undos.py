"""The undo types of the world of the engine's tests: one that works, and every way in which an undo misbehaves."""

from datetime import timedelta
from typing import ClassVar

import anyio

from offbus.errors import StepError
from offbus.undo import Phase, Undo, UndoContext, UndoResult
from tests.kits.engine.world import Value, World, world_of


class RestoreKey(Undo):
    """Puts a key back: the three-way decision on one value."""

    key: str
    before: Value
    intended: Value

    def describe(self) -> str:
        return f"restore {self.key}"

    async def undo(self, ctx: UndoContext) -> UndoResult:
        world = world_of(ctx.environment)
        await self.misbehave(world)
        now = world.items.get(self.key)
        if now == self.before:
            return UndoResult.nothing("already as before")
        if now != self.intended:
            return UndoResult.conflict(f"{self.key} is {now!r}")
        world.put(self.key, self.before)
        return UndoResult.restored(was=now)

    async def misbehave(self, world: World) -> None:
        """What this kind of undo does first."""


class Disarm(RestoreKey):
    """The same, in the first pass."""

    phase: ClassVar[Phase] = Phase.DISARM


class Explode(RestoreKey):
    """Always fails."""

    async def misbehave(self, world: World) -> None:
        raise RuntimeError("no")


class Flaky(RestoreKey):
    """Fails the first time in every process."""

    async def misbehave(self, world: World) -> None:
        if id(self) not in world.failed_once:
            world.failed_once.add(id(self))
            raise OSError("not yet")


class FlakyDisarm(Flaky):
    """Fails the first time, in the first pass."""

    phase: ClassVar[Phase] = Phase.DISARM


class Hang(RestoreKey):
    """Never ends by itself."""

    timeout: ClassVar[timedelta] = timedelta(seconds=7)

    async def misbehave(self, world: World) -> None:
        await anyio.sleep_forever()


class HangDisarm(Hang):
    """Never ends by itself, in the first pass."""

    phase: ClassVar[Phase] = Phase.DISARM


class Slow(RestoreKey):
    """Takes its time."""

    async def misbehave(self, world: World) -> None:
        await anyio.sleep(2)


class Nonsense(RestoreKey):
    """Does it, and returns nonsense."""

    async def undo(self, ctx: UndoContext) -> UndoResult:
        await super().undo(ctx)
        return "done"  # type: ignore[return-value]  the nonsense


class Unsettled(RestoreKey):
    """Somebody may put the key back for a minute after it was undone, and does so twice, 5 s after each undo."""

    times: ClassVar[int] = 2

    async def settling(self, ctx: UndoContext, result: UndoResult) -> timedelta:
        return timedelta(seconds=60)

    async def disturbed(self, ctx: UndoContext) -> str:
        world = world_of(ctx.environment)
        done = world.put_back.setdefault(self.key, 0)
        if done == self.times:
            await anyio.sleep_forever()
        await anyio.sleep(5)
        world.put_back[self.key] = done + 1
        world.put(self.key, self.intended)
        return f"{self.key} is back"


class Settled(Unsettled):
    """It has to settle, and nobody touches it."""

    times: ClassVar[int] = 0


class Restless(Unsettled):
    """It is put back without end."""

    times: ClassVar[int] = 1000


class Unwatchable(Unsettled):
    """What it was undone on cannot be seen any more."""

    async def disturbed(self, ctx: UndoContext) -> str:
        await anyio.sleep(5)
        raise StepError("the key store is gone")


class WatchBug(Unsettled):
    """Its watch has a bug."""

    async def disturbed(self, ctx: UndoContext) -> str:
        raise RuntimeError("no")


class SettlesOnce(Unsettled):
    """The second undo finds another value than anybody of the drill has set."""

    times: ClassVar[int] = 1

    async def disturbed(self, ctx: UndoContext) -> str:
        what = await super().disturbed(ctx)
        world_of(ctx.environment).put(self.key, "foreign")
        return what


class Picky(RestoreKey):
    """Allows every key but one."""

    def refusal(self, run: str) -> str | None:
        return f"the key {self.key}" if self.key == "forbidden" else None


class Unregistered(RestoreKey):
    """An undo type that no entry point names."""


WATCHED = frozenset({"settled", "unsettled", "restless", "settles_once", "unwatchable", "watch_bug"})
"""Watched after the undo, where a signal changes nothing any more, and put back, so that they take effect again: they
have tests of their own."""
UNDO_TYPES: dict[str, type[RestoreKey]] = {
    "restore_key": RestoreKey,
    "disarm": Disarm,
    "explode": Explode,
    "flaky": Flaky,
    "flaky_disarm": FlakyDisarm,
    "hang": Hang,
    "hang_disarm": HangDisarm,
    "slow": Slow,
    "nonsense": Nonsense,
    "picky": Picky,
    "unsettled": Unsettled,
    "settled": Settled,
    "restless": Restless,
    "settles_once": SettlesOnce,
    "unwatchable": Unwatchable,
    "watch_bug": WatchBug,
}
