"""The journal: what is written is read back; what is torn or damaged is seen; any prefix folds."""

import json
from contextlib import closing
from functools import reduce

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from offbus.errors import JournalError
from offbus.journal.codec import DamagedLine, decode, encode, read_back
from offbus.journal.events import VERSION, Event, EventKind
from offbus.journal.kinds import DATA
from offbus.journal.reader import read_journal
from offbus.journal.writer import JournalWriter
from offbus.report.fold import Fold, fold
from offbus.report.model import Report
from tests.kits.virtual_time import VirtualClock

STEPS = """{id: beside, uses: watch, background: true}
{id: fault, uses: set_key, with: {key: f, fault: true}, expect: ["outputs.count == 3"]}
{id: bad, uses: set_key, with: {key: left, undo: explode, fail: failed}}"""

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


NOW = "2026-01-01T00:00:00.000000Z"
HEAD = {"v": VERSION, "seq": 1, "run": "r", "t": NOW, "mono_ns": 1, "clock": "c", "kind": "observed"}


def observed(evidence):
    return HEAD | {"data": {"lane": "node", "subject": "höhe", "to": "x", "evidence": evidence}}


@given(st.dictionaries(st.text(), JSON))
def test_what_is_encoded_is_decoded(evidence):
    event = observed(evidence)
    line = encode(event)
    assert line.count(b"\n") == 1
    assert decode(line) == event
    assert read_back(line) == event


def test_what_is_nested_deeply_reads_back_as_it_is_decoded():
    """Deeper than pydantic-core's parser goes, and not too deep for its writer."""
    line = encode(observed({"deep": reduce(lambda inner, _: [inner], range(230), 0)}))
    assert read_back(line) == decode(line)


@given(st.data())
def test_any_changed_byte_is_seen(data):
    line = encode(observed({"why": "höhe"}))
    at = data.draw(st.integers(0, len(line) - 1))
    flipped = bytes([line[at] ^ data.draw(st.integers(1, 255))])
    with pytest.raises(DamagedLine):
        decode(line[:at] + flipped + line[at + 1 :])


def test_every_event_of_a_run_has_the_schema_of_its_kind(drill):
    played = drill(STEPS)
    played.play()
    envelope = TypeAdapter(Event)
    for event in read_journal(played.run_folder.journal).events:
        envelope.validate_python(event, strict=False)
        TypeAdapter(DATA[EventKind(event["kind"])]).validate_python(event["data"], extra="forbid")


@pytest.mark.guarantee("G12")
def test_the_report_is_the_fold_of_the_journal(drill):
    played = drill(STEPS)
    report = played.play()
    assert fold(read_journal(played.run_folder.journal).events) == report


@pytest.mark.guarantee("G12")
def test_every_prefix_folds_to_a_valid_report_of_an_aborted_run(drill):
    played = drill(STEPS)
    played.play()
    events = read_journal(played.run_folder.journal).events
    for length in range(1, len(events)):
        report = fold(events[:length])
        assert Report.model_validate_json(report.model_dump_json()) == report
        assert (report.verdict, report.complete) == ("aborted", False)
    with pytest.raises(ValueError, match="run_started"):
        fold([])


def test_a_journal_cut_at_any_byte_loses_at_most_its_last_line(drill):
    played = drill("{id: fault, uses: set_key, with: {key: f, fault: true}}")
    played.play()
    raw = played.run_folder.journal.read_bytes()
    whole = read_journal(played.run_folder.journal).events
    start = len(raw) - len(b"".join(raw.splitlines(keepends=True)[-3:]))
    for cut in range(start, len(raw)):
        played.run_folder.journal.write_bytes(raw[:cut])
        read = read_journal(played.run_folder.journal)
        assert read.unended == raw[cut:].startswith(b"\n")
        assert read.events == whole[: raw[:cut].count(b"\n") + read.unended]
        assert read.good_bytes + read.torn_bytes == cut
        assert read.damage == []


def test_a_damaged_middle_is_reported_with_its_line(drill):
    played = drill(STEPS)
    played.play()
    lines = played.run_folder.journal.read_bytes().splitlines(keepends=True)
    lines[3] = lines[3].replace(b'"seq":4', b'"seq":5')
    played.run_folder.journal.write_bytes(b"".join(lines))
    read = read_journal(played.run_folder.journal)
    assert [(one.line, one.why) for one in read.damage] == [(4, "the line does not match its checksum")]
    assert len(read.events) == len(lines) - 1


def test_the_journal_is_private(drill):
    played = drill(STEPS)
    played.play()
    assert played.run_folder.journal.stat().st_mode & 0o077 == 0


def test_a_journal_that_cannot_be_opened_says_why(tmp_path):
    with pytest.raises(JournalError, match="No such file or directory"):
        JournalWriter(tmp_path / "nowhere" / "journal.jsonl", "r", VirtualClock())


def test_the_published_report_schema_accepts_reports(drill):
    import jsonschema

    played = drill(STEPS)
    report = played.play()
    jsonschema.validate(json.loads(report.model_dump_json()), Report.model_json_schema())


@pytest.mark.parametrize(
    "kind", ["run_started", "step_started", "undo_recorded", "undo_started", "fault_declared"]
)
def test_a_journal_that_lost_any_line_still_folds(drill, kind):
    played = drill(STEPS)
    played.play()
    events = read_journal(played.run_folder.journal).events
    state = Fold()
    for event in events:
        if event["kind"] != kind:
            state.apply(event)
    assert state.verdict().exit != 0 or kind in ("step_started", "undo_started")


def test_a_torn_tail_is_cut_from_the_file_that_is_open_wherever_its_name_leads_by_then(tmp_path):
    path, victim = tmp_path / "journal.jsonl", tmp_path / "victim"
    path.write_bytes(b"whole\ntorn")
    victim.write_bytes(b"somebody else's file")
    with closing(JournalWriter(path, "r", VirtualClock())) as writer:
        path.rename(tmp_path / "moved")
        path.symlink_to(victim)
        writer.truncate(len(b"whole\n"))
    assert (tmp_path / "moved").read_bytes() == b"whole\n"
    assert victim.read_bytes() == b"somebody else's file"
