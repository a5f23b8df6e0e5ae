"""The detector's reading of a record file, and the position that it keeps."""

import os
from pathlib import Path

import anyio
import pytest

from offbus_sandbox.responder.boot_id import read_boot_id, renew_boot_id
from offbus_sandbox.responder.detector.inotify import Folder
from offbus_sandbox.responder.detector.kernel_log import Device, RecordFile, open_kernel_log
from offbus_sandbox.responder.detector.state import StateFile


def append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


def seqs(log: RecordFile, after: int = -1) -> list[int]:
    return [record.seq for record in log.read(after)]


def test_only_new_records_are_read(tmp_path: Path) -> None:
    path = tmp_path / "kmsg"
    append(path, "12,0,1,-;a\n12,1,2,-;b\n")
    log = RecordFile(path)
    assert seqs(log) == [0, 1]
    assert seqs(log) == []
    append(path, "12,2,3,-;c\n")
    assert seqs(log) == [2]


def test_a_position_skips_what_was_handled_before_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "kmsg"
    append(path, "12,4,1,-;a\n12,5,2,-;b\n12,6,2,-;c\n")
    assert seqs(RecordFile(path), after=4) == [5, 6]
    assert RecordFile(path).last() == 6


def test_half_a_line_waits_for_its_end(tmp_path: Path) -> None:
    path = tmp_path / "kmsg"
    append(path, "12,0,1,-;a\n12,1,2,-;b")
    log = RecordFile(path)
    assert seqs(log) == [0]
    append(path, " and more\n")
    assert [record.text for record in log.read(0)] == ["b and more"]


def test_what_is_no_record_is_skipped(tmp_path: Path) -> None:
    path = tmp_path / "kmsg"
    path.write_bytes(b"12,0,1,-;a\n SUBSYSTEM=x\nrubbish\n\xff\xfe\n12,1,2,-;\xff b\n")
    assert seqs(RecordFile(path)) == [0, 1]


def test_a_file_may_come_later_and_be_replaced(tmp_path: Path) -> None:
    path = tmp_path / "kmsg"
    log = open_kernel_log(path)
    assert isinstance(log, RecordFile)
    assert seqs(log) == []
    assert log.last() == -1
    append(path, "12,0,1,-;a\n")
    assert seqs(log) == [0]
    other = tmp_path / "other"
    append(other, "12,1,1,-;b\n")
    other.replace(path)
    assert seqs(log) == [1]


def test_the_position_survives_a_restart(tmp_path: Path) -> None:
    assert StateFile(tmp_path).load().cursor is None
    StateFile(tmp_path).save(boot_id="b", cursor=41, fell_off=True)
    state = StateFile(tmp_path).load()
    assert (state.boot_id, state.cursor, state.fell_off) == ("b", 41, True)


def test_a_broken_state_file_is_a_first_start(tmp_path: Path) -> None:
    path = tmp_path / "var/run/nvsentinel/syslog_monitor/state.json"
    path.parent.mkdir(parents=True)
    path.write_text('{"version": 2}')
    assert StateFile(tmp_path).load().cursor is None


def test_a_node_without_its_own_boot_id_has_the_machine_s(tmp_path: Path) -> None:
    machine = read_boot_id(tmp_path)
    assert machine == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    renew_boot_id(tmp_path)
    first = read_boot_id(tmp_path)
    renew_boot_id(tmp_path)
    assert len({machine, first, read_boot_id(tmp_path)}) == 3


def test_a_change_in_the_folder_wakes_the_reader(tmp_path: Path) -> None:
    async def woken_by(write: str) -> None:
        with Folder(tmp_path) as folder:
            append(tmp_path / "kmsg", write)
            with anyio.fail_after(10):
                await folder.changed()

    anyio.run(woken_by, "12,0,1,-;a\n")
    anyio.run(woken_by, "12,1,1,-;b\n")


def test_an_unchanged_folder_does_not_wake_it(tmp_path: Path) -> None:
    async def woken_again() -> bool:
        with Folder(tmp_path) as folder:
            append(tmp_path / "kmsg", "12,0,1,-;a\n")
            await folder.changed()
            with anyio.move_on_after(0.05) as scope:
                await folder.changed()
            return not scope.cancelled_caught

    assert not anyio.run(woken_again)


def test_the_watch_frees_its_descriptor(tmp_path: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        with Folder(tmp_path):
            pass
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.mark.skipif(not os.access("/dev/kmsg", os.R_OK), reason="the kernel log is not readable here")
def test_the_kernel_s_own_log_is_read_in_the_same_form() -> None:
    log = open_kernel_log(Path("/dev/kmsg"))
    assert isinstance(log, Device)
    try:
        found = [record.seq for record in log.read(-1)]
        assert found == sorted(found)
        assert [record.seq for record in log.read(found[-1] if found else -1) if record.seq in found] == []
    finally:
        os.close(log.fileno())
