"""The file of a recording: what is written is read, and nothing else passes for one."""

import json
import os
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offbus.errors import UsageError
from offbus_steps.recordings.format import (
    LARGEST,
    LONGEST_VALUE,
    Change,
    End,
    Gap,
    Header,
    Line,
    encoded,
    read_recording,
)
from tests.kits.steps.observed_drills import HEADER, lines_of, write, xid79

NAMES = st.text(max_size=512)
VALUES = st.none() | st.booleans() | st.text(max_size=100)
SECONDS = st.floats(min_value=0, max_value=1e6)
CHANGES = st.builds(
    Change, at=SECONDS, subject=NAMES, node=NAMES, field=NAMES, was=VALUES, to=VALUES, initial=st.booleans()
)
LINES = st.lists(
    st.one_of(CHANGES, st.builds(Gap, at=SECONDS, gap=NAMES), st.builds(End, at=SECONDS, end=NAMES))
)
HEADERS = st.builds(
    Header,
    offbus=NAMES,
    serves=NAMES,
    responder=st.lists(NAMES, max_size=3),
    watched=st.lists(NAMES, max_size=3),
    unwatched=st.dictionaries(NAMES, NAMES, max_size=3),
    nodes=st.integers(0, 1000),
    names=st.booleans(),
)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("recording") / "drill.jsonl"


@given(header=HEADERS, lines=LINES)
def test_what_is_written_is_read(path: Path, header: Header, lines: list[Line]) -> None:
    ordered = sorted(lines, key=lambda line: line.at)
    path.write_bytes(b"".join(map(encoded, (header, *ordered))))
    found = read_recording(path)
    assert (found.header, [line for _, line in found.lines], found.torn) == (header, ordered, False)


@given(cut=st.integers(min_value=0))
def test_wherever_its_writer_was_killed_the_whole_lines_are_read(path: Path, cut: int) -> None:
    raw = b"".join(map(encoded, (HEADER, *lines_of(xid79()))))
    first = len(encoded(HEADER))
    at = first + cut % (len(raw) - first)
    path.write_bytes(raw[:at])
    found = read_recording(path)
    assert len(found.lines) == raw[first:at].count(b"\n")
    assert found.torn is not raw[:at].endswith(b"\n")


@given(junk=st.binary(max_size=300), at=st.integers(min_value=0, max_value=30))
def test_other_bytes_are_refused_and_never_more(path: Path, junk: bytes, at: int) -> None:
    rows = [encoded(one) for one in (HEADER, *lines_of(xid79()))]
    rows.insert(at, junk + b"\n")
    path.write_bytes(b"".join(rows))
    with suppress(UsageError):
        read_recording(path)


def row(**changed: object) -> bytes:
    line = {
        "at": 1.0,
        "subject": "Node/a",
        "node": "a",
        "field": "cordoned",
        "from": False,
        "to": True,
        **changed,
    }
    return json.dumps(line).encode() + b"\n"


@pytest.mark.timer("steps/offbus_steps/recordings/format.py")
@pytest.mark.parametrize(
    ("rows", "says"),
    [
        (b"", "is no recording"),
        (b"kind: Pod\n", "is no recording"),
        (b"\x00\xff\n", "is no recording"),
        (b"[" * 100_000 + b"\n", "is no recording"),
        (b"x" * 200_000, "is no recording"),
        (b'{"v": 2}\n', "is no recording"),
        (b'{"offbus_recording": true}\n', "is no recording"),
        (b'{"offbus_recording": 2}\n', "its format is 2, and this offbus reads format 1"),
        (b'{"offbus_recording": 999999999999999999}\n', "its format is unknown to everybody"),
        (b'{"offbus_recording": 1}\n', ":1: offbus: Field required"),
        (encoded(HEADER) + b"{]\n", ":2: the line is not JSON"),
        (encoded(HEADER) + b'"text"\n', ":2: it is no line of a recording"),
        (encoded(HEADER) + b"9" * 5000 + b"\n", ":2: the line is not JSON"),
        (encoded(HEADER) + b"[" * 5000 + b"]" * 5000 + b"\n", ":2: the line is n"),
        (
            encoded(HEADER) + row(to="x" * (LONGEST_VALUE + 1)),
            ":2: to: String should have at most 4096 characters",
        ),
        (encoded(HEADER) + row(to="x" * 100_000), ":2: the line is longer than 64 KiB"),
        (encoded(HEADER) + row(to=1), ":2: to"),
        (encoded(HEADER) + row(at=float("nan")), ":2: at"),
        (encoded(HEADER) + row(at=-1.0), ":2: at"),
        (encoded(HEADER) + row(at=1e300), ":2: at"),
        (encoded(HEADER) + row(more=1), ":2: more: Extra inputs are not permitted"),
        (encoded(HEADER) + row() + row(at=0.5), ":3: it happened before the line above it"),
    ],
    ids=lambda one: str(one)[-40:],
)
def test_what_is_no_recording_is_refused_with_its_line(tmp_path: Path, rows: bytes, says: str) -> None:
    path = tmp_path / "some.jsonl"
    path.write_bytes(rows)
    with pytest.raises(UsageError) as refused:
        read_recording(path)
    assert says in refused.value.message
    assert str(path) in refused.value.message


def test_what_never_ends_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(LARGEST + 1)
    for name, says in (
        ("pipe", "it is a pipe, not a file"),
        ("sparse", "is larger than 32 MiB"),
        ("none", "No such file"),
        (".", "it is a folder"),
        ("\0", "its name holds a NUL"),
    ):
        with pytest.raises(UsageError, match=says):
            read_recording(tmp_path / name)
    with pytest.raises(UsageError, match="it is a device, not a file"):
        read_recording(Path("/dev/zero"))


def test_a_recording_is_compact(tmp_path: Path) -> None:
    path = write(tmp_path / "drill.jsonl", lines_of(xid79()))
    first, second, *_ = path.read_text().splitlines()
    assert json.loads(first)["offbus_recording"] == 1
    assert json.loads(second).keys() == {"at", "subject", "node", "field", "from", "to"}
