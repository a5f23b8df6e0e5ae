"""The helper does what is asked by the user that it serves, within its budget, and nothing else."""

import itertools
import os
import select
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from offbus_agent.catalogue.catalogue import catalogue
from offbus_agent.kernel_log.helper import HelperLog
from offbus_agent.kernel_log.line import Dialect, ResetLine, XidLine
from offbus_agent.kernel_log.log import KernelLogError
from offbus_agent.kmsg_helper import (
    Answer,
    AskMetadata,
    AskPod,
    AskProcess,
    AskReset,
    AskXid,
    Kind,
    Status,
    packet,
)
from offbus_agent.page.native_library import HELPER, library
from tests.kits.agent.helper_world import WATCHDOG_S, helper
from tests.kits.agent.unprivileged import HELPER_CAPABILITIES

LINE = XidLine(xid=79, before_r575=False, gpu=0, dialect=Dialect.MARKED, fault="a1", pci="0000:3b:00")
GOOD = {"xid": 79, "fault": b"a1", "pci": b"0000:3b:00"}
POD = b"0a1b2c3d-0000-4000-8000-000000000001"
SERVED = 64_083
"""A user that is not this one."""
needs_root = pytest.mark.skipif(os.getuid() != 0, reason="another user can be served by root alone")


def on_gpu(number: int) -> XidLine:
    """The line on one of many GPUs."""
    return XidLine(
        xid=79, before_r575=False, gpu=0, dialect=Dialect.MARKED, fault="a1", pci=f"0000:{number:02x}:00"
    )


def status_of(answer: bytes) -> Status:
    """What an answer says."""
    return Status(Answer.from_buffer_copy(answer.ljust(4200, b"\0")).status)


@needs_root
@pytest.mark.guarantee("G33")
def test_another_peer_is_refused_whoever_it_is(open_folder: Path) -> None:
    with helper(open_folder, uid=SERVED) as running:
        assert running.client.ask(Kind.STATUS).status is Status.STRANGER
        found = running.socket.stat()
        assert (stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid) == (0o600, SERVED, SERVED)


ASK_AS = """
import os, socket, sys
path, packet, uid = sys.argv[1], bytes.fromhex(sys.argv[2]), int(sys.argv[3])
os.setgid(uid), os.setuid(uid)
with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as asked:
    asked.connect(path)
    asked.sendall(packet)
    print(asked.recv(9000)[6])
"""
"""Another user's question; it prints the status."""


@needs_root
@pytest.mark.guarantee("G33")
@pytest.mark.parametrize(("uid", "words"), [(SERVED, "DONE"), (SERVED + 1, "Permission denied")])
def test_only_the_served_user_reaches_the_socket(open_folder: Path, uid: int, words: str) -> None:
    with helper(open_folder, uid=SERVED) as running:
        what = packet(Kind.STATUS, None).hex()
        asked = [sys.executable, "-I", "-S", "-c", ASK_AS, str(running.socket), what, str(uid)]
        done = subprocess.run(asked, capture_output=True, text=True, timeout=WATCHDOG_S)
        assert words in (Status(int(done.stdout)).name if done.stdout else done.stderr)


