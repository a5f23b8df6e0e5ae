"""The node's folders for processes: `run/offbus/{page/ctl,lib/liboffbus.so,events/<pod uid>/events}` below its root.

Job: create them, install the shim there, and arm, renew and disarm with everything read back. Pods have each folder
mounted alone, `page` and `lib` read-only. A page that is no longer the file under its name counts as failed: processes
that start now would map the other one. A library that is no longer ours is restored, and the arming refused. On a
platform without the shim the folders exist, and every use fails with the reason.
"""

import logging
import os
import tempfile
from collections.abc import Collection, Mapping
from dataclasses import asdict
from pathlib import Path

from offbus_agent.catalogue.plane import Plane
from offbus_agent.catalogue.xid_effects import Mode
from offbus_agent.lease_time import boottime_ns
from offbus_agent.models import FaultRequest
from offbus_agent.page.control import (
    CallClass,
    ControlPage,
    FaultMode,
    PageError,
    Slot,
)
from offbus_agent.page.events_folder import EventsFolder, PodRows
from offbus_agent.page.native_library import SHIM, NativeMissingError, library
from offbus_agent.page.pod_folders import PodFolders
from offbus_agent.planes.resolve import Plan

__all__ = ["HEARTBEAT_TTL_S", "NodePage", "NodePageError", "PageFailedError", "PageNotShownError"]

HEARTBEAT_TTL_S = 5.0
"""How long processes obey the page after the agent's last heartbeat."""

_MODES = {
    Mode.ERROR: FaultMode.ERROR,
    Mode.HANG: FaultMode.HANG,
    Mode.DELAY: FaultMode.DELAY,
    Mode.LOST: FaultMode.LOST,
}
_ALL_CLASSES = ~CallClass(0)
_log = logging.getLogger(__name__)


class NodePageError(Exception):
    """Raised when the page folder cannot be created."""


class PageFailedError(Exception):
    """Raised when the page cannot be written."""


class PageNotShownError(PageFailedError):
    """Raised when what was written to the page does not show: when read back, or to the processes."""


class NodePage:
    """The page of a node, with its pods' events files.

    `no_shim` says why faults cannot reach processes, "" if they can.
    """

    def __init__(self, control: ControlPage, events: EventsFolder, shim: Path, no_shim: str) -> None:
        self.path = control.path
        self.events = events
        self._control = control
        self._shim = shim
        self._no_shim = no_shim
        self._identity = _identity(control.path)
        self._verified = _identity(shim, content=True)
        """The library's file when its content was last compared."""

    @classmethod
    def prepare(cls, root: Path, folders: PodFolders | None = None) -> "NodePage":
        """Create or take over the folders below a node's root. Raises NodePageError.

        `folders`: who gives and removes those of pods (`EventsFolder`).

        A page that is damaged is replaced: what it armed is lost, and processes that have it mapped see no heartbeat.
        """
        folder = root / "run/offbus"
        try:
            _remove_old_files(folder)
            for name in ("page", "lib"):
                (folder / name).mkdir(mode=0o755, parents=True, exist_ok=True)
            events = EventsFolder(folder / "events", folders)
            events.make()
            shim = folder / "lib" / SHIM
            no_shim = _install_shim(shim)
            control = _control_page(folder / "page" / "ctl")
            return cls(control, events, shim, no_shim)
        except (OSError, PageError) as err:
            raise NodePageError(f"cannot create the page folder {folder}: {err}") from err

    def check(self) -> None:
        """Raises PageFailedError when the page cannot be used now, PageNotShownError when nobody would see it."""
        if self._no_shim:
            raise PageFailedError(self._no_shim)
        if _identity(self.path) != self._identity:
            raise PageNotShownError(
                f"{self.path} was removed or replaced: processes that start now would not see our page"
            )
        self._verify_shim()

    def _verify_shim(self) -> None:
        """Compare the installed library with ours when its file has changed; restore it, and refuse once."""
        seen = _identity(self._shim, content=True)
        if seen == self._verified:
            return
        changed = _content(self._shim) != library(SHIM).read_bytes()
        if changed:
            _install_shim(self._shim)
        self._verified = _identity(self._shim, content=True)
        if changed:
            raise PageFailedError(
                f"{self._shim} had been replaced or removed and is restored now: restart the processes that loaded it"
            )

    def arm(self, request: FaultRequest, made: Plan, armed_ns: int, ends_ns: int) -> int:
        """Arm the fault on all its GPUs at once; returns its generation, read back. Raises PageFailedError."""
        slots = [_slot(request, made, gpu.uuid, gpu.pci, armed_ns, ends_ns) for gpu in made.gpus]
        try:
            self._control.heartbeat(boottime_ns())  # with a stale heartbeat the fault would not count
            generation = self._control.arm(slots)
        except PageError as err:
            raise PageFailedError(str(err)) from err
        shown = self._control.read()
        ours = [slot for slot in shown.slots if slot.fault_id == request.id and slot.generation == generation]
        if len(ours) != len(slots) or not shown.armed:
            raise PageNotShownError(
                f"{self.path} shows {len(ours)} of {len(slots)} armed GPUs when read back"
            )
        return generation

    def disarm(self, fault: str) -> None:
        """Remove the fault from the page, read back. Raises PageFailedError."""
        self._control.disarm(fault)
        if any(slot.fault_id == fault for slot in self._control.read().slots):
            raise PageNotShownError(f"{self.path} still shows fault {fault} after it was disarmed")

    def renew(self, fault: str, ends_ns: int) -> None:
        """Change the fault's expiry on the page."""
        self._control.renew(fault, ends_ns)

    def heartbeat(self, now_ns: int) -> None:
        """Record that the agent lives."""
        self._control.heartbeat(now_ns)

    def keep_only(self, generations: Mapping[str, int]) -> set[str]:
        """Disarm what is not one of these (fault id -> generation); returns the ids that are not on the page."""
        shown = {slot.fault_id: slot.generation for slot in self._control.read().slots}
        for fault in [fault for fault, number in shown.items() if generations.get(fault) != number]:
            self.disarm(fault)
        return {fault for fault, number in generations.items() if shown.get(fault) != number}

    def rows(self) -> list[PodRows]:
        """The processes' rows, by pod; unverified."""
        return self.events.read()

    def forget(self, generations: Collection[int]) -> None:
        """Free the rows of armings whose evidence was handed over."""
        self.events.forget(generations)


