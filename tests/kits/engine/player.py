"""Plays drills in the world of the engine's tests (world.py), on virtual time, and finishes runs that were killed."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import anyio

from offbus.journal.events import Event
from offbus.journal.writer import Listener
from offbus.language.load import load_scenario
from offbus.open_run import OpenRun, opened
from offbus.plugins import Registry
from offbus.recovery.recover import recover
from offbus.report.model import Report
from offbus.runner.session import Session
from offbus.runs import RunFolder
from tests.kits.engine.world import InFile, Items, Value
from tests.kits.engine.world_steps import REGISTRY
from tests.kits.virtual_time import VirtualClock, play


@dataclass
class Drill:
    """A scenario to play in a world of its own."""

    folder: Path
    steps: str
    head: str = ""
    refuse: str = ""
    breaks: str = ""
    wrapped: bool = False
    settle: bool = True
    events: list[Event] = field(default_factory=list)
    on_event: Callable[[Session, Event], None] | None = None

    @property
    def storage(self) -> InFile:
        """The file of the world."""
        return InFile(self.folder / "world.json")

    @property
    def world(self) -> Items:
        """The world as it is now."""
        return self.storage.items

    def prepare(self, **items: Value) -> None:
        """Make the world be so."""
        self.storage.items = items

    @property
    def run_folder(self) -> RunFolder:
        """Where the run keeps its journal."""
        return RunFolder(self.folder / "20260101T000000Z-drill-cafe0001")

    def play(self) -> Report:
        """Run it on virtual time."""
        source = self.folder / "scenario.yaml"
        refuse = f", refuse: {self.refuse}" if self.refuse else ""
        breaks = f", breaks: {self.breaks}" if self.breaks else ""
        wrapped = ", wrapped: true" if self.wrapped else ""
        where = f"environment: {{uses: world, path: {self.storage.path}{refuse}{breaks}{wrapped}}}"
        source.write_text(
            f"offbus: 1\nname: drill\nsummary: A test.\n{where}\n{self.head}\nsteps:\n{self.steps}"
        )
        self.run_folder.path.mkdir(exist_ok=True)
        self.run_folder.unfinished.touch()
        with opened(self.run_folder, trusted=True) as folder:  # made for it, as by create_run
            report: Report = play(self._play, source, folder)
        return report

    async def _play(self, source: Path, folder: OpenRun) -> Report:
        scenario = load_scenario(source, registry=REGISTRY)
        session = Session(
            scenario,
            folder,
            VirtualClock(),
            identity="world",
            listeners=[self._heard],
            registry=REGISTRY,
            settle=self.settle,
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


def finish(folder: RunFolder, registry: Registry = REGISTRY, heard: Iterable[Listener] = ()) -> Report:
    """Recover a run: on asyncio, as offbus does, and after a reboot."""
    clock = VirtualClock(boot_id="another")
    with opened(folder) as run:
        return anyio.run(partial(recover, run, clock, registry=registry, listeners=heard))
