"""Half a surrogate pair is valid in JSON and in no text: what holds one is damaged, wherever JSON of others is read."""

import base64
import gzip
import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from offbus.errors import CouldNotRun
from offbus.journal.codec import DamagedLine, decode, encode
from offbus.journal.lock import holder_of
from offbus.journal.reader import read_journal
from offbus.json_values import parsed
from offbus.report.fold import fold
from offbus.runs import RunFolder
from offbus_steps.kubernetes.ownership.run_records import events_in
from tests.kits.engine.killed_run import killed_run
from tests.kits.engine.player import Drill, finish

HALF = "\ud800"
PAIR = "\U0001f525"


def line_of(event: Any) -> bytes:
    """As somebody writes it who knows how checksums are made."""
    body = json.dumps(
        {key: one for key, one in event.items() if key != "crc"}, separators=(",", ":")
    ).encode()[:-1]
    return b'%s,"crc":"%08x"}\n' % (body, zlib.crc32(body))


def started(**inputs: Any) -> dict[str, Any]:
    return {
        "v": 2, "seq": 1, "run": "abcd0123", "t": "2026-01-01T00:00:00.000000Z", "mono_ns": 1, "clock": "c",
        "kind": "run_started",
        "data": {
            "name": "d", "summary": "", "scenario": "s", "digest": "0" * 64, "environment": "k", "identity": "i",
            "versions": {}, "steps": [], "expect": [], "timeout_s": 1.0, "undo_timeout_s": 1.0, "host": "h", "pid": 1,
            "inputs": inputs,
        },
    }  # fmt: skip


@pytest.mark.parametrize("odd", [{"a": HALF}, {"a": [{"b": f"x{HALF}y"}]}, {HALF: 1}, {"a": "\udcff"}])
def test_an_event_with_one_is_none(odd: dict[str, Any]) -> None:
    with pytest.raises(DamagedLine, match="half a surrogate pair"):
        decode(line_of(started(**odd)))


def test_nor_one_in_bytes_that_are_no_utf_8() -> None:
    line = line_of(started(a="AAA"))
    body = line.rpartition(b',"crc":')[0].replace(b"AAA", b"\xed\xa0\x80")
    with pytest.raises(DamagedLine):
        decode(b'%s,"crc":"%08x"}\n' % (body, zlib.crc32(body)))


def test_a_whole_pair_is_a_text() -> None:
    event = started(a=PAIR, b="\\ud800", c="\ud7ff\ue000")
    assert decode(line_of(event)) == event == decode(encode(event))


def test_a_journal_with_one_is_folded_and_recovered(drill: Callable[..., Drill]) -> None:
    played, folder, _ = killed_run(drill)
    lines = folder.journal.read_bytes().splitlines(keepends=True)
    odd = [json.loads(line) for line in lines]
    for event in odd:
        if event["kind"] in ("run_started", "step_ended"):
            event["data"].update(
                {"inputs": {"a": HALF}} if event["kind"] == "run_started" else {"evidence": {"a": HALF}}
            )
    folder.journal.write_bytes(b"".join(map(line_of, odd)))
    fold(read_journal(folder.journal).events).model_dump_json()
    report = finish(folder)
    assert "damaged" in " ".join(report.reasons)
    report.model_dump_json().encode()
    assert played.world == {"one": "before"}


@pytest.mark.parametrize("packed", [False, True])
def test_records_with_one_are_damaged(packed: bool) -> None:
    text = json.dumps(started(a=HALF))
    held = {"binaryData": {"fingerprint": base64.b64encode(gzip.compress(text.encode())).decode()}}
    meta = {
        "name": "offbus-run-abcd0123",
        "namespace": "n",
        "labels": {"offbus.dev/recorded-run": "abcd0123"},
    }
    with pytest.raises(CouldNotRun, match=r"are damaged: .*half a surrogate pair"):
        events_in({"kind": "ConfigMap", "metadata": meta, **(held if packed else {"data": {"1": text}})})


def test_a_run_folder_s_files_with_one_say_nothing(tmp_path: Path) -> None:
    (tmp_path / "unfinished").write_text(json.dumps({"identity": HALF}))
    assert RunFolder(tmp_path).identity is None
    (tmp_path / "lock").write_text(
        json.dumps({"pid": 1, "host": HALF, "task": "run", "started": 1, "boot": "b"})
    )
    assert holder_of(tmp_path / "lock") is None


@pytest.mark.parametrize("text", ['"\\ud800"', b'"\\udc00\\ud800"', b'"\xed\xa0\x80"', '{"\\ud83d": 1}'])
def test_json_that_holds_one_is_refused_where_it_is_parsed(text: bytes | str) -> None:
    with pytest.raises(ValueError, match="half a surrogate pair"):
        parsed(text)
