"""Damaged journals: what is known is still undone, what cannot be known is residue; nothing is an internal error."""

import json
import os
import resource
import subprocess
import sys
from functools import partial
from pathlib import Path

import anyio
import pytest
from world import REGISTRY, SystemWorldClock

from offbus.errors import CouldNotRun, JournalError
from offbus.exits import Exit
from offbus.journal.bounds import TOLD_BYTES, WHOLE_BYTES
from offbus.journal.codec import READERS, DamagedLine, decode, encode
from offbus.journal.events import DATA, VERSION, EventKind
from offbus.journal.reader import read_journal
from offbus.plugins import Registry
from offbus.recovery import plan_recovery, recover
from offbus.report.fold import fold
from offbus.runs import RunFolder

STEPS = """{id: fault, uses: set_key, with: {key: f, fault: true, undo: disarm}}
{id: one, uses: set_key, with: {key: one}}
{id: two, uses: set_key, with: {key: two}}"""


def finish(folder, registry=REGISTRY):
    return anyio.run(partial(recover, folder, SystemWorldClock(), registry=registry))


@pytest.fixture
def killed(drill):
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


def flipped(line: bytes, at: int) -> bytes:
    return line[:at] + bytes([line[at] ^ 0x20]) + line[at + 1 :]


@pytest.mark.parametrize("place", [10, -5, -1], ids=["in its middle", "in its checksum", "in its line end"])
def test_any_damaged_line_leaves_the_world_as_before_or_says_what_may_be_left(killed, place):
    played, folder, lines = killed
    world = (played.folder / "world.json").read_text()
    for number in range(len(lines)):
        (played.folder / "world.json").write_text(world)
        damaged = [*lines]
        damaged[number] = flipped(damaged[number], place)
        folder.journal.write_bytes(b"".join(damaged))
        folder.unfinished.touch()
        report = finish(folder)
        clean = played.world == {"one": "before"}
        kind = json.loads(lines[number])["kind"]
        if kind not in ("undo_recorded", "environment_opened"):
            assert clean, f"{kind}: {played.world}"
        assert clean or report.exit == Exit.RESIDUE, f"{kind} was lost in silence"
        assert report.exit in (Exit.COULD_NOT_RUN, Exit.RESIDUE)
        assert all(one.mend for one in report.residue)
        assert folder.unfinished.exists() == bool(report.residue)
        assert fold(read_journal(folder.journal).events) == report


def test_a_lost_record_is_settled_by_a_place_that_is_as_before(killed):
    played, folder, lines = killed
    number = next(n for n, line in enumerate(lines) if b'"describe":"restore one"' in line)
    lines[number] = flipped(lines[number], 20)
    folder.journal.write_bytes(b"".join(lines))
    report = finish(folder)
    assert {one.item for one in report.residue} >= {"one", "undo 2"}
    assert all("rm " in one.mend for one in report.residue if one.item.startswith("undo"))
    played.prepare(one="before")  # somebody mends it by hand
    assert finish(folder).residue == []
    assert not folder.unfinished.exists()


def test_without_where_it_acted_every_undo_is_residue_with_manual_steps(killed):
    _played, folder, lines = killed
    kept = [line for line in lines if b"environment_opened" not in line]
    folder.journal.write_bytes(b"".join(kept))
    report = finish(folder)
    assert [one.item for one in report.residue] == ["restore f", "restore one", "restore two"]
    assert all("by hand" in one.mend for one in report.residue)


def test_a_journal_of_nothing_but_damage_is_residue(killed):
    _played, folder, lines = killed
    folder.journal.write_bytes(b"".join(flipped(line, 8) for line in lines))
    report = finish(folder)
    assert (report.exit, report.name) == (Exit.RESIDUE, "unknown")


def test_a_lost_end_of_a_line_loses_neither_event(killed):
    _played, folder, lines = killed
    folder.journal.write_bytes(b"".join(lines[:3]) + lines[3][:-1] + b"".join(lines[4:]))
    read = read_journal(folder.journal)
    assert [event["seq"] for event in read.events] == list(range(1, len(lines) + 1))
    assert [one.line for one in read.damage] == [4]


def test_a_line_of_another_run_is_no_event(killed):
    _played, folder, lines = killed
    other = json.loads(lines[4])
    del other["crc"]
    foreign = encode(other | {"run": "deadbeef", "seq": 5000})
    folder.journal.write_bytes(b"".join(lines) + foreign)
    read = read_journal(folder.journal)
    assert len(read.events) == len(lines)
    assert read.damage[0].line == len(lines) + 1


def test_a_renamed_copy_of_a_run_is_the_same_run(killed, tmp_path):
    played, folder, _lines = killed
    copy = RunFolder(tmp_path / "artefact")
    folder.path.rename(copy.path)
    report = finish(copy)
    assert report.run == "cafe0001"
    assert {event["run"] for event in read_journal(copy.journal).events} == {"cafe0001"}
    assert played.world == {"one": "before"}


def test_a_place_that_cannot_be_reached_is_said_and_the_run_stays_unfinished(killed):
    _played, folder, _lines = killed

    class Gone:
        def reopen(self, *_state, **_more):
            raise KeyError("no such cluster")

    kind = REGISTRY.environment_type("world")
    gone = Registry.of(
        environments={
            "world": type(kind)(
                name="world", summary="", options=kind.options, guards=kind.guards, opener=Gone()
            )
        },
        undos={name: REGISTRY.undo_type(name) for name in ("restore_key", "disarm")},
    )
    with pytest.raises(CouldNotRun, match="cannot be reached"):
        finish(folder, gone)
    assert folder.unfinished.exists()
    assert finish(folder).residue == []


