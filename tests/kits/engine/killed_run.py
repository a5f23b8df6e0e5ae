"""A run that was killed when its undo began, and its recovery: where tests of damaged journals begin."""

import json
from functools import partial

import anyio

from offbus.recovery.recover import recover
from tests.kits.engine.player import SystemWorldClock
from tests.kits.engine.world_steps import REGISTRY

STEPS = """{id: fault, uses: set_key, with: {key: f, fault: true, undo: disarm}}
{id: one, uses: set_key, with: {key: one}}
{id: two, uses: set_key, with: {key: two}}"""


def finish(folder, registry=REGISTRY):
    return anyio.run(partial(recover, folder, SystemWorldClock(), registry=registry))


def killed_run(drill):
    """A run that was killed when its undo began: (the drill, the run's folder, the journal's lines)."""
    worlds = []
    played = drill(STEPS, on_event=lambda _session, _event: worlds.append(dict(played.world)))
    played.prepare(one="before")
    played.play()
    lines = played.run_folder.journal.read_bytes().splitlines(keepends=True)
    cut = next(n for n, line in enumerate(lines, 1) if b'"name":"undo"' in line)
    played.run_folder.journal.write_bytes(b"".join(lines[:cut]))
    played.run_folder.unfinished.touch()
    (played.folder / "world.json").write_text(json.dumps(worlds[cut - 1]))
    return played, played.run_folder, lines[:cut]
