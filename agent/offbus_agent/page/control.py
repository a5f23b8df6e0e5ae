"""The control page: the agent's faults for every process under the shim (`ctl`, shim/include/offbus_page.h).

Job: write faults into the page so that a reader sees all of a change or nothing of it, and read them back. The file is
created once and then written over, never replaced; it outlives agents and is taken over by the next one. A page of
another boot, or one whose writer died in the middle of a change, is disarmed when it is opened. Only one agent writes
at a time: the caller ensures that. Every problem is a `PageError`. It knows no XIDs and no leases.

The other file, which processes write, is `events`; its names are also importable from here.
"""

import mmap
import os
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from offbus_agent.page.abi import ABI_MAJOR, ABI_MINOR, CTL_MAGIC, SLOTS, CallClass, Ctl, FaultMode, SlotFlag
from offbus_agent.page.events import EventsPage, FaultedCall, ProcessRow
from offbus_agent.page.files import PageError, open_or_create, read_boot_id
from offbus_agent.page.slot import Slot

__all__ = [
    "CallClass",
    "ControlPage",
    "EventsPage",
    "FaultMode",
    "FaultedCall",
    "PageError",
    "PageState",
    "ProcessRow",
    "Slot",
]

_SIZE = 4096
_DEFAULT_TTL_NS = 5_000_000_000


@dataclass(frozen=True, slots=True)
class PageState:
    """The page's content, read back."""

    armed: int
    """0, or the newest generation: the word that processes check."""
    generation: int
    """The last one used."""
    heartbeat_ns: int
    heartbeat_ttl_ns: int
    slots: tuple[Slot, ...]
    """The slots in use, expired ones too."""


