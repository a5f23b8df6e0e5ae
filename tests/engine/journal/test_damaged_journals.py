"""Damaged journals: what is known is still undone, what cannot be known is residue; nothing is an internal error."""

import json

import pytest

from offbus.errors import CouldNotRun, JournalError
from offbus.exits import Exit
from offbus.journal.bounds import TOLD_BYTES, WHOLE_BYTES
from offbus.journal.codec import READERS, DamagedLine, NewerFormat, decode, encode
from offbus.journal.events import VERSION
from offbus.journal.reader import read_journal
from offbus.plugins import Registry
from offbus.recovery.recover import plan_recovery
from offbus.report.fold import fold
from offbus.runs import RunFolder
from tests.kits.engine.player import finish
from tests.kits.engine.world_steps import REGISTRY


def flipped(line: bytes, at: int) -> bytes:
    return line[:at] + bytes([line[at] ^ 0x20]) + line[at + 1 :]


@pytest.mark.guarantee("G14")
@pytest.mark.parametrize("place", [10, -5, -1], ids=["in its middle", "in its checksum", "in its line end"])
def test_any_damaged_line_leaves_the_world_as_before_or_says_what_may_be_left(killed, place):
    played, folder, lines = killed
    world = played.world
    for number in range(len(lines)):
        played.storage.items = world
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
        assert all(one.fix for one in report.residue)
        assert folder.unfinished.exists() == bool(report.residue)
        assert fold(read_journal(folder.journal).events) == report


@pytest.mark.guarantee("G14")
def test_a_lost_record_is_resolved_when_the_environment_is_as_before(killed):
    played, folder, lines = killed
    number = next(n for n, line in enumerate(lines) if b'"describe":"restore one"' in line)
    lines[number] = flipped(lines[number], 20)
    folder.journal.write_bytes(b"".join(lines))
    report = finish(folder)
    assert {one.item for one in report.residue} >= {"one", "undo 2"}
    assert all("rm " in one.fix for one in report.residue if one.item.startswith("undo"))
    played.prepare(one="before")  # somebody fixes it by hand
    assert finish(folder).residue == []
    assert not folder.unfinished.exists()


@pytest.mark.guarantee("G14")
def test_without_where_it_acted_every_undo_is_residue_with_manual_steps(killed):
    _played, folder, lines = killed
    kept = [line for line in lines if b"environment_opened" not in line]
    folder.journal.write_bytes(b"".join(kept))
    report = finish(folder)
    assert [one.item for one in report.residue] == ["restore f", "restore one", "restore two"]
    assert all("by hand" in one.fix for one in report.residue)


@pytest.mark.guarantee("G14")
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


@pytest.mark.guarantee("G14")
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
    return {
        "v": VERSION,
        "seq": 1,
        "run": "r",
        "t": "2026-01-01T00:00:00.000000Z",
        "mono_ns": 1,
        "clock": "c",
        "kind": kind,
        "data": data,
    }


class Odd:
    def __repr__(self):
        raise RuntimeError("not even that")


HUGE = {"log": "x" * 10_000_000}
SELF: list = []
SELF.append(SELF)


@pytest.mark.guarantee("G15")
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


@pytest.mark.guarantee("G15")
def test_what_an_undo_needs_is_never_cut_but_refused(monkeypatch):
    monkeypatch.setattr("offbus.journal.codec.WHOLE_BYTES", 1000)
    with pytest.raises(JournalError, match="too large"):
        encode(event_of("fingerprint", {"when": "before", "items": {"a": "x" * 2000}}))
    with pytest.raises(JournalError, match="not JSON"):
        encode(event_of("environment_opened", {"environment": "e", "state": {"a": Odd}}))
    assert WHOLE_BYTES > TOLD_BYTES


@pytest.mark.guarantee("G16")
def test_there_is_a_reader_for_every_released_version():
    assert set(READERS) == set(range(1, VERSION + 1))


def test_a_newer_format_says_so():
    body = b'{"v":3,"seq":1'
    import zlib

    with pytest.raises(NewerFormat, match="format 3, and this offbus reads up to format 2"):
        decode(b'%s,"crc":"%08x"}\n' % (body, zlib.crc32(body)))


STARTED = event_of("step_started", {"attempt": 1}) | {"step": "one"}


@pytest.mark.parametrize(
    "changed",
    [
        {"t": "2026-02-30T12:00:00.000000Z"},
        {"t": "20;6-01-01T12:00:00.000000Z"},
        {"t": "2026-01-01T12:00:00.000000"},
        {"t": ""},
        {"mono_ns": 10**400},
        {"seq": 2**63},
        {"step": None},
    ],
    ids=["no such day", "no time", "no zone", "empty", "no clock's", "no count", "of no step"],
)
def test_what_a_fold_cannot_calculate_with_is_no_event(changed):
    """Found by fuzzing: a line with a right checksum ended `report` and `recover` as a bug."""
    event = {key: value for key, value in (STARTED | changed).items() if value is not None}
    with pytest.raises(DamagedLine, match="no event of format 2"):
        decode(encode(event))


@pytest.mark.parametrize("end", [b"\n", b""], ids=["in a line", "after the last line"])
def test_of_two_events_of_one_number_in_a_damaged_line_the_first_counts(tmp_path, end):
    """Found by fuzzing: events of a damaged line were compared with those before it, and not with each other."""
    whole = encode(STARTED | {"seq": 2})[:-1]
    path = tmp_path / "journal.jsonl"
    path.write_bytes(encode(STARTED | {"seq": 1}) + whole + b"?" + whole + end)
    assert [event["seq"] for event in read_journal(path).events] == [1, 2]


def test_a_plan_of_a_damaged_journal_is_made(killed):
    _played, folder, lines = killed
    folder.journal.write_bytes(flipped(lines[0], 9) + b"".join(lines[1:]))
    plan = plan_recovery(folder, REGISTRY)
    assert [entry.title for entry in plan.entries] == ["restore f", "restore one", "restore two"]
    assert plan.journal.damage
