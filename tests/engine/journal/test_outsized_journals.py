"""A journal that is small on disk and large once it is read: told in one clear finding, within bounded memory."""

import json
import resource
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import pytest

from offbus.errors import JournalError
from offbus.journal.codec import DamagedLine, decode, encode
from offbus.journal.events import VERSION
from offbus.journal.reader import MOST_TOLD, Damage, read_journal, told_damage
from offbus.journal.room import BYTES_A_VALUE
from offbus.json_values import count_values

HEAD: dict[str, Any] = {
    "v": VERSION,
    "seq": 1,
    "run": "0123abcd",
    "t": "2026-11-30T00:00:00.000000Z",
    "mono_ns": 1,
    "clock": "c",
}


def observed(evidence: Any) -> dict[str, Any]:
    data = {"lane": "run", "subject": "s", "to": "t", "evidence": {"deep": evidence}}
    return {**HEAD, "kind": "observed", "data": data}


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def line_of(event: Any) -> bytes:
    body = json.dumps(event).encode()[:-1]
    return b'%s,"crc":"%08x"}\n' % (body, zlib.crc32(body))


def test_a_sparse_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    journal = tmp_path / "journal.jsonl"
    journal.touch()
    with journal.open("r+b") as file:
        file.truncate(1 << 31)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(JournalError, match="it is larger than 512 MiB"):
        read_journal(journal)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 * 1024


def test_countless_damaged_lines_are_counted_and_the_first_are_told(tmp_path: Path) -> None:
    journal = tmp_path / "journal.jsonl"
    journal.write_bytes(b"\n" * 100_000 + encode(observed(1)) + b"\n")
    read = read_journal(journal)
    assert len(read.events) == 1
    assert read.lost_at_end == 1
    told = list(told_damage(read))
    assert len(told) == MOST_TOLD + 1
    assert told[0] == f"{journal}:1: the line has no checksum; the line is skipped"
    assert told[-1] == f"{journal}: and {100_001 - MOST_TOLD} more damaged lines, which are skipped"
    assert len(read.damage) == MOST_TOLD


@pytest.mark.parametrize("depth", [101, 240, 900])
def test_what_is_nested_too_deeply_is_a_damaged_line(depth: int) -> None:
    with pytest.raises(DamagedLine, match="nested deeper than 100"):
        decode(line_of(observed(nested(depth))))


@pytest.mark.parametrize("depth", [50, 101, 240, 900])
def test_what_is_journaled_can_be_read_and_reported(depth: int) -> None:
    decode(encode(observed(nested(depth))))


def test_what_is_kept_whole_is_refused_when_it_is_nested_too_deeply() -> None:
    fingerprint = {**HEAD, "kind": "fingerprint", "data": {"when": "before", "items": {"a": nested(101)}}}
    with pytest.raises(JournalError, match="nested deeper than 100"):
        encode(fingerprint)


def fingerprint(items: Any, seq: int = 1) -> dict[str, Any]:
    return {**HEAD, "seq": seq, "kind": "fingerprint", "data": {"when": "before", "items": {"a": items}}}


def filled(seq: int, unit: str, values: int) -> bytes:
    """The line of a fingerprint with that many values, as cheap in bytes as their unit is."""
    head, tail = json.dumps(fingerprint("@", seq))[:-1].split('"@"')
    each = sum(map(unit.count, "[{,"))
    body = f"{head}[{(unit * (values // each))[:-1]}]{tail}".encode()
    return b'%s,"crc":"%08x"}\n' % (body, zlib.crc32(body))


@pytest.mark.parametrize("unit", ["[],", "[[]],", '{"a":1},', "1,", "[[[[1]]]],"])
def test_a_line_of_countless_values_is_damaged_and_is_never_parsed(tmp_path: Path, unit: str) -> None:
    journal = tmp_path / "journal.jsonl"
    journal.write_bytes(filled(1, unit, 5_000_000) + encode({**observed(1), "seq": 2}))
    tracemalloc.start()
    try:
        read = read_journal(journal)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert [event["seq"] for event in read.events] == [2]
    assert read.damage == [Damage(1, "the line has more than 1048576 values")]
    assert peak < 4 * journal.stat().st_size + (1 << 20)


@pytest.mark.parametrize("unit", ["[],", '{"a":1},'])
def test_a_small_journal_of_countless_values_is_refused_as_a_whole(tmp_path: Path, unit: str) -> None:
    journal = tmp_path / "journal.jsonl"
    journal.write_bytes(b"".join(filled(seq, unit, 1_000_000) for seq in range(1, 11)))
    tracemalloc.start()
    try:
        with pytest.raises(JournalError, match=r"it has \d+ values in \d+ bytes, .* not a journal"):
            read_journal(journal)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 * journal.stat().st_size + (1 << 20)


def test_what_is_kept_whole_is_refused_when_it_has_countless_values() -> None:
    with pytest.raises(JournalError, match=r"of kind fingerprint has too many values \(12\d{5}\)"):
        encode(fingerprint([[]] * 600_000))


def test_the_fingerprints_of_20000_pods_and_nodes_are_kept_and_read(tmp_path: Path) -> None:
    """Two of them, each with its own owner per pod and 17 values per node."""
    items = {f"Deployment/default/d-{n} pods": {"count": 1, "ready": 1, "shim": 0} for n in range(20_000)}
    items |= {
        f"Node/n-{n} metadata.labels[]": {f"label-{one}": f"v{one}" for one in range(17)}
        for n in range(20_000)
    }
    events = [fingerprint(items), {**fingerprint(items, 2), "data": {"when": "after", "items": items}}]
    journal = tmp_path / "journal.jsonl"
    journal.write_bytes(b"".join(map(encode, events)))
    read = read_journal(journal)
    assert [event["seq"] for event in read.events] == [1, 2]
    assert not read.damage


def test_a_journal_of_very_many_steps_has_few_values_for_its_size() -> None:
    """What a run writes most of stays within the bound, whatever its length."""
    lines = b"".join(
        encode({**observed({"n": n, "ok": True}), "seq": n, "step": f"s{n}"}) for n in range(1000)
    )
    assert count_values(lines) < len(lines) // BYTES_A_VALUE
