"""A random drill for the laws, from numbers: one a step; 0 is the plainest step, so that cases shrink well."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache, partial
from pathlib import Path

import anyio
import trio.testing

from offbus import dag
from offbus.cleanup import CLEANUP, CleanupParams
from offbus.environment import Options
from offbus.findings.model import Position
from offbus.journal.events import Event
from offbus.language.cel import types
from offbus.language.cel.expressions import Compiler, Expression
from offbus.language.cel.templates import ParamsTemplate
from offbus.language.cel.vocabulary import Vocabulary
from offbus.language.scenario import EnvironmentSpec, Expectation, Retry, Scenario, Step, StopCondition
from offbus.plugins import Registry
from offbus.report.model import Report
from offbus.runner.session import Session
from offbus.runs import RunFolder
from offbus.step import Kind
from tests.kits.engine.law_world import ACTS, UNDOS, ActParams, Effect, LawWorld, environment_of

HERE = Position("law")
ENDINGS = [
    *["passes"] * 24,
    "fails",
    "errs",
    "retryable",
    "bug",
    "hangs",
    "aborts",
    "stubborn",
    "stubborn",
    "stubborn",
    "until stopped",
    "garbage",
]
PAUSES = (0.0, 0.0, 0.25, 1.0, 7.0, 40.0)


class Digits:
    """Reads choices off a number; what is left of 0 is 0."""

    def __init__(self, number: int) -> None:
        self._rest = number

    def take(self, choices: int) -> int:
        self._rest, chosen = divmod(self._rest, choices)
        return chosen

    def one_in(self, choices: int) -> bool:
        return self.take(choices) == choices - 1


@cache
def expression(text: str) -> Expression:
    compiled = Compiler().compile(text, Vocabulary(metrics={"m": types.NAMED["double"]}), HERE)
    assert isinstance(compiled, Expression)
    return compiled


def expectation(*, true: bool) -> Expectation:
    text = "1 == 1" if true else "1 == 2"
    return Expectation(text, expression(text), HERE)


def effects(name: str, digits: Digits) -> Iterator[Effect]:
    kinds = list(UNDOS)
    for index in range((0, 1, 1, 2)[digits.take(4)]):
        usual = ("restore", "disarm", "slow", "disarm")[digits.take(4)]
        kind = kinds[digits.take(len(kinds))] if digits.one_in(8) else usual
        key = "shared" if digits.one_in(8) else f"{name}.{index}"
        yield Effect(key=key, undo=kind, in_flight=digits.one_in(3), meddled=digits.one_in(30))


def step_of(index: int, number: int, above: list[Step]) -> Step:
    digits, name = Digits(number), f"s{index}"
    needs: list[str] = [] if digits.one_in(4) else [above[-1].id] if above else []
    for _ in range(digits.take(3)):
        if above:
            needs.append(above[digits.take(len(above))].id)
    needs = list(dict.fromkeys(needs))
    background, always = digits.one_in(6), digits.one_in(8)
    graph = dag.build({step.id: step.needs for step in above} | {name: needs})
    kind = ACTS[list(Kind)[digits.take(2)]]
    if digits.one_in(4) and needs:
        ancestors = graph.ancestors(name)
        chosen = [one for one in ancestors if digits.take(2) == 0] or list(ancestors[:1])
        kind, params = CLEANUP, CleanupParams(steps=chosen)
        background = False
    else:
        params = ActParams(
            effects=tuple(effects(name, digits)),
            before=PAUSES[digits.take(len(PAUSES))],
            after=PAUSES[digits.take(len(PAUSES))],
            ending="until stopped" if background else ENDINGS[digits.take(len(ENDINGS))],
            rude=digits.one_in(4),
            fault=digits.one_in(3),
            metric=float(digits.take(3)) if digits.one_in(5) else None,
        )
    return Step(
        id=name,
        uses=kind.name,
        type=kind,
        needs=tuple(needs),
        background=background,
        always=always and not background,
        keep_going=digits.one_in(5),
        when=expression("1 == 2") if digits.one_in(12) else None,
        timeout=timedelta(seconds=(1000, 5, 30)[digits.take(3)]),
        retry=Retry(1 + digits.take(3), timedelta(seconds=1)) if digits.one_in(4) else Retry(),
        params=ParamsTemplate(type(params), params),
        expect=(expectation(true=not digits.one_in(10)),) if digits.one_in(6) else (),
        position=HERE,
    )


class LawClock:
    """The engine's clock on the loop's virtual time."""

    boot_id = "virtual"

    def mono_ns(self) -> int:
        return int(anyio.current_time() * 1e9)

    def utc(self) -> str:
        return "2026-01-01T00:00:00.000000Z"


@dataclass
class Case:
    """A drill, played once."""

    folder: RunFolder
    scenario: Scenario
    signal_at: float | None
    world: LawWorld
    before: dict[str, str]
    events: list[Event] = field(default_factory=list)
    worlds: list[dict[str, str]] = field(default_factory=list)
    """The world as it was when each event was written."""
    signalled: bool = False

    @property
    def registry(self) -> Registry:
        return Registry.of(environments={"law": self.scenario.environment.type}, undos=UNDOS)

    def play(self) -> Report:
        report = virtually(self._play)
        assert isinstance(report, Report)
        return report

    async def _play(self) -> Report:
        session = Session(
            self.scenario,
            self.folder,
            LawClock(),
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
        self.worlds.append(dict(self.world.items))


def virtually(play: object, *arguments: object) -> object:
    """Run on virtual time."""
    clock = trio.testing.MockClock(autojump_threshold=0)
    return anyio.run(partial(play, *arguments), backend="trio", backend_options={"clock": clock})


def case_of(path: Path, head: int, numbers: list[int]) -> Case:
    """The drill that some numbers name, in a folder of its own."""
    digits = Digits(head)
    steps: list[Step] = []
    for index, number in enumerate(numbers):
        steps.append(step_of(index, number, steps))
    before = {"shared": "old"} if digits.one_in(2) else {}
    world = LawWorld(dict(before))
    stop_when = StopCondition(
        "metrics.m > 1.0", expression("metrics.m > 1.0"), timedelta(seconds=digits.take(2)), HERE
    )
    scenario = Scenario(
        name="law",
        summary="",
        format=1,
        inputs={},
        environment=EnvironmentSpec(environment_of(world), Options()),
        env_name="law",
        guards=None,
        timeout=timedelta(seconds=(10_000, 10, 60)[digits.take(3)]),
        undo_timeout=timedelta(seconds=(300, 5, 60)[digits.take(3)]),
        steps=tuple(steps),
        expect=(expectation(true=not digits.one_in(6)),) if digits.one_in(3) else (),
        stop_when=(stop_when,) if digits.one_in(3) else (),
        path=Path("law.yaml"),
        digest="0",
    )
    signal_at = digits.take(60) / 8 * (1 + digits.take(4)) if digits.one_in(2) else None
    folder = RunFolder(path / "20260101T000000Z-law-cafe0001")
    folder.path.mkdir()
    folder.unfinished.touch()
    return Case(folder, scenario, signal_at, world, before)
