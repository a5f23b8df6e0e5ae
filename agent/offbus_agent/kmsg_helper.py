"""The kernel-log helper, as its client sees it: the only privileged program of offbus on a node, asked over a socket.

Job: one question, one packet, one answer, on a connection of its own (shim/include/offbus_kmsg.h; tests/kmsg_helper
compares both sides). It knows what can be asked, not what for: `kernel_log`, `faults` and `page` do. A helper that
cannot be reached is `HelperUnreachable`; one that refuses or fails is an answer with a status.
"""

import ctypes
import os
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from offbus_agent.inotify import CREATE, MOVED_TO, Inotify

__all__ = [
    "ANSWERED_WITHIN_S",
    "MAGIC",
    "VERSION",
    "Answer",
    "AskMetadata",
    "AskPod",
    "AskProcess",
    "AskReset",
    "AskXid",
    "Head",
    "HelperRefused",
    "HelperSilent",
    "HelperUnreachable",
    "Kind",
    "KmsgHelper",
    "Question",
    "Reply",
    "Status",
    "packet",
]

MAGIC, VERSION = 0x534D4B4F, 1
"""Of every packet."""
ANSWERED_WITHIN_S = 15.0
"""The helper answers one after the other: it looks for a line for 3 s at most, and reads mappings of 8 MiB."""

LISTENS_WITHIN_S = 30.0
"""How long its socket is waited for at the agent's start: both are started at the same time."""


class Kind(IntEnum):
    """What is asked (offbus_kmsg.h says of each what it answers)."""

    STATUS = 1
    XID = 2
    RESET = 3
    NAMESPACE = 4
    MAPS_PAGE = 5
    PRELOAD = 6
    EXECUTABLE = 7
    READS_METADATA = 8
    GIVE_POD = 9
    REMOVE_POD = 10


class Status(IntEnum):
    """What came of it."""

    DONE = 0
    STRANGER = 1
    MALFORMED = 2
    UNSAFE = 3
    UNKNOWN_XID = 4
    STOPPED = 5
    TOO_MANY_LINES = 6
    TOO_MANY_GPUS = 7
    NOT_OPENED = 8
    NO_LOG = 9
    NOT_WRITTEN = 10
    LOCKED = 11
    NOT_RETURNED = 12
    LOST = 13
    NOT_SEEN = 14
    NOT_FOUND = 15
    TOO_LONG = 16
    BUSY = 17
    OTHERS = 18
    FAILED = 19


_STATUSES = frozenset(Status)


class Head(ctypes.LittleEndianStructure):
    """How every question begins."""

    _fields_ = (("magic", ctypes.c_uint32), ("version", ctypes.c_uint16), ("kind", ctypes.c_uint16))


class AskXid(ctypes.LittleEndianStructure):
    """The line of an XID."""

    _fields_ = (
        ("head", Head),
        ("xid", ctypes.c_uint32),
        ("gpu", ctypes.c_uint32),
        ("dialect", ctypes.c_uint8),
        ("before_r575", ctypes.c_uint8),
        ("zero", ctypes.c_uint8 * 2),
        ("fault", ctypes.c_char * 64),
        ("pci", ctypes.c_char * 20),
    )


class AskReset(ctypes.LittleEndianStructure):
    """The line of a GPU's reset."""

    _fields_ = (("head", Head), ("gpu", ctypes.c_char * 48))


class AskProcess(ctypes.LittleEndianStructure):
    """About one process."""

    _fields_ = (("head", Head), ("pid", ctypes.c_uint32), ("most", ctypes.c_uint32))


class AskMetadata(ctypes.LittleEndianStructure):
    """Whether a process finds the node's metadata file under a name."""

    _fields_ = (
        ("head", Head),
        ("pid", ctypes.c_uint32),
        ("zero", ctypes.c_uint32),
        ("path", ctypes.c_char * 4096),
    )


class AskPod(ctypes.LittleEndianStructure):
    """About the events folder of a pod."""

    _fields_ = (
        ("head", Head),
        ("uid", ctypes.c_char * 40),
        ("most", ctypes.c_uint32),
        ("zero", ctypes.c_uint32),
    )


Question = AskXid | AskReset | AskProcess | AskMetadata | AskPod


def packet(kind: Kind, about: Question | None) -> bytes:
    """A question as it is sent; that of the status is about nothing."""
    head = Head(MAGIC, VERSION, kind)
    if about is None:
        return bytes(head)
    about.head = head
    return bytes(about)


