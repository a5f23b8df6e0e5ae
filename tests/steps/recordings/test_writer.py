"""The file of a recording is new, private, and never somebody else's."""

import os
import resource
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from offbus.errors import UsageError
from offbus_steps.recordings.format import read_recording
from offbus_steps.recordings.writer import RecordingWriter
from tests.kits.steps.observed_drills import HEADER, lines_of, xid79


def test_it_is_private_and_whole(tmp_path: Path) -> None:
    writer = RecordingWriter(tmp_path / "drill.jsonl")
    lines = lines_of(xid79())
    for one in (HEADER, *lines):
        writer.write(one)
    writer.close()
    assert stat.S_IMODE((tmp_path / "drill.jsonl").stat().st_mode) == 0o600
    assert [one for _, one in read_recording(tmp_path / "drill.jsonl").lines] == lines


def test_nothing_is_left_of_one_that_did_not_begin(tmp_path: Path) -> None:
    writer = RecordingWriter(tmp_path / "drill.jsonl")
    assert not writer.begun
    writer.close()
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_is_neither_replaced_nor_followed(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for name in ("file", "link", "folder", "pipe"):
        with pytest.raises(UsageError, match="exists already") as refused:
            RecordingWriter(tmp_path / name)
        assert "name another file" in str(refused.value.hint)
    assert (tmp_path / "file").read_text() == "mine"
    assert not (tmp_path / "target").exists()


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("none/drill.jsonl", "No such file or directory"),
        ("\0", "its name is not valid"),
        ("x" * 300, "too long"),
    ],
    ids=["no folder", "NUL", "too long"],
)
def test_a_name_that_no_file_can_have(tmp_path: Path, name: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        RecordingWriter(tmp_path / name)


FULL_DISK = """
import sys
from pathlib import Path
from offbus.errors import CouldNotRun
from offbus_steps.recordings.writer import RecordingWriter
from tests.kits.steps.observed_drills import HEADER, lines_of, xid79
writer = RecordingWriter(Path(sys.argv[1]))
try:
    for line in (HEADER, *lines_of(xid79())):
        writer.write(line)
except CouldNotRun as err:
    print(err)
"""


def test_a_full_disk_is_said_and_what_was_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "drill.jsonl"

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))

    command = [sys.executable, "-c", FULL_DISK, str(path)]
    done = subprocess.run(command, preexec_fn=limited, capture_output=True, text=True, timeout=60)
    assert f"cannot write {path}" in done.stdout, done.stderr
    found = read_recording(path)
    assert found.torn
    assert len(found.lines) > 1
