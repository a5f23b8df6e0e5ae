"""The kernel log: what was written is read back, and what does not come back is never a success."""

import fcntl
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from offbus_agent.kernel_log.line import UnsafeLine
from offbus_agent.kernel_log.log import KernelLogError, NotShown
from offbus_agent.kernel_log.open import open_kernel_log

KMSG = Path("/dev/kmsg")
needs_kmsg = pytest.mark.skipif(
    not (KMSG.exists() and os.access(KMSG, os.R_OK | os.W_OK)),
    reason="/dev/kmsg cannot be read and written here",
)


@pytest.fixture
def kmsg(tmp_path):
    path = tmp_path / "kmsg"
    path.touch()
    return path


def test_a_record_has_the_form_that_dev_kmsg_gives(kmsg):
    record = open_kernel_log(kmsg).write("offbus=a ;NVRM: Xid (PCI:0000:3b:00): 79, x")
    assert record.seq == 0
    assert kmsg.read_text() == f"12,0,{record.at_ns // 1000},-;offbus=a ;NVRM: Xid (PCI:0000:3b:00): 79, x\n"


def test_the_level_sets_the_prefix_and_the_facility_stays_user(kmsg):
    open_kernel_log(kmsg).write("x", level=3)
    assert kmsg.read_text().startswith("11,")


def test_the_next_number_follows_the_last_record_of_the_file(kmsg):
    kmsg.write_text("6,41,5,-;" + "booted" * 100 + "\n")
    assert open_kernel_log(kmsg).write("one").seq == 42
    assert open_kernel_log(kmsg).write("two").seq == 43


def test_many_writers_never_share_a_number(kmsg):
    log = open_kernel_log(kmsg)
    with ThreadPoolExecutor(8) as pool:
        seqs = [record.seq for record in pool.map(lambda n: log.write(f"line {n}"), range(64))]
    assert sorted(seqs) == list(range(64))
    assert len(kmsg.read_text().splitlines()) == 64


class Swallowing:
    """A path whose file is exchanged for an empty one as soon as a writer has it open: its lines vanish."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lock = os.open(path, os.O_RDWR)
        fcntl.flock(self.lock, fcntl.LOCK_EX)

    def exchange(self) -> None:
        """Called while the writer waits for the lock of the old file."""
        other = self.path.with_name("other")
        other.touch()
        other.replace(self.path)
        os.close(self.lock)


def test_a_line_that_goes_to_a_file_that_was_replaced_is_not_shown(kmsg):
    world = Swallowing(kmsg)
    timer = threading.Timer(0.2, world.exchange)
    timer.start()
    with pytest.raises(NotShown, match="is not in it"):
        open_kernel_log(kmsg).write("lost")
    timer.join()


def test_a_lock_that_is_never_given_back_is_an_error_and_nothing_is_written_later(kmsg):
    held = os.open(kmsg, os.O_RDWR)
    fcntl.flock(held, fcntl.LOCK_EX)
    with pytest.raises(KernelLogError, match="waiting for another writer's lock"):
        open_kernel_log(kmsg).write("late")
    os.close(held)
    assert open_kernel_log(kmsg).write("next").seq == 0
    assert "late" not in kmsg.read_text()


@pytest.mark.parametrize(
    ("content", "why"),
    [
        pytest.param("12,1,1,-;no end", "complete record", id="torn"),
        pytest.param("hello\n", "complete record", id="no-record"),
    ],
)
def test_a_file_that_is_no_record_file_is_refused_untouched(kmsg, content, why):
    kmsg.write_text(content)
    with pytest.raises(KernelLogError, match=why):
        open_kernel_log(kmsg).write("x")
    assert kmsg.read_text() == content


def test_a_missing_log_is_never_created(tmp_path):
    with pytest.raises(KernelLogError, match=r"no kernel log at .*kmsg"):
        open_kernel_log(tmp_path / "kmsg")
    assert list(tmp_path.iterdir()) == []


def test_a_log_that_was_removed_after_it_was_opened_is_never_created(kmsg):
    log = open_kernel_log(kmsg)
    kmsg.unlink()
    with pytest.raises(KernelLogError, match="cannot open"):
        log.write("x")
    assert not kmsg.exists()


@pytest.mark.parametrize("kind", ["folder", "fifo"])
def test_what_is_no_log_is_refused(tmp_path, kind):
    path = tmp_path / "kmsg"
    path.mkdir() if kind == "folder" else os.mkfifo(path)
    with pytest.raises(KernelLogError, match="neither a character device nor a regular file"):
        open_kernel_log(path)


def test_a_fifo_in_place_of_the_opened_file_is_refused_without_hanging(kmsg):
    log = open_kernel_log(kmsg)
    kmsg.unlink()
    os.mkfifo(kmsg)
    with pytest.raises(KernelLogError, match="no longer a regular file"):
        log.write("x")


def test_a_line_with_a_line_end_is_refused_before_the_file_is_opened(kmsg):
    with pytest.raises(UnsafeLine):
        open_kernel_log(kmsg).write("one\ntwo")
    assert kmsg.read_text() == ""


@pytest.mark.parametrize(
    ("device", "error", "why"),
    [
        ("/dev/null", NotShown, "does not return it"),
        ("/dev/zero", NotShown, "does not return it"),
        ("/dev/full", KernelLogError, "No space left"),
    ],
)
def test_a_device_that_swallows_lines_is_an_error(device, error, why):
    with pytest.raises(error, match=why):
        open_kernel_log(Path(device)).write("x")


@needs_kmsg
def test_a_line_in_the_real_kernel_log_is_read_back_with_its_number():
    log = open_kernel_log(KMSG)
    first = log.write(f"offbus=test-{os.getpid()} ;one line of the offbus tests")
    second = log.write(f"offbus=test-{os.getpid()} ;another line of the offbus tests")
    assert second.seq > first.seq
    assert second.at_ns > first.at_ns


@needs_kmsg
def test_more_lines_than_one_open_file_may_write_all_reach_the_real_kernel_log():
    """The kernel drops all but 10 records per 5 s of one open file, silently."""
    log = open_kernel_log(KMSG)
    seqs = [log.write(f"offbus=test-{os.getpid()} ;burst {n}").seq for n in range(25)]
    assert seqs == sorted(set(seqs))
