"""A small real world for engine tests: a JSON file of keys and values, and the undos that act on it.

Not a mock: the environment, the step types (world_steps.py) and the undo types are written as a third party would
write them; player.py plays drills in it.
"""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar, Literal

import anyio

from offbus.environment import Guards, Leftover, Options, RunHandle
from offbus.errors import CouldNotRun, EnvironmentGone, GuardRefused
from offbus.undo import Phase, Undo, UndoContext, UndoResult

Value = str | int | None


class WorldOptions(Options):
    """Where the world is."""

    path: str = "world.json"
    refuse: str = ""
    breaks: Literal["", "in silence", "never opens", "clean", "dirty"] = ""
    """Breaks when it has begun: what it says of what is left."""


class WorldGuards(Guards):
    """One guard."""

    max_keys: int = 100


class World:
    """The world: read from and written to its file on every access, so that any process sees it as it is."""

    def __init__(self, path: Path, run: RunHandle) -> None:
        self.path = path
        self.run = run
        self.closed: bool | None = None

    @property
    def items(self) -> dict[str, Value]:
        """What the world holds now."""
        if not self.path.exists():
            return {}
        held: dict[str, Value] = json.loads(self.path.read_text())
        return held

    def put(self, key: str, value: Value) -> None:
        """Change one key; None removes it."""
        items = self.items
        items.pop(key, None)
        self.path.write_text(json.dumps(items if value is None else {**items, key: value}))

    async def fingerprint(self) -> dict[str, Any]:
        """All keys."""
        return dict(self.items)

    async def close(self, *, finished: bool) -> None:
        """Remember how."""
        self.closed = finished

    async def may_change(self) -> None:
        """Every lease holds, unless a test says otherwise."""


leases_hold = World.may_change


class WorldOpener:
    """Opens the world at the options' path."""

    @asynccontextmanager
    async def open(
        self, options: WorldOptions, _guards: Any, run: RunHandle, *, run_dir: str
    ) -> AsyncIterator[World]:
        if options.refuse:
            raise GuardRefused(options.refuse)
        run.opened({"path": options.path})
        if options.breaks:
            if options.breaks == "never opens":
                await anyio.sleep_forever()
            if options.breaks != "in silence":
                left = Leftover("a process", "it would not end: 4711 worldd", f"offbus recover {run.run_id}")
                run.unopened([left] if options.breaks == "dirty" else [])
            raise CouldNotRun("the world broke")
        yield World(Path(options.path), run)

    @asynccontextmanager
    async def reopen(self, state: Mapping[str, Any], run: RunHandle, *, run_dir: str) -> AsyncIterator[World]:
        if not Path(state["path"]).parent.exists():
            raise EnvironmentGone("the world has ended")
        yield World(Path(state["path"]), run)

    def identity(self, options: WorldOptions) -> str:
        return f"world:{options.path}"


def world_of(environment: Any) -> World:
    assert isinstance(environment, World)
    return environment


class RestoreKey(Undo):
    """Puts a key back: the three-way decision on one value."""

    key: str
    before: Value
    intended: Value

    def describe(self) -> str:
        return f"restore {self.key}"

    async def undo(self, ctx: UndoContext) -> UndoResult:
        world = world_of(ctx.environment)
        now = world.items.get(self.key)
        if now == self.before:
            return UndoResult.nothing("already as before")
        if now != self.intended:
            return UndoResult.conflict(f"{self.key} is {now!r}")
        world.put(self.key, self.before)
        return UndoResult.restored(was=now)


class Disarm(RestoreKey):
    """The same, in the first pass."""

    phase: ClassVar[Phase] = Phase.DISARM


class Explode(Undo):
    """An undo that always fails."""

    def describe(self) -> str:
        return "explode"

    async def undo(self, ctx: UndoContext) -> UndoResult:
        raise RuntimeError("no")


class Hang(Undo):
    """An undo that never ends by itself."""

    timeout: ClassVar[timedelta] = timedelta(seconds=7)

    def describe(self) -> str:
        return "hang"

    async def undo(self, ctx: UndoContext) -> UndoResult:
        await anyio.sleep_forever()
        raise AssertionError


class Unregistered(RestoreKey):
    """An undo type that no entry point names."""


UNDO_TYPES: dict[str, type[Undo]] = {
    "restore_key": RestoreKey,
    "disarm": Disarm,
    "explode": Explode,
    "hang": Hang,
}
