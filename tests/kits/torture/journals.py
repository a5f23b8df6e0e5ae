"""Journals, damaged: copies of a killed run's journal against the world as it stood, recovered in this process.

The world is that of the engine's tests (tests.kits.engine.world): a JSON file, so that thousands of recoveries take
seconds. Four tortures: the journal cut at every byte of its last three records; one bit flipped in a record; a record
scribbled over; and a recovery killed after each of its own records. What must hold in each:

- recovery never breaks: it ends with a report, or refuses with an OffbusError that says why;
- the world is as before, or what is not so is in the report as residue (or it refused): never silently wrong;
- no key has any other value than that before or that of the run: nothing is undone twice or half;
- a flip that did not hit what an undo needs keeps nothing from being undone.
"""

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

from offbus.errors import OffbusError
from offbus.runs import RunFolder
from tests.kits.engine.player import Drill, finish
from tests.kits.engine.world import InFile, Items
from tests.kits.torture.cases import Ended

__all__ = ["Killed", "cuts", "flips", "recoveries", "scribbles", "stages"]

STEPS = """{id: fault, uses: set_key, with: {key: f, fault: true, undo: disarm}}
{id: beside, uses: watch, background: true, with: {key: beside}}
{id: one, uses: set_key, with: {key: one}}
{id: heal, uses: cleanup, with: {steps: [fault]}}
{id: again, uses: set_key, with: {key: again, fail: retry}, retry: {attempts: 2, backoff: 1s}}
{id: two, uses: set_key, with: {key: two}, always: true}"""
STEPS = "\n".join(f"  - {line}" for line in STEPS.splitlines())
BEFORE: Items = {"one": "before", "again": 1}
NEEDED = (b'"kind":"run_started"', b'"kind":"environment_opened"', b'"kind":"undo_recorded"')
"""Records without which an undo cannot be played."""


@dataclass(frozen=True)
class Killed:
    """A run as it was when its runner was killed right after a record."""

    folder: Path
    lines: tuple[bytes, ...]
    world: Items
    intended: Items
    """Each key's value by the run."""

    @property
    def raw(self) -> bytes:
        """The journal."""
        return b"".join(self.lines)


def stages(folder: Path) -> list[Killed]:
    """A whole run, as killed after each of its records, in order."""
    drill, worlds = Drill(folder, STEPS), []
    drill.prepare(**BEFORE)
    drill.on_event = lambda _session, _event: worlds.append(drill.world)
    drill.play()
    lines = drill.run_folder.journal.read_bytes().splitlines(keepends=True)
    intended = {key: value for world in worlds for key, value in world.items() if BEFORE.get(key) != value}
    return [
        Killed(folder, tuple(lines[:number]), worlds[number - 1], intended)
        for number in range(1, len(lines) + 1)
    ]


def cuts(stages: Sequence[Killed], number: int, step: int = 1) -> Ended:
    """Cut at every `step`th byte of the last three of `number` records.

    The world is that of the cut: while a record is being written, what the record before it announced has happened.
    Where no cut record is one that an undo needs (those are on disk before their effect), the world may also be later.
    """
    ended, last = Ended(f"journal of {number} records, cut"), stages[number - 1]
    for within in range(max(1, number - 2), number + 1):
        stage, end = stages[within - 1], len(stages[within - 1].raw)
        worlds = [stage.world]
        if not any(_is_needed(line) for line in last.lines[within - 1 :]) and last.world != stage.world:
            worlds.append(last.world)
        for cut in range(end - len(stage.lines[-1]), end, step):
            for world in worlds:
                ended.damaged += 1
                ended.residue += _wrong(replace(stage, world=world), stage.raw[:cut], f"cut at byte {cut}")
    return ended


