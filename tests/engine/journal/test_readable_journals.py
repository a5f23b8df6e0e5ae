"""What a run writes into its journal can be read again, whatever outsiders had it write; what an undo needs, first."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offbus.errors import JournalError
from offbus.journal.events import EventKind
from offbus.journal.kinds import (
    FINGERPRINT,
    OBSERVED,
    RUN_STARTED,
    UNDO_ENDED,
    UNDO_RECORDED,
    UNDO_STARTED,
    Draft,
)
from offbus.journal.reader import read_journal
from offbus.journal.start_schemas import RunStarted
from offbus.journal.writer import JournalWriter
from offbus.json_values import count_values
from tests.kits.virtual_time import VirtualClock

MARKS = st.text(alphabet=',[]{}:"\\\n a', max_size=40)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | MARKS,
    lambda inner: st.lists(inner) | st.dictionaries(MARKS, inner),
    max_leaves=20,
)
DENSE = [[[1] * 64 for _ in range(32)] for _ in range(8)]
"""16,000 values in 33 KB: the evidence of one event, uncut."""
FLOOD = ["," * 60_000, '"\\' * 8_000, DENSE, [[]] * 20_000]
HEAD: RunStarted = {
    "name": "d", "summary": "", "scenario": "s", "digest": "0" * 64, "environment": "k", "identity": "i",
    "versions": {}, "steps": [], "expect": [], "timeout_s": 1.0, "undo_timeout_s": 1.0, "host": "h", "pid": 1,
}  # fmt: skip


def recorded(undo: int, what: Any = None) -> Draft:
    record = {"a": what}
    return UNDO_RECORDED(
        {
            "undo": undo,
            "type": "t",
            "distribution": "d",
            "phase": "restore",
            "describe": "x",
            "record": record,
        }
    )


def writer(path: Path) -> JournalWriter:
    return JournalWriter(path, "0123abcd", VirtualClock())


def observed(what: Any, subject: str = "s", lane: str = "node") -> Draft:
    return OBSERVED({"lane": lane, "subject": subject, "to": "t", "evidence": {"what": what}})


def structure(value: object) -> int:
    """The marks outside strings: an opening one of each list and mapping, and a comma before each but the first."""
    if not isinstance(value, dict | list):
        return 0
    inner = value.values() if isinstance(value, dict) else value
    return 1 + max(0, len(value) - 1) + sum(map(structure, inner))


@given(JSON, st.booleans())
def test_marks_in_texts_are_no_values(value: object, ascii_only: bool) -> None:
    assert count_values(json.dumps(value, ensure_ascii=ascii_only).encode()) == structure(value)


@pytest.mark.parametrize("text", ["," * 3_000_000, '\\",' * 900_000, '"' * 2_000_000, "\\" * 2_000_001 + ","])
def test_marks_in_long_texts_are_no_values(text: str) -> None:
    assert count_values(json.dumps(["," + text, [1, 2]]).encode()) == 4


@pytest.mark.guarantee("G15")
def test_texts_of_outsiders_keep_no_journal_from_being_read(tmp_path: Path) -> None:
    """A pod's devices, an Event's message: 2 KB of commas at a time, more than a million of them in all."""
    path = tmp_path / "journal.jsonl"
    journal = writer(path)
    journal.append(RUN_STARTED(HEAD))
    for number in range(700):
        journal.append(observed("," * 2000 + str(number)))
    journal.close()
    assert len(read_journal(path).events) == 701


def test_a_fingerprint_with_one_long_text_is_kept(tmp_path: Path) -> None:
    """An owner's name, a condition's reason, a fault's id: any outsider's, of more than a megabyte."""
    path = tmp_path / "journal.jsonl"
    journal = writer(path)
    items = {"a": "," * 1_100_000}
    journal.append(FINGERPRINT({"when": "before", "items": items}), durable=True)
    journal.close()
    assert FINGERPRINT.data(read_journal(path).events[0])["items"] == items


@pytest.mark.guarantee("G15")
def test_a_flood_of_values_is_left_out_and_what_an_undo_needs_is_not(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    journal = writer(path)
    journal.append(RUN_STARTED(HEAD))
    for number in range(100):
        journal.append(observed(DENSE, f"Event/default/{number}", "responder"))
    for undo in range(1, 51):
        journal.append(recorded(undo), step="s", durable=True)
        journal.append(UNDO_STARTED({"undo": undo, "attempt": 1, "by": "runner"}))
        journal.append(
            UNDO_ENDED({"undo": undo, "attempt": 1, "result": "restored", "detail": "", "evidence": {}})
        )
    journal.close()
    assert journal.broken is None
    kinds = [event["kind"] for event in read_journal(path).events]
    assert kinds.count(EventKind.UNDO_RECORDED) == kinds.count(EventKind.UNDO_ENDED) == 50
    assert 10 < kinds.count(EventKind.OBSERVED) < 60


@pytest.mark.guarantee("G15")
def test_what_is_left_out_is_said_once_where_it_was(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    journal = writer(path)
    seqs = [journal.append(observed("x" * 60_000, "Node/evil"))["seq"] for _ in range(300)]
    other = journal.append(observed("x", "Node/other"))
    journal.close()
    events = read_journal(path).events
    said = [one for one in events if "left out" in OBSERVED.data(one)["to"]]
    assert [(OBSERVED.data(one)["lane"], OBSERVED.data(one)["subject"]) for one in said] == [
        ("node", "Node/evil")
    ]
    assert seqs[-1] == seqs[-2] == said[0]["seq"]
    assert events[-1]["seq"] == other["seq"]
    assert path.stat().st_size < 5 << 20


@pytest.mark.guarantee("G15")
def test_nothing_more_is_recorded_for_an_undo_when_the_journal_is_full(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    journal = writer(path)
    ones = [1] * 900_000
    journal.append(recorded(1, ones), step="s", durable=True)
    with pytest.raises(JournalError, match="the journal has no room"):
        journal.append(recorded(2, ones), step="s", durable=True)
    journal.append(UNDO_STARTED({"undo": 1, "attempt": 1, "by": "runner"}), durable=True)
    journal.close()
    assert [one["seq"] for one in read_journal(path).events] == [1, 2]


@pytest.mark.guarantee("G15")
@settings(max_examples=30, deadline=None)
@given(flood=st.lists(st.tuples(st.sampled_from(FLOOD), st.booleans()), max_size=60))
def test_whatever_is_written_is_read(
    flood: list[tuple[Any, bool]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("run") / "journal.jsonl"
    journal = writer(path)
    heard: list[Any] = []
    journal.listen(heard.append)
    for number, (what, whole) in enumerate(flood, start=1):
        if whole:
            try:
                journal.append(recorded(number, what), step="s", durable=True)
            except JournalError:
                continue
        else:
            journal.append(observed(what, f"s{number % 3}"))
    journal.close()
    assert (read_journal(path).events if path.stat().st_size else []) == heard
