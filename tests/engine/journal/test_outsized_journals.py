"""A journal that is small on disk and large once it is read: told in one clear finding, within bounded memory."""

import json
import resource
import zlib
from pathlib import Path
from typing import Any

import pytest

from offbus.errors import JournalError
from offbus.journal.codec import DamagedLine, decode, encode
from offbus.journal.events import VERSION
from offbus.journal.reader import MOST_TOLD, read_journal, told_damage

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
    with pytest.raises(JournalError, match="it is larger than 1 GiB"):
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