class Answer(ctypes.LittleEndianStructure):
    """An answer's packet; `text` is as long as `length` says."""

    _fields_ = (
        ("magic", ctypes.c_uint32),
        ("version", ctypes.c_uint16),
        ("status", ctypes.c_uint16),
        ("error", ctypes.c_int32),
        ("length", ctypes.c_uint32),
        ("number", ctypes.c_uint64),
        ("seq", ctypes.c_uint64),
        ("at_ns", ctypes.c_uint64),
        ("text", ctypes.c_char * 4096),
    )


_TEXT_AT = Answer.text.offset
_CREDENTIALS = struct.Struct("=iII")
"""Of SO_PEERCRED (unix(7)): process, user, group."""


class HelperUnreachable(Exception):
    """Raised when the helper cannot be asked, or answers as no helper of this version does."""


class HelperSilent(HelperUnreachable):
    """Raised when it was asked, and does not answer: not in time, or it hung up."""


class HelperRefused(HelperUnreachable):
    """Raised when it does not serve us, or does not know the question."""

    def __init__(self, status: Status) -> None:
        super().__init__(f"the kernel-log helper refuses the question: {status.name.lower()}")


@dataclass(frozen=True, slots=True)
class Reply:
    """What the helper answered; which of `number`, `seq`, `at_ns` and `text` count depends on the question."""

    status: Status
    error: int
    number: int
    seq: int
    at_ns: int
    text: bytes

    @property
    def why(self) -> str:
        """The reason of a failed system call; "" for none."""
        return os.strerror(self.error) if self.error else ""


class KmsgHelper:
    """The helper behind a socket."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def ask(self, kind: Kind, about: Question | None = None, *, within_s: float = ANSWERED_WITHIN_S) -> Reply:
        """Ask, and wait for the answer; blocking. Raises HelperUnreachable."""
        with self._connected(within_s) as asked:
            asked.sendall(packet(kind, about))
            raw = asked.recv(ctypes.sizeof(Answer))
        if not raw:
            raise HelperSilent(f"the kernel-log helper at {self.path} hung up without an answer")
        return self._reply(raw)

    def user(self) -> int:
        """The user that it runs as, by the kernel (SO_PEERCRED). Raises HelperUnreachable."""
        with self._connected(ANSWERED_WITHIN_S) as asked:
            raw = asked.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        return int(_CREDENTIALS.unpack(raw)[1])

    def await_listening(self, within_s: float = LISTENS_WITHIN_S) -> None:
        """Wait until the helper listens; blocking. A dead one's socket does not count. Raises HelperUnreachable."""
        try:
            bell = Inotify()
            try:
                bell.watch(self.path.parent, CREATE | MOVED_TO)
                self._await(bell, time.monotonic() + within_s)
            finally:
                bell.close()
        except TimeoutError:
            raise HelperUnreachable(
                f"no kernel-log helper listens at {self.path} within {within_s:g} s"
            ) from None
        except OSError as err:
            raise HelperUnreachable(f"cannot wait for {self.path}: {err.strerror}") from err

    def _await(self, bell: Inotify, until: float) -> None:
        """Raises TimeoutError."""
        while not self._listens(max(0.01, until - time.monotonic())):
            if not bell.wait(until - time.monotonic()):
                raise TimeoutError

    def _listens(self, within_s: float) -> bool:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as probe:
            probe.settimeout(within_s)
            try:
                probe.connect(str(self.path))
            except (FileNotFoundError, ConnectionRefusedError):
                return False
        return True

    @contextmanager
    def _connected(self, within_s: float) -> Iterator[socket.socket]:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as asked:
                asked.settimeout(within_s)
                asked.connect(str(self.path))
                yield asked
        except TimeoutError as err:
            raise HelperSilent(
                f"the kernel-log helper at {self.path} does not answer within {within_s:g} s"
            ) from err
        except OSError as err:
            raise HelperUnreachable(
                f"the kernel-log helper at {self.path} cannot be asked: {err.strerror or err}"
            ) from err

    def _reply(self, raw: bytes) -> Reply:
        answer = Answer.from_buffer_copy(raw.ljust(ctypes.sizeof(Answer), b"\0"))
        known = answer.magic == MAGIC and answer.version == VERSION and answer.status in _STATUSES
        if not known or answer.length != len(raw) - _TEXT_AT - 1:
            raise HelperUnreachable(
                f"what listens at {self.path} is no kernel-log helper of version {VERSION}"
            )
        text = raw[_TEXT_AT : _TEXT_AT + answer.length]
        return Reply(Status(answer.status), answer.error, answer.number, answer.seq, answer.at_ns, text)