def event_of(kind, data):
    return {"v": 1, "seq": 1, "run": "r", "t": "t", "mono_ns": 1, "clock": "c", "kind": kind, "data": data}


class Odd:
    def __repr__(self):
        raise RuntimeError("not even that")


HUGE = {"log": "x" * 10_000_000}
SELF: list = []
SELF.append(SELF)


@pytest.mark.parametrize(
    "evidence",
    [
        HUGE,
        {str(n): "y" * 100 for n in range(100_000)},
        {"deep": SELF},
        {"nan": float("nan"), "half": "\ud800", "object": Odd(), "set": {1, "a"}, "bytes": b"\xff" * 10_000},
        {1: 2, None: 3, "big": 2**200},
        {f"k{n}": {f"k{m}": "z" * 9000 for m in range(64)} for n in range(64)},
    ],
    ids=["a huge text", "many keys", "a cycle", "no JSON at all", "odd keys", "wide and deep"],
)
def test_whatever_is_told_becomes_a_bounded_event(evidence):
    data = {"lane": "node", "subject": "n", "to": "x", "evidence": evidence}
    line = encode(event_of("observed", data))
    assert len(line) <= TOLD_BYTES + 64
    assert decode(line)["data"]["subject"] == "n"


def test_what_an_undo_needs_is_never_cut_but_refused(monkeypatch):
    monkeypatch.setattr("offbus.journal.codec.WHOLE_BYTES", 1000)
    with pytest.raises(JournalError, match="too large"):
        encode(event_of("fingerprint", {"when": "before", "items": {"a": "x" * 2000}}))
    with pytest.raises(JournalError, match="not JSON"):
        encode(event_of("environment_opened", {"environment": "e", "state": {"a": Odd}}))
    assert WHOLE_BYTES > TOLD_BYTES


def test_there_is_a_reader_for_every_released_version():
    assert set(READERS) == set(range(1, VERSION + 1))
    assert set(DATA) == set(EventKind)


def test_a_newer_format_says_so():
    body = b'{"v":2,"seq":1'
    import zlib

    with pytest.raises(DamagedLine, match="format 2, this offbus reads 1"):
        decode(b'%s,"crc":"%08x"}\n' % (body, zlib.crc32(body)))


def test_a_plan_of_a_damaged_journal_is_made(killed):
    _played, folder, lines = killed
    folder.journal.write_bytes(flipped(lines[0], 9) + b"".join(lines[1:]))
    plan = plan_recovery(folder, REGISTRY)
    assert [entry.title for entry in plan.entries] == ["restore f", "restore one", "restore two"]
    assert plan.journal.damage


PLAY = """
import sys
sys.path.insert(0, {tests!r})
from pathlib import Path
from world import Drill
from offbus.errors import JournalError
drill = Drill(Path({folder!r}), {steps!r}, on_event={on_event})
report = drill.play()
print(report.exit, drill.world, "|".join(report.reasons))
"""
STEPS_YAML = "".join(f"  - {line}\n" for line in STEPS.splitlines())


def played_in_child(tmp_path, on_event, limit=None):
    """A drill in a process of its own, because what happens to its files would happen to ours."""
    program = PLAY.format(
        tests=str(Path(__file__).parent), folder=str(tmp_path), steps=STEPS_YAML, on_event=on_event
    )

    def limited():
        import signal

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        if limit:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        preexec_fn=limited,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("limit", [1200, 2000, 2800, 3600, 4400, 5200])
def test_a_disk_that_fills_in_the_middle_undoes_and_says_so(tmp_path, limit):
    """RLIMIT_FSIZE makes write(2) fail with EFBIG after a part of the line, as a full disk does."""
    said = played_in_child(tmp_path, "None", limit)
    assert said.startswith("3 {}"), said
    assert "cannot be written" in said


def test_an_fsync_error_refuses_the_effect_and_undoes(tmp_path):
    """The journal becomes a pipe: it can be written, and fsync(2) fails with EINVAL."""
    swap = (
        "lambda session, event: event['kind'] == 'step_ended' and event['step'] == 'fault' and "
        "__import__('os').dup2(__import__('os').pipe()[1], session._journal._fd)"
    )
    said = played_in_child(tmp_path, swap)
    assert said.startswith("3 {}"), said
    assert "cannot be written" in said


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_a_full_disk_undoes_and_says_so(tmp_path):
    """ENOSPC, for real: a tmpfs of a few pages in a mount namespace of its own."""
    (tmp_path / "disk").mkdir()
    program = PLAY.format(
        tests=str(Path(__file__).parent),
        folder=str(tmp_path),
        steps=STEPS_YAML,
        on_event="lambda session, event: event['kind'] == 'step_ended' and event['step'] == 'fault' and "
        "open(session._journal.path.parent / 'filler', 'wb', buffering=0).write(bytes(1 << 20))",
    )
    script = 'mkdir -p "$1" && mount -t tmpfs -o size=8k tmpfs "$1" && exec "$2" -c "$3"'
    run = tmp_path / "20260101T000000Z-drill-cafe0001"
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script, "sh", str(run), sys.executable, program],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.startswith("3 {}"), done.stdout + done.stderr
    assert "No space left" in done.stdout


def test_a_recovery_on_a_full_disk_undoes_and_says_so(killed):
    played, folder, _lines = killed
    size = folder.journal.stat().st_size
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    import signal

    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100, before[1]))
    try:
        report = finish(folder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert played.world == {"one": "before"}
    assert (report.exit, report.residue) == (Exit.COULD_NOT_RUN, [])
    assert any("cannot be written" in reason for reason in report.reasons)
    assert folder.unfinished.exists()
    assert finish(folder).residue == []
    assert not folder.unfinished.exists()
