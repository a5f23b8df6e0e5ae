"""Whatever listens where the helper should: what no helper of this version answers is an error that says so."""

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from offbus_agent.kernel_log.helper import HelperLog
from offbus_agent.kernel_log.line import ResetLine
from offbus_agent.kernel_log.log import KernelLogError
from offbus_agent.kmsg_helper import MAGIC, VERSION, Answer, HelperUnreachable, Kind, KmsgHelper, Status

WATCHDOG_S = 60
NO_HELPER = f"is no kernel-log helper of version {VERSION}"


def answer(status: int, text: bytes = b"", *, version: int = VERSION, length: int | None = None) -> bytes:
    """A helper's packet."""
    told = len(text) if length is None else length
    head = Answer(magic=MAGIC, version=version, status=status, length=told)
    return bytes(head)[: Answer.text.offset] + text + b"\0"


@pytest.fixture
def answers_with(tmp_path: Path) -> Iterator[Callable[[bytes], KmsgHelper]]:
    """A program that listens there and answers each question with the same bytes."""
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listening.bind(str(tmp_path / "socket"))
    listening.listen()
    serving: list[threading.Thread] = []

    def serve(packet: bytes) -> None:
        while True:
            asked, _ = listening.accept()
            with asked:
                if not asked.recv(1 << 16):  # the end of the test
                    return
                asked.sendall(packet)

    def start(packet: bytes) -> KmsgHelper:
        serving.append(threading.Thread(target=serve, args=(packet,)))
        serving[-1].start()
        return KmsgHelper(tmp_path / "socket")

    yield start
    for one in serving:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as last:
            last.connect(str(tmp_path / "socket"))
        one.join(WATCHDOG_S)
        assert not one.is_alive()
    listening.close()


@pytest.mark.parametrize(
    "packet",
    [
        answer(max(Status) + 1),
        answer(0xFFFF),
        answer(Status.DONE, version=VERSION + 1),
        answer(Status.DONE, length=9),
        b"\0",
    ],
    ids=["a later status", "the last status", "another version", "another length", "a byte"],
)
def test_what_no_helper_of_this_version_answers_is_told(
    answers_with: Callable[[bytes], KmsgHelper], packet: bytes
) -> None:
    helper = answers_with(packet)
    with pytest.raises(HelperUnreachable, match=NO_HELPER):
        helper.ask(Kind.STATUS)
    with pytest.raises(KernelLogError, match=NO_HELPER):
        HelperLog.open(helper)


@pytest.mark.parametrize("status", [Status.DONE, Status.LOST], ids=["written", "lost"])
def test_a_line_that_comes_back_as_no_text_is_told(
    answers_with: Callable[[bytes], KmsgHelper], status: Status
) -> None:
    log = HelperLog(answers_with(answer(status, b"NVRM: \xff")))
    with pytest.raises(KernelLogError, match="answered with a line that is not ASCII"):
        log.record(ResetLine(gpu="GPU-11111111-2222-3333-4444-555555555555"))
