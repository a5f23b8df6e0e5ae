"""The world of the engine's tests: keys and values, in a file or in memory; its undos are in world_undos.py.

Not a mock: the environment, the step types (world_steps.py) and the undo types are written as a third party would
write them; player.py plays drills in it. A file is seen by every process as it is; memory is for the laws, which play
thousands of drills.
"""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import anyio

from offbus.abilities import ability
from offbus.environment import EnvironmentType, Guards, Leftover, Options, RunHandle
from offbus.errors import CouldNotRun, EnvironmentGone, GuardRefused

Value = str | int | None
Items = Mapping[str, Value]


class Storage(Protocol):
    """Where a world keeps what it holds; always replaced as a whole."""

    items: Items


@dataclass
class InMemory:
    """For one process."""

    items: Items


@dataclass
class InFile:
    """A JSON file, read and written on every access."""

    path: Path

    @property
    def items(self) -> Items:
        """What the file holds now."""
        if not self.path.exists():
            return {}
        held: dict[str, Value] = json.loads(self.path.read_text())
        return held

    @items.setter
    def items(self, items: Items) -> None:
        self.path.write_text(json.dumps(items))


class WorldOptions(Options):
    """Where the world is."""

    path: str = "world.json"
    refuse: str = ""
    breaks: Literal["", "in silence", "never opens", "clean", "dirty"] = ""
    """Breaks when it has begun: what it says of what is left."""
    wrapped: bool = False
    """Whether another environment stands around it."""
    asks: str = ""
    """A file with more of its identity: a pipe makes that take as long as a test wants."""


class WorldGuards(Guards):
    """One guard."""

    max_keys: int = 100


class World:
    """An open world."""

    def __init__(self, storage: Storage, run: RunHandle) -> None:
        self.storage = storage
        self.run = run
        self.failed_once: set[int] = set()
        """Flaky undos that have failed since it was opened."""
        self.put_back: dict[str, int] = {}
        """How often a key was put back after it had been undone."""

    @property
    def items(self) -> Items:
        """What the world holds now."""
        return self.storage.items

    def put(self, key: str, value: Value) -> None:
        """Change one key; None removes it."""
        items = {other: held for other, held in self.items.items() if other != key}
        self.storage.items = items if value is None else {**items, key: value}

    async def fingerprint(self) -> dict[str, Any]:
        """All keys."""
        return dict(self.items)

    async def close(self, *, finished: bool) -> None:
        """Nothing was started."""

    async def may_change(self) -> None:
        """Every lease holds, unless a test says otherwise."""

    async def missed_changes(self) -> str | None:
        """Everything is seen, unless a test says otherwise."""
        return None


@dataclass
class Around:
    """An environment around a world. It counts how often the world was read, and knows nothing of leases and owners."""

    wrapped: World
    reads: int = 0

    async def fingerprint(self) -> dict[str, Any]:
        """All keys."""
        self.reads += 1
        return await self.wrapped.fingerprint()

    async def close(self, *, finished: bool) -> None:
        """Close the world."""
        await self.wrapped.close(finished=finished)


@dataclass(frozen=True)
class WorldOpener:
    """Opens the world at the options' path, or the one it was made with."""

    storage: Storage | None = None

    @asynccontextmanager
    async def open(
        self, options: WorldOptions, _guards: Any, run: RunHandle, *, run_dir: str
    ) -> AsyncIterator[World | Around]:
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
        async with anyio.create_task_group() as tasks:  # as environments have that renew leases and watch
            tasks.start_soon(anyio.sleep_forever)
            world = World(self.storage or InFile(Path(options.path)), run)
            yield Around(world) if options.wrapped else world
            tasks.cancel_scope.cancel()

    @asynccontextmanager
    async def reopen(self, state: Mapping[str, Any], run: RunHandle, *, run_dir: str) -> AsyncIterator[World]:
        if not Path(state["path"]).parent.exists():
            raise EnvironmentGone("the world has ended")
        yield World(self.storage or InFile(Path(state["path"])), run)

    def identity(self, options: WorldOptions) -> str:
        more = Path(options.asks).read_text() if options.asks else ""
        return f"world:{options.path}{more}"


def world_type(storage: Storage | None = None) -> EnvironmentType:
    """The environment type; without storage its options name the file."""
    return EnvironmentType(
        name="world",
        summary="Keys and values.",
        options=WorldOptions,
        guards=WorldGuards,
        opener=WorldOpener(storage),
    )


def world_of(environment: Any) -> World:
    world = ability(environment, World)
    assert world is not None
    return world