class ControlPage:
    """The page of one node, open for writing."""

    def __init__(self, path: Path, memory: mmap.mmap) -> None:
        self.path = path
        self._page = Ctl.from_buffer(memory)
        self._lock = threading.Lock()

    @classmethod
    def create(cls, path: Path, *, heartbeat_ttl_ns: int = _DEFAULT_TTL_NS) -> Self:
        """Open the page, or create it. Raises PageError for a file that is not a page of this version."""
        fd, _ = open_or_create(path, bytes(_empty()), 0o644, wait=True)
        try:
            if os.fstat(fd).st_size != _SIZE:
                raise PageError(
                    f"{path}: {os.fstat(fd).st_size} bytes, expected {_SIZE}: not a page; move it away"
                )
            page = cls(path, mmap.mmap(fd, _SIZE))
        finally:
            os.close(fd)
        page._take_over(heartbeat_ttl_ns)
        return page

    def arm(self, slots: Sequence[Slot]) -> int:
        """Arm faults together, as one new generation, which is returned.

        Slots of the same fault ids are replaced. `generation`, and `armed_at_ns` where it is 0, are set here.
        No call that begins after this returns sees the earlier state. Raises PageError when the page is full, or
        for an empty list.
        """
        if not slots:
            raise PageError(f"{self.path}: nothing to arm")
        ids = {slot.fault_id for slot in slots}
        now = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        with self._lock:
            remaining = [slot for slot in self._slots() if slot.fault_id not in ids]
            # never 0, never one that was used before: the counter is in the file
            generation = int(self._page.generation) % 0xFFFF_FFFF + 1
            new = [replace(s, generation=generation, armed_at_ns=s.armed_at_ns or now) for s in slots]
            self._put([*remaining, *new], generation)
        return generation

    def disarm(self, fault_id: str) -> int:
        """Remove a fault from the page; returns how many slots it had."""
        with self._lock:
            before = self._slots()
            remaining = [slot for slot in before if slot.fault_id != fault_id]
            if len(remaining) < len(before):
                self._put(remaining, self._newest(remaining))
        return len(before) - len(remaining)

    def renew(self, fault_id: str, expires_ns: int) -> int:
        """Change a fault's expiry; stickiness and counters continue. Returns how many slots it has."""
        with self._lock:
            before = self._slots()
            renewed = [replace(s, expires_ns=expires_ns) if s.fault_id == fault_id else s for s in before]
            self._put(renewed, self._newest(renewed))
        return sum(slot.fault_id == fault_id for slot in before)

    def heartbeat(self, now_ns: int) -> None:
        """Record that the agent lives at this CLOCK_BOOTTIME; without it the page counts as disarmed after its ttl."""
        self._page.heartbeat_ns = now_ns

    def read(self) -> PageState:
        """The page in memory, as processes see it."""
        page = self._page
        with self._lock:
            return PageState(
                armed=page.armed,
                generation=page.generation,
                heartbeat_ns=page.heartbeat_ns,
                heartbeat_ttl_ns=page.heartbeat_ttl_ns,
                slots=tuple(self._slots()),
            )

    def close(self) -> None:
        """Release the file. What is armed stays armed until it expires or the heartbeat is stale.

        The mapping ends with the last view of it, which ctypes may hold a little longer: closing it now would raise.
        """
        del self._page

    def _take_over(self, heartbeat_ttl_ns: int) -> None:
        page = self._page
        if (page.magic, page.abi_major, page.size) != (CTL_MAGIC, ABI_MAJOR, _SIZE):
            found = f"magic {page.magic:#x}, version {page.abi_major}"
            self.close()
            raise PageError(f"{self.path}: not a control page of version {ABI_MAJOR} ({found}); move it away")
        boot = _boot_id_hash()
        if page.boot_id_hash != boot or page.seq % 2:
            self._put([], 0)
            page.boot_id_hash = boot
        page.abi_minor = ABI_MINOR
        page.heartbeat_ttl_ns = heartbeat_ttl_ns

    @staticmethod
    def _newest(slots: Iterable[Slot]) -> int:
        return max((slot.generation for slot in slots), default=0)

    def _slots(self) -> list[Slot]:
        layouts = (self._page.slots[i] for i in range(SLOTS))
        return [Slot.unpack(layout) for layout in layouts if layout.flags & SlotFlag.ENABLED]

    def _put(self, slots: Sequence[Slot], armed: int) -> None:
        """Write all slots under the sequence lock, then the word that processes check.

        A slot keeps its index while it is armed: processes count by it. Disarming stores the word first, so
        that it takes effect at once even if this process dies here.
        """
        arranged = self._arranged(slots)
        page = self._page
        if not armed:
            page.armed = 0
        self._change(lambda: self._write(arranged))
        page.generation = max(page.generation, armed)
        _barrier()
        page.armed = armed
        _barrier()

    def _change(self, write: Callable[[], None]) -> None:
        page = self._page
        page.seq = (page.seq | 1) & 0xFFFF_FFFF
        _barrier()
        write()
        _barrier()
        page.seq = (page.seq + 1) & 0xFFFF_FFFF

    def _arranged(self, slots: Sequence[Slot]) -> dict[int, Slot]:
        if len(slots) > SLOTS:
            raise PageError(
                f"{self.path}: {len(slots)} faulted GPUs, the page has room for {SLOTS}; disarm a fault first"
            )
        layouts = self._page.slots
        enabled = [i for i in range(SLOTS) if layouts[i].flags & SlotFlag.ENABLED]
        at = {self._key(Slot.unpack(layouts[i])): i for i in enabled}
        arranged = {at[self._key(slot)]: slot for slot in slots if self._key(slot) in at}
        free = iter([i for i in range(SLOTS) if i not in arranged])
        return arranged | {next(free): slot for slot in slots if self._key(slot) not in at}

    @staticmethod
    def _key(slot: Slot) -> tuple[str, str, int]:
        return slot.fault_id, slot.gpu, slot.generation

    def _write(self, arranged: dict[int, Slot]) -> None:
        for index in range(SLOTS):
            if index in arranged:
                arranged[index].pack(self._page.slots[index])
            else:
                self._page.slots[index].flags = 0


_fence = threading.Lock()


def _barrier() -> None:
    """A store barrier: other processes see the stores before it before those after it.

    Two rounds of one lock: stores before the first release are visible before those after the second acquire.
    On x86 stores are ordered anyway; on aarch64 they are not.
    """
    with _fence:
        pass
    with _fence:
        pass


def _empty() -> Ctl:
    return Ctl(
        magic=CTL_MAGIC,
        abi_major=ABI_MAJOR,
        abi_minor=ABI_MINOR,
        size=_SIZE,
        nslots=SLOTS,
        boot_id_hash=_boot_id_hash(),
    )


def _boot_id_hash() -> int:
    """FNV-1a 64 of the boot id, as the shim computes it."""
    value = 14695981039346656037
    for byte in read_boot_id().encode():
        value = (value ^ byte) * 1099511628211 % 2**64
    return value
