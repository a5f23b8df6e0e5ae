"""What only the effect can tell is added to an undo's record, under the same number."""

from offbus.journal.reader import read_journal
from offbus.journal.recovery_events import is_persisted, rebuild_journal
from offbus.runs import RunFolder
from tests.kits.engine.killed_run import whole_run_of
from tests.kits.engine.player import finish

MAKE = "{id: one, uses: make_key, with: {key: one}}"
NEXT = "{id: two, uses: set_key, with: {key: two}}"


def records(drill):
    return [e["data"] for e in drill.events if e["kind"] == "undo_recorded"]


def test_an_amended_record_is_one_undo_and_the_later_words_count(drill):
    played = drill(f"{MAKE}\n{NEXT}")
    report = played.play()
    assert [(one["undo"], one["record"]["intended"]) for one in records(played)] == [
        (1, None),
        (1, "made-one"),
        (2, "set"),
    ]
    assert [(one.undo, one.result) for one in report.undos] == [(1, "restored"), (2, "restored")]
    assert played.world == {}


def test_an_undo_was_recorded_when_it_was_recorded_first(drill):
    played = drill(MAKE)
    report = played.play()
    first = next(e for e in played.events if e["kind"] == "undo_recorded")
    assert report.undos[0].recorded.seq == first["seq"]


def test_killed_after_any_event_the_newest_record_decides(drill):
    played, _worlds, lines = whole_run_of(drill, MAKE)
    number = max(n for n, line in enumerate(lines, 1) if b'"kind":"undo_recorded"' in line)
    for cut, results in ((number, ["restored"]), (number - 1, ["conflict"])):
        folder = RunFolder(played.folder / f"20260101T000000Z-drill-{cut:08d}")
        folder.path.mkdir()
        folder.unfinished.touch()
        folder.journal.write_bytes(b"".join(lines[:cut]))
        played.storage.items = {"one": "made-one"}
        assert [undo.result for undo in finish(folder).undos] == results


def test_a_journal_from_stored_events_has_the_newest_record_last(drill, tmp_path):
    played = drill(MAKE)
    played.play()
    rebuild_journal(tmp_path / "rebuilt.jsonl", filter(is_persisted, played.events))
    found = [
        e["data"]["record"] for e in read_journal(tmp_path / "rebuilt.jsonl").events if "record" in e["data"]
    ]
    assert [one["intended"] for one in found] == [None, "made-one"]


def test_what_was_never_recorded_cannot_be_amended(drill):
    played = drill("{id: one, uses: make_key, with: {key: one, forget: true}}")
    report = played.play()
    assert report.steps[0].outcome == "errored"
    assert "never recorded" in str(report.steps[0])