MALFORMED = {
    "nothing but a head's beginning": packet(Kind.STATUS, None)[:7],
    "one byte": b"\0",
    "another magic": b"GET " + packet(Kind.STATUS, None)[4:],
    "another version": packet(Kind.STATUS, None)[:4] + b"\2\0\1\0",
    "no kind": packet(Kind.STATUS, None)[:6] + b"\0\0",
    "a kind too many": packet(Kind.STATUS, None)[:6] + b"\x0b\0",
    "too short": packet(Kind.XID, AskXid(**GOOD))[:-1],
    "too long": packet(Kind.XID, AskXid(**GOOD)) + b"\0",
    "longer than any": bytes(9000),
    "an unused byte": packet(Kind.XID, AskXid(**GOOD, zero=(0, 1))),
    "a flag that is none": packet(Kind.XID, AskXid(**GOOD, before_r575=2)),
    "a fault without an end": packet(Kind.XID, AskXid(**{**GOOD, "fault": b"a" * 64})),
    "a fault with something behind its end": packet(Kind.XID, AskXid(**GOOD)).replace(b"a1\0\0", b"a1\0b"),
    "no fault": packet(Kind.XID, AskXid(**{**GOOD, "fault": b""})),
    "no address": packet(Kind.XID, AskXid(**{**GOOD, "pci": b""})),
    "no uuid": packet(Kind.RESET, AskReset()),
    "no pid": packet(Kind.NAMESPACE, AskProcess()),
    "no limit": packet(Kind.MAPS_PAGE, AskProcess(pid=1)),
    "a limit that is none": packet(Kind.PRELOAD, AskProcess(pid=1, most=1)),
    "no pod": packet(Kind.GIVE_POD, AskPod()),
    "a path that is none": packet(Kind.READS_METADATA, AskMetadata(pid=1, path=b"relative")),
    "a pod with a limit": packet(Kind.GIVE_POD, AskPod(uid=POD, most=1)),
    "a removal without one": packet(Kind.REMOVE_POD, AskPod(uid=POD)),
}
UNSAFE = {
    "a line end in the fault": AskXid(**{**GOOD, "fault": b"a\nb"}),
    "a space in the fault": AskXid(**{**GOOD, "fault": b"a b"}),
    "a backslash in the fault": AskXid(**{**GOOD, "fault": b"a\\x0a"}),
    "a fault that begins with a dot": AskXid(**{**GOOD, "fault": b".a"}),
    "a line end in the address": AskXid(**{**GOOD, "pci": b"0000:3b:00\n"}),
    "a function digit": AskXid(**{**GOOD, "pci": b"0000:3b:00.0"}),
    "a short address": AskXid(**{**GOOD, "pci": b"3b:00"}),
    "a dialect that is none": AskXid(**GOOD, dialect=5),
}