def flips(stage: Killed, random: Random, *, all_of: int) -> Ended:
    """One random bit of each record, and every bit of the last `all_of` records."""
    ended = Ended(f"journal of {len(stage.lines)} records, bits flipped")
    start = 0
    for number, line in enumerate(stage.lines, start=1):
        needed, every = _is_needed(line), number > len(stage.lines) - all_of
        for at in range(start, start + len(line)) if every else (start + random.randrange(len(line)),):
            for bit in range(8) if every else (random.randrange(8),):
                flipped = bytearray(stage.raw)
                flipped[at] ^= 1 << bit
                ended.damaged += 1
                name = f"bit {bit} of byte {at} (record {number}) flipped"
                hits_needed = (
                    needed or at == start + len(line) - 1
                )  # a lost newline takes the next record with it
                ended.residue += _wrong(stage, bytes(flipped), name, must_undo=not hits_needed, whole=False)
        start += len(line)
    return ended


def scribbles(stage: Killed, random: Random) -> Ended:
    """Up to eight random bytes over each record in turn: more than a checksum could put right again."""
    ended = Ended(f"journal of {len(stage.lines)} records, scribbled over")
    start = 0
    for number, line in enumerate(stage.lines, start=1):
        at = start + random.randrange(len(line))
        garbage = random.randbytes(min(8, start + len(line) - at))
        raw = stage.raw[:at] + garbage + stage.raw[at + len(garbage) :]
        ended.damaged += 1
        hits_needed = _is_needed(line) or raw[start + len(line) - 1 : start + len(line)] != b"\n"
        name = f"bytes {at} to {at + len(garbage)} (record {number}) scribbled over"
        ended.residue += _wrong(stage, raw, name, must_undo=not hits_needed, whole=False)
        start += len(line)
    return ended


def recoveries(stage: Killed) -> Ended:
    """Kill the recovery after each of its own records, then recover."""
    ended = Ended(f"journal of {len(stage.lines)} records, recover killed at each of its own")
    later: list[Items] = []
    folder = _restore(stage, stage.raw, stage.world)
    try:
        finish(folder, heard=[lambda _event: later.append(_storage(stage).items)])
    except OffbusError:
        return ended  # nothing had begun
    again = folder.journal.read_bytes().splitlines(keepends=True)
    for number, world in enumerate(later[:-1], start=1):
        ended.kills += 1
        lines = tuple(again[: len(stage.lines) + number])
        own = Killed(stage.folder, lines, world, stage.intended)
        ended.residue += _wrong(own, own.raw, f"recover killed at its record {number}")
    return ended


def _is_needed(line: bytes) -> bool:
    return any(kind in line for kind in NEEDED)


def _wrong(
    stage: Killed, raw: bytes, name: str, *, must_undo: bool = True, whole: bool = True
) -> Iterator[str]:
    """What is wrong after the recovery of this journal."""
    folder = _restore(stage, raw, stage.world)
    where = f"{len(stage.lines)} records, {name}"
    try:
        report = finish(folder)
    except OffbusError as err:
        refused = str(err)
        if stage.world != BEFORE and must_undo and b"\n" in raw:
            yield f"{where}: refused although all was known: {refused}"
        return
    except Exception as err:  # noqa: BLE001  whatever it is, it is what this torture looks for
        yield f"{where}: recover broke: {type(err).__name__}: {err}"
        return
    world = _storage(stage).items
    if world != BEFORE and (must_undo or not report.residue):
        yield f"{where}: the world is {world}, residue {[r.item for r in report.residue]}"
    if whole and report.residue:
        yield f"{where}: residue was reported: {[(r.item, r.detail) for r in report.residue]}"
    for key, value in world.items():
        if value not in (BEFORE.get(key), stage.intended.get(key)):
            yield f"{where}: {key} is {value!r}, which nobody set"


def _restore(stage: Killed, raw: bytes, world: Items) -> RunFolder:
    path = stage.folder / "20260101T000000Z-drill-cafe0002"
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir()
    folder = RunFolder(path)
    folder.unfinished.touch()
    folder.journal.write_bytes(raw)
    _storage(stage).items = world
    return folder


def _storage(stage: Killed) -> InFile:
    return InFile(stage.folder / "world.json")
