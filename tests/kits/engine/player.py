"""Plays drills in the world of the engine's tests (world.py), on virtual time."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from offbus.journal.events import Event
from offbus.language.load import load_scenario
from offbus.report.model import Report
from offbus.runner.session import Session
from offbus.runs import RunFolder
from tests.kits.engine.world import Value
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
        breaks = f", breaks: {self.breaks}" if self.breaks else ""
        where = f"environment: {{uses: world, path: {self.folder / 'world.json'}{refuse}{breaks}}}"
        source.write_text(
            f"offbus: 1\nname: drill\nsummary: A test.\n{where}\n{self.head}\nsteps:\n{self.steps}"
        )
        self.run_folder.path.mkdir(exist_ok=True)
        self.run_folder.unfinished.touch()
        report: Report = play(self._play, source)
        return report

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