def _slot(request: FaultRequest, made: Plan, gpu: str, pci: str, armed_ns: int, ends_ns: int) -> Slot:
    classes = CallClass(0)
    nvml = Plane.NVML in made.planes
    if Plane.CUDA in made.planes:
        classes |= _ALL_CLASSES & ~CallClass.NVML
    if nvml:
        classes |= CallClass.NVML
    return Slot(
        fault_id=request.id,
        gpu=gpu,
        pci=pci,
        mode=_MODES[made.mode],
        cuda_err=made.cuda.number if made.cuda else 0,
        nvml_err=made.nvml.number if made.nvml else 0,
        classes=classes,
        sticky=made.xid.sticky,
        new_procs=made.xid.new_processes,
        delay_us=(request.delay_ms or 0) * 1000,
        after_calls=request.after_calls,
        ppm=max(1, round(request.probability * 1_000_000)),
        seed=request.seed,
        armed_at_ns=armed_ns,
        expires_ns=ends_ns,
        xid=made.xid.number if nvml else 0,
        **(asdict(made.xid.shown) if nvml else {}),
    )


def _identity(path: Path, *, content: bool = False) -> tuple[int, ...] | None:
    """Changes when the file is replaced or cut; with `content`, whenever it may have been written, too."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_ctime_ns if content else 0


def _control_page(path: Path) -> ControlPage:
    ttl_ns = int(HEARTBEAT_TTL_S * 1e9)
    try:
        return ControlPage.create(path, heartbeat_ttl_ns=ttl_ns)
    except PageError as err:
        if not path.is_file() or path.is_symlink():
            raise
        _log.warning("%s; replaced by a new page", err)
        path.unlink()
        return ControlPage.create(path, heartbeat_ttl_ns=ttl_ns)


def _remove_old_files(folder: Path) -> None:
    """The files of an agent of 0.1: pods had the whole folder mounted, and could write all of it."""
    for name in ("ctl", "events"):
        if (folder / name).is_file():
            (folder / name).unlink()


def _content(path: Path) -> bytes | None:
    """None for a file that is not here, or that somebody holds by a lease: nobody waits for it."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, BlockingIOError):
        return None
    with os.fdopen(fd, "rb") as file:
        return file.read()


def _install_shim(target: Path) -> str:
    """Install the shim; "" or why not. An existing file is replaced by a rename: it may be mapped."""
    try:
        content = library(SHIM).read_bytes()
    except NativeMissingError as err:
        return str(err)
    if _content(target) == content:
        return ""
    fd, aside = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(fd, 0o755)
            os.fsync(fd)
        Path(aside).replace(target)
    except OSError:
        Path(aside).unlink(missing_ok=True)
        raise
    return ""