@pytest.mark.parametrize("bad", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_packet_is_refused_and_the_next_one_is_served(tmp_path: Path, bad: bytes) -> None:
    with helper(tmp_path) as running:
        assert status_of(running.send(bad)) is Status.MALFORMED
        assert running.client.ask(Kind.STATUS).status is Status.DONE
    assert (tmp_path / "kmsg").read_text() == ""


@pytest.mark.guarantee("G33")
def test_a_line_that_would_not_be_one_of_the_catalogue_is_refused(tmp_path: Path) -> None:
    with helper(tmp_path) as running:
        for why, asked in UNSAFE.items():
            assert running.client.ask(Kind.XID, asked).status is Status.UNSAFE, why
        for uuid in (b"GPU-1", b"GPU-11111111-2222-3333-4444-55555555555\n", b"MIG-" + POD, POD):
            assert running.client.ask(Kind.RESET, AskReset(gpu=uuid)).status is Status.UNSAFE
        for pod in (b"..", b"a/b", POD + b"/", b"/" + POD, POD[:-1]):
            assert running.client.ask(Kind.GIVE_POD, AskPod(uid=pod)).status is Status.UNSAFE
        for xid in {790, 2**32 - 1} - set(catalogue()):
            assert running.client.ask(Kind.XID, AskXid(**{**GOOD, "xid": xid})).status is Status.UNKNOWN_XID
    assert (tmp_path / "kmsg").read_text() == ""


@pytest.mark.guarantee("G33")
def test_lines_an_hour_are_counted(tmp_path: Path) -> None:
    with helper(tmp_path, "--lines-per-hour=3") as running:
        log = HelperLog(running.client)
        assert running.client.ask(Kind.STATUS).seq == 3
        for line in (LINE, ResetLine("GPU-" + POD.decode()), LINE):
            log.record(line)
        for ask in (log.check, lambda: log.record(LINE)):
            with pytest.raises(KernelLogError, match="budget of kernel lines is used up") as told:
                ask()
            assert 3500 < int(told.value.hint.split()[4]) <= 3600
    assert len((tmp_path / "kmsg").read_text().splitlines()) == 3


def test_a_line_that_fails_counts_and_one_that_is_refused_does_not(tmp_path: Path) -> None:
    with helper(tmp_path, "--lines-per-hour=2") as running:
        (tmp_path / "kmsg").write_text("no record\n")
        for _ in range(3):
            running.client.ask(Kind.XID, UNSAFE["a space in the fault"])
        running.client.ask(Kind.XID, AskXid(**GOOD))
        assert running.client.ask(Kind.STATUS).seq == 1


def test_distinct_gpus_are_counted(tmp_path: Path) -> None:
    with helper(tmp_path, "--gpus=2") as running:
        log = HelperLog(running.client)
        for number in (1, 2, 1, 2):
            log.record(on_gpu(number))
        with pytest.raises(KernelLogError, match="budget of faulted GPUs is used up"):
            log.record(on_gpu(3))
        log.record(on_gpu(1))
        log.record(ResetLine("GPU-" + POD.decode()))
    assert len((tmp_path / "kmsg").read_text().splitlines()) == 6


def test_a_stop_file_stops_every_line_while_it_is_there(tmp_path: Path) -> None:
    stops = tmp_path / "a", tmp_path / "b/stop"
    with helper(tmp_path, *(f"--stop-file={file}" for file in stops)) as running:
        log = HelperLog(running.client)
        log.record(LINE)
        for file in stops:
            file.parent.mkdir(exist_ok=True)
            file.touch()
            for ask in (
                log.check,
                lambda: log.record(LINE),
                lambda: log.record(ResetLine("GPU-" + POD.decode())),
            ):
                with pytest.raises(KernelLogError, match=f"are stopped on this node: {file} is there"):
                    ask()
            file.unlink()
            log.record(LINE)
    assert len((tmp_path / "kmsg").read_text().splitlines()) == 3


def test_who_says_nothing_keeps_nobody_waiting_for_long(tmp_path: Path) -> None:
    with helper(tmp_path) as running:
        silent = [socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(3)]
        for one in silent:
            one.connect(str(running.socket))
        assert running.client.ask(Kind.STATUS).status is Status.DONE
        for one in silent:
            readable, _, _ = select.select([one], [], [], WATCHDOG_S)
            assert readable
            assert one.recv(1) == b""
            one.close()


def test_it_has_no_more_rights_and_memory_than_it_needs(tmp_path: Path) -> None:
    with helper(tmp_path, "--lines-per-hour=3600", "--gpus=64") as running:
        log = HelperLog(running.client)
        for number in range(3600):
            log.record(on_gpu(number % 64))
        for pid in itertools.islice((int(one.name) for one in Path("/proc").glob("[1-9]*")), 200):
            running.client.ask(Kind.MAPS_PAGE, AskProcess(pid=pid, most=8 << 20))
            running.client.ask(Kind.PRELOAD, AskProcess(pid=pid))
        status = running.status()
        assert int(status["VmHWM"].split()[0]) <= 2048
        assert status["Threads"] == "1"
        for kind in ("CapEff", "CapPrm", "CapInh", "CapAmb"):
            assert int(status[kind], 16) & ~HELPER_CAPABILITIES == 0
        assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
        assert (
            len(list(Path(f"/proc/{running.process.pid}/fd").iterdir())) <= 5
        )  # standard ones, the socket, the signals


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_on_a_signal_and_leaves_no_socket(tmp_path: Path, number: int) -> None:
    with helper(tmp_path) as running:
        assert running.stop(number) == 0
        assert list(running.socket.parent.iterdir()) == []


def test_a_killed_one_is_replaced_and_a_living_one_is_not(tmp_path: Path) -> None:
    with helper(tmp_path) as running:
        running.stop(signal.SIGKILL)
        assert running.socket.is_socket()
        with helper(tmp_path) as second:
            assert second.client.ask(Kind.STATUS).status is Status.DONE
            status, told = refused(tmp_path, f"--socket={second.socket}")
            assert (status, "another program listens on" in told) == (3, True)
            assert second.client.ask(Kind.STATUS).status is Status.DONE


def refused(root: Path, *options: str) -> tuple[int, str]:
    """Exit status and complaint of a helper that does not start."""
    usual = [f"--socket={root / 'socket'}", "--uid=0", "--gid=0", f"--root={root}", f"--log={root / 'kmsg'}"]
    done = subprocess.run(
        [library(HELPER), *usual, *options], capture_output=True, text=True, timeout=WATCHDOG_S
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("--uid=-1", "not a number in its bounds: --uid=-1"),
        ("--uid=0x0", "not a number in its bounds"),
        ("--uid=4294967295", "not a number in its bounds"),
        ("--lines-per-hour=0", "not a number in its bounds"),
        ("--lines-per-hour=3601", "not a number in its bounds"),
        ("--gpus=65", "not a number in its bounds"),
        ("--gpus", "unknown option"),
        ("--socket=/" + "s" * 110, "path is too long"),
    ],
)
def test_an_option_that_cannot_work(tmp_path: Path, option: str, words: str) -> None:
    status, told = refused(tmp_path, option)
    assert (status, words in told) == (2, True)


def test_a_file_in_place_of_the_socket_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "socket").write_text("precious")
    status, told = refused(tmp_path)
    assert (status, "exists and is not a socket" in told) == (3, True)
    assert (tmp_path / "socket").read_text() == "precious"
