"""A run that was killed when its undo began, and its recovery: where tests of damaged journals begin."""

from collections.abc import Callable

from offbus.runs import RunFolder
from tests.kits.engine.player import Drill
from tests.kits.engine.world import Items

STEPS = """{id: fault, uses: set_key, with: {key: f, fault: true, undo: disarm}}
{id: one, uses: set_key, with: {key: one}}
{id: two, uses: set_key, with: {key: two}}"""


def whole_run(drill: Callable[..., Drill]) -> tuple[Drill, list[Items], list[bytes]]:
    """A run, the world as it stood right after each of its events, and the journal's lines."""
    return whole_run_of(drill, STEPS)


def whole_run_of(drill: Callable[..., Drill], steps: str) -> tuple[Drill, list[Items], list[bytes]]:
    """The same, of these steps."""
    worlds: list[Items] = []
    played = drill(steps, on_event=lambda _session, _event: worlds.append(played.world))
    played.prepare(one="before")
    played.play()
    return played, worlds, played.run_folder.journal.read_bytes().splitlines(keepends=True)


def killed_run(drill: Callable[..., Drill]) -> tuple[Drill, RunFolder, list[bytes]]:
    """A run that was killed when its undo began: (the drill, the run's folder, the journal's lines)."""
    played, worlds, lines = whole_run(drill)
    cut = next(n for n, line in enumerate(lines, 1) if b'"name":"undo"' in line)
    played.run_folder.journal.write_bytes(b"".join(lines[:cut]))
    played.run_folder.unfinished.touch()
    played.storage.items = worlds[cut - 1]
    return played, played.run_folder, lines[:cut]
