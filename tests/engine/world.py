"""A small real world for engine tests: a JSON file of keys and values, with steps and undos that act on it.

Not a mock: the environment, the step types and the undo types are written as a third party would write them.
"""

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import anyio
import trio.testing
from pydantic import Field

from offbus.cleanup import CLEANUP
from offbus.environment import EnvironmentType, Guards, Options, RunHandle
from offbus.errors import GuardRefused, Retryable, StepError, StepFailed
from offbus.journal.events import Event
from offbus.language.load import load_scenario
from offbus.plugins import Registry
from offbus.report.model import Report
from offbus.runner.session import Session
from offbus.runs import RunFolder
from offbus.step import Context, Kind, Outputs, Params, StepType
from offbus.undo import Phase, Undo, UndoContext, UndoResult

Value = str | int | None


class WorldOptions(Options):
    """Where the world is."""

    path: str = "world.json"
    refuse: str = ""


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
        yield World(Path(options.path), run)

    @asynccontextmanager
    async def reopen(self, state: Mapping[str, Any], run: RunHandle, *, run_dir: str) -> AsyncIterator[World]:
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


class SetParams(Params):
    key: str = Field(description="Which key.")
    value: str = Field(default="set", description="Its new value.")
    undo: str = Field(default="restore_key", description="Which undo type.")
    seconds: float = Field(default=0, description="How long to stay after the change.")
    fail: str = Field(default="", description="Raise this afterwards: failed, errored, retry, bug.")
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


class VirtualClock:
    """The engine's clock on the event loop's time, which trio's MockClock makes virtual."""

    boot_id = "virtual"

    def mono_ns(self) -> int:
        return int(anyio.current_time() * 1e9) if _in_loop() else 0

    def utc(self) -> str:
        return "2026-01-01T00:00:00.000000Z"


def _in_loop() -> bool:
    try:
        anyio.current_time()
    except RuntimeError:
        return False
    return True


@dataclass
class Drill:
    """A scenario to play in a world of its own."""

    folder: Path
    steps: str
    head: str = ""
    refuse: str = ""
    events: list[Event] = field(default_factory=list)
    on_event: Callable[[Session, Event], None] | None = None

    @property
    def world(self) -> dict[str, Value]:
        """The world as it is now."""
        path = self.folder / "world.json"
        held: dict[str, Value] = json.loads(path.read_text()) if path.exists() else {}
        return held

    def prepare(self, **items: Value) -> None:
        """Put things into the world before the run."""
        (self.folder / "world.json").write_text(json.dumps(items))

    @property
    def run_folder(self) -> RunFolder:
        """Where the run keeps its journal."""
        return RunFolder(self.folder / "20260101T000000Z-drill-cafe0001")

    def play(self) -> Report:
        """Run it on virtual time."""
        source = self.folder / "scenario.yaml"
        refuse = f", refuse: {self.refuse}" if self.refuse else ""
        where = f"environment: {{uses: world, path: {self.folder / 'world.json'}{refuse}}}"
        source.write_text(
            f"offbus: 1\nname: drill\nsummary: A test.\n{where}\n{self.head}\nsteps:\n{self.steps}"
        )
        self.run_folder.path.mkdir(exist_ok=True)
        self.run_folder.unfinished.touch()
        clock = trio.testing.MockClock(autojump_threshold=0)
        return anyio.run(partial(self._play, source), backend="trio", backend_options={"clock": clock})

    async def _play(self, source: Path) -> Report:
        scenario = load_scenario(source, registry=REGISTRY)
        session = Session(
            scenario,
            self.run_folder,
            VirtualClock(),
            identity="world",
            listeners=[self._heard],
            registry=REGISTRY,
        )
        self._session = session
        return await session.run()

    def _heard(self, event: Event) -> None:
        self.events.append(event)
        if self.on_event is not None:
            self.on_event(self._session, event)


def outcomes(report: Report) -> dict[str, str]:
    """Each step's outcome."""
    return {step.id: step.outcome for step in report.steps}


class SystemWorldClock(VirtualClock):
    """For recoveries, which run on asyncio."""

    boot_id = "real"
