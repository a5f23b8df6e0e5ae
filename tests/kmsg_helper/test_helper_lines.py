"""The helper's lines are Python's, byte for byte, and each is written once and read back."""

import itertools
import os
from pathlib import Path

import pytest

from offbus_agent.catalogue.catalogue import NO_XID, catalogue
from offbus_agent.kernel_log.helper import HelperLog
from offbus_agent.kernel_log.line import Dialect, ResetLine, UnsafeLine, XidLine
from offbus_agent.kernel_log.log import KernelLogError, NotShown
from offbus_agent.kernel_log.open import open_kernel_log
from tests.kits.agent.helper_world import helper

ADDRESSES = ("0000:3b:00", "0000:FE:1f", "0001BEEF:0a:00")
LIMITS = ("--lines-per-hour=3600", "--gpus=64")
KMSG = Path("/dev/kmsg")
LINES = (NO_XID, *catalogue())
"""All that a fault can write: of each XID, and of a GPU that is gone without one."""
ABSENT = "0bad:0b:1f"
"""The address of no node's GPU."""
UUID = "GPU-0a1B2c3D-0000-4000-8000-0123456789ab"
LINE = XidLine(xid=79, before_r575=False, gpu=0, dialect=Dialect.MARKED, fault="a1", pci="0000:3b:00")


def line(**changes: object) -> XidLine:
    """XID 79's, but for this."""
    return XidLine(**{**{name: getattr(LINE, name) for name in LINE.__slots__}, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize("dialect", list(Dialect))
def test_every_line_of_the_catalogue_is_that_of_python(tmp_path: Path, dialect: Dialect) -> None:
    wanted = []
    with helper(tmp_path, *LIMITS) as running:
        log = HelperLog(running.client)
        for number, (xid, address, before) in enumerate(itertools.product(LINES, ADDRESSES, (True, False))):
            fault = f"{number}.x_-{'y' * (number % 50)}"
            asked = line(
                xid=xid, before_r575=before, gpu=number % 17, dialect=dialect, fault=fault, pci=address
            )
            record = log.record(asked)
            assert record.text == asked.text(record.at_ns)
            assert record.seq == number
            wanted.append(f"12,{number},{record.at_ns // 1000},-;{record.text}\n")
    assert (tmp_path / "kmsg").read_text() == "".join(wanted)


def test_the_line_of_a_reset_is_that_of_python(tmp_path: Path) -> None:
    with helper(tmp_path) as running:
        record = HelperLog(running.client).record(ResetLine(UUID))
    assert record.text == ResetLine(UUID).text(0)
    assert (tmp_path / "kmsg").read_text() == f"11,0,{record.at_ns // 1000},-;{record.text}\n"


@pytest.mark.skipif(
    not os.access(KMSG, os.R_OK | os.W_OK), reason="/dev/kmsg cannot be read and written here"
)
def test_every_xid_reaches_the_real_kernel_log_and_is_read_back_with_its_number(tmp_path: Path) -> None:
    fault = f"test-{os.getpid()}"
    reader = os.open(KMSG, os.O_RDONLY | os.O_NONBLOCK)
    os.lseek(reader, 0, os.SEEK_END)
    with helper(tmp_path, f"--log={KMSG}", *LIMITS) as running:
        log = HelperLog(running.client)
        log.check()
        wanted = [log.record(line(xid=xid, fault=fault, pci=ABSENT)) for xid in LINES]
    found = []
    while len(found) < len(wanted):
        raw = os.read(reader, 8192).decode()
        if f"offbus={fault} ;" in raw:
            head, _, text = raw.split("\n")[0].partition(";")
            prefix, seq, *_ = head.split(",")
            found.append((prefix, int(seq), text))
    os.close(reader)
    assert found == [("12", record.seq, record.text) for record in wanted]


def test_helper_and_python_share_a_record_file(tmp_path: Path) -> None:
    with helper(tmp_path) as running:
        log, own = HelperLog(running.client), open_kernel_log(tmp_path / "kmsg")
        assert [log.record(LINE).seq, own.record(LINE).seq, log.record(LINE).seq] == [0, 1, 2]


@pytest.mark.parametrize(
    ("log", "error", "words"),
    [
        ("/dev/null", NotShown, "does not return it"),
        ("/dev/zero", NotShown, "does not return it"),
        ("/dev/full", KernelLogError, "No space left"),
        ("/dev/absent", KernelLogError, "cannot open its log: No such file"),
        ("/", KernelLogError, "no kernel log"),
    ],
)
def test_a_log_that_is_none_is_an_error(tmp_path: Path, log: str, error: type[Exception], words: str) -> None:
    with helper(tmp_path, f"--log={log}") as running, pytest.raises(error, match=words):
        HelperLog(running.client).record(LINE)
    assert not Path("/dev/absent").exists()


def test_a_missing_log_is_never_created(tmp_path: Path) -> None:
    with helper(tmp_path) as running:
        (tmp_path / "kmsg").unlink()
        log = HelperLog(running.client)
        for ask in (log.check, lambda: log.record(LINE)):
            with pytest.raises(KernelLogError, match="No such file"):
                ask()
    assert not (tmp_path / "kmsg").exists()


@pytest.mark.parametrize("content", ["12,1,1,-;no end", "hello\n", "12,1\n", "12,1,2;x\n"])
def test_a_file_that_is_no_record_file_is_refused_untouched(tmp_path: Path, content: str) -> None:
    with helper(tmp_path) as running:
        (tmp_path / "kmsg").write_text(content)
        with pytest.raises(KernelLogError, match="no kernel log"):
            HelperLog(running.client).record(LINE)
    assert (tmp_path / "kmsg").read_text() == content


def test_what_python_refuses_is_refused_before_the_helper_is_asked(tmp_path: Path) -> None:
    with helper(tmp_path) as running, pytest.raises(UnsafeLine):
        HelperLog(running.client).record(line(fault="a\nb"))
    assert (tmp_path / "kmsg").read_text() == ""
