"""Plays the random drills of the laws (law_case.py), in memory and on virtual time."""

from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from pathlib import Path

import anyio

from offbus.cleanup import CLEANUP, CleanupParams
from offbus.findings.model import Position
from offbus.journal.events import Event
from offbus.language.cel import types
from offbus.language.cel.expressions import Compiler, Expression
from offbus.language.cel.templates import ParamsTemplate
from offbus.language.cel.vocabulary import Vocabulary
from offbus.language.scenario import EnvironmentSpec, Expectation, Retry, Scenario, Step, StopCondition
from offbus.open_run import OpenRun, opened
from offbus.plugins import Registry
from offbus.report.model import Report
from offbus.runner.session import Session
from offbus.runs import RunFolder
from offbus.step import Kind
from tests.kits.engine.law_case import Around, PlannedStep
from tests.kits.engine.world import InMemory, Items, WorldOptions, world_type
from tests.kits.engine.world_acts import ACTS
from tests.kits.engine.world_steps import registry_of
from tests.kits.virtual_time import VirtualClock, play

__all__ = ["Case", "case_of"]

HERE = Position("law")


@dataclass
class Case:
    """A drill, played once."""

    folder: RunFolder
    scenario: Scenario
    signal_at: float | None
    storage: InMemory
    before: Items
    events: list[Event] = field(default_factory=list)
    worlds: list[Items] = field(default_factory=list)
    """The world as it was when each event was written."""
    signalled: bool = False

    @property
    def registry(self) -> Registry:
        return registry_of(self.storage)

    def play(self) -> Report:
        with opened(self.folder) as folder:
            report: Report = play(self._play, folder)
        return report

    async def _play(self, folder: OpenRun) -> Report:
        session = Session(
            self.scenario,
            folder,
            VirtualClock(),
            identity="law",
            listeners=[self._heard],
            registry=self.registry,
        )
        async with anyio.create_task_group() as beside:
            if self.signal_at is not None:
                beside.start_soon(self._signal, session, self.signal_at)
            report = await session.run()
            beside.cancel_scope.cancel()
        return report

    async def _signal(self, session: Session, at: float) -> None:
        await anyio.sleep(at)
        self.signalled = True
        session.stop("SIGINT")

    def _heard(self, event: Event) -> None:
        self.events.append(event)
        self.worlds.append(self.storage.items)


def case_of(path: Path, steps: list[PlannedStep], around: Around) -> Case:
    """A drill, in a folder of its own."""
    storage = InMemory(around.before)
    scenario = Scenario(
        name="law",
        summary="",
        format=1,
        inputs={},
        environment=EnvironmentSpec(world_type(storage), WorldOptions()),
        env_name="world",
        guards=None,
        timeout=timedelta(seconds=around.timeout_s),
        undo_timeout=timedelta(seconds=around.undo_timeout_s),
        steps=tuple(_step(step) for step in steps),
        expect=_expectation(around.expects),
        stop_when=_stop_when(around.stops_above_1),
        path=Path("law.yaml"),
        digest="0",
    )
    folder = RunFolder(path / "20260101T000000Z-law-cafe0001")
    folder.path.mkdir()
    folder.unfinished.touch()
    return Case(folder, scenario, around.signal_at, storage, around.before)


def _step(step: PlannedStep) -> Step:
    kind = CLEANUP if step.cleans else ACTS[Kind.OBSERVATION if step.observes else Kind.ACTION]
    params = CleanupParams(steps=list(step.cleans)) if step.cleans else step.act
    return Step(
        id=step.id,
        uses=kind.name,
        type=kind,
        needs=step.needs,
        background=step.background,
        always=step.always,
        keep_going=step.keep_going,
        when=None if step.when else _expression("1 == 2"),
        timeout=timedelta(seconds=step.timeout_s),
        retry=Retry(step.attempts, timedelta(seconds=1)) if step.attempts > 1 else Retry(),
        params=ParamsTemplate(type(params), params),
        expect=_expectation(step.expects),
        position=HERE,
    )


def _expectation(expects: bool | None) -> tuple[Expectation, ...]:
    if expects is None:
        return ()
    text = "1 == 1" if expects else "1 == 2"
    return (Expectation(text, _expression(text), HERE),)


def _stop_when(held_s: float | None) -> tuple[StopCondition, ...]:
    if held_s is None:
        return ()
    text = "metrics.level > 1.0"
    return (StopCondition(text, _expression(text), timedelta(seconds=held_s), HERE),)


@cache
def _expression(text: str) -> Expression:
    compiled = Compiler().compile(text, Vocabulary(metrics={"level": types.NAMED["double"]}), HERE)
    assert isinstance(compiled, Expression)
    return compiled
