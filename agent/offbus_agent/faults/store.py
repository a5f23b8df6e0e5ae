"""The agent's stored faults, in one file that survives it.

Job: write before every effect, whole and atomically (temporary file, fsync, rename, fsync of the folder),
and read at the start. A file that cannot be written is a `StoreError`, and then nothing may be injected. A file that
cannot be parsed is renamed and reported by `load`: an agent that refuses to start could not disarm anything. Besides
the live faults it has the latest 64 that have ended and were not recovered, the latest 64 that were, and the epochs of
the latest 1,000 runs: nobody has to recover for the file to stay small. It knows no planes and no leases.
"""

import fcntl
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from offbus_agent.catalogue.plane import Plane
from offbus_agent.models import Fault, FaultEvent, FaultRequest, KernelEntry, State

__all__ = ["AlreadyRunningError", "Store", "StoreError", "StoredFault", "is_live"]

_KEEP_ENDED = 64
"""Several times the GPUs of a node: all faults of a run whose runner died and which `offbus recover` still finds."""
_KEEP_FORGOTTEN = 64
_KEEP_EPOCHS = 1000


class StoreError(Exception):
    """Raised when the state cannot be written: no effect may follow."""


class AlreadyRunningError(StoreError):
    """Raised when another agent owns this state folder."""


class StoredFault(BaseModel):
    """A fault with the fields that responses do not show."""

    model_config = ConfigDict(extra="forbid", defer_build=True)

    request: FaultRequest
    fault: Fault
    phase: Annotated[
        Literal["applying", "applied", "interrupted"],
        BeforeValidator(
            lambda phase: "applied" if phase == "settled" else phase
        ),  # as agents of 0.1 wrote it
    ] = "applied"
    """`applying` is on disk while planes are being changed; found at a start, the agent died meanwhile."""
    forgotten: bool = False
    """Recovered or failed: no longer listed, stored for a while so that a repeated recover gets the same answer."""
    cleared: dict[str, KernelEntry] = {}
    """The reset line that was written for a GPU, by UUID."""
    codes: dict[Plane, int] = {}
    """What faulted calls return, per requested plane; 0 in the modes hang and delay, which make the call."""
    events: list[FaultEvent] = []


def is_live(stored: StoredFault) -> bool:
    """Armed, or being armed."""
    return stored.fault.state is State.ARMED or stored.phase == "applying"


class _Content(BaseModel):
    model_config = ConfigDict(extra="forbid", defer_build=True)

    version: Literal[1] = 1
    boot_id: str
    epochs: dict[str, int] = {}
    faults: dict[str, StoredFault] = {}


class Store:
    """All faults by id, and the highest epoch of every run."""

    def __init__(self, folder: Path, boot_id: str) -> None:
        self._path = folder / "faults.json"
        self._content = _Content(boot_id=boot_id)
        self._lock = _own(folder)

    def load(self) -> str | None:
        """Read the file of an earlier agent. Returns a warning when it had to be renamed."""
        try:
            text = self._path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as err:
            return self._put_aside(str(err))
        try:
            found = _Content.model_validate_json(text)
        except ValidationError as err:
            return self._put_aside(f"{err.error_count()} errors, first: {err.errors()[0]['msg']}")
        self._content.epochs, self._content.faults = found.epochs, found.faults
        self.from_other_boot = found.boot_id != self._content.boot_id
        return None

    from_other_boot = False
    """The file was written before the last boot: nothing in it can still be armed."""

    unsaved = False
    """Something was changed, and not (or in vain) saved since."""

    def save(self) -> None:
        """Persist everything. Raises StoreError."""
        self._trim()
        self.unsaved = True
        temporary = self._path.with_suffix(".new")
        try:
            with temporary.open("w", encoding="utf-8") as file:
                file.write(self._content.model_dump_json())
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self._path)
            _sync_folder(self._path.parent)
        except OSError as err:
            raise StoreError(f"cannot write {self._path}: {err.strerror}") from err
        self.unsaved = False

    def __iter__(self) -> Iterator[StoredFault]:
        return iter([stored for stored in self._content.faults.values() if not stored.forgotten])

    def get(self, fault: str) -> StoredFault | None:
        """The fault of that id, forgotten ones too."""
        return self._content.faults.get(fault)

    def put(self, stored: StoredFault) -> None:
        """Add or replace, as the latest; call `save` for it to count."""
        self.unsaved = True
        self._content.faults.pop(stored.fault.id, None)
        self._content.faults[stored.fault.id] = stored

    def remove(self, fault: str) -> None:
        """Drop a fault that never took effect."""
        self._content.faults.pop(fault, None)

    def epoch(self, run: str) -> int:
        """The highest known epoch of a run; 0 for none."""
        return self._content.epochs.get(run, 0)

    def raise_epoch(self, run: str, epoch: int) -> None:
        """Store an epoch; the most recently used runs stay. Call `save` for it to count."""
        self.unsaved = True
        self._content.epochs.pop(run, None)
        self._content.epochs[run] = epoch

    def close(self) -> None:
        """Release the folder."""
        os.close(self._lock)

    def _trim(self) -> None:
        # In the order of their last change, because `put` adds them again at the end: the oldest go. Epochs likewise.
        ended = [stored for stored in self if not is_live(stored)]
        forgotten = [stored for stored in self._content.faults.values() if stored.forgotten]
        for stored in (*ended[:-_KEEP_ENDED], *forgotten[:-_KEEP_FORGOTTEN]):
            del self._content.faults[stored.fault.id]
        for run in list(self._content.epochs)[:-_KEEP_EPOCHS]:
            del self._content.epochs[run]

    def _put_aside(self, why: str) -> str:
        # A number of this process would not do: an agent's is 1 in each container.
        aside = self._path.with_suffix(f".unreadable-{secrets.token_hex(4)}")
        self._path.replace(aside)
        return f"cannot parse {self._path} ({why}); renamed to {aside.name}, starting without faults"


def _own(folder: Path) -> int:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    fd = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        # The kernel gives it up when this process ends, however it does: no lock of a dead agent stays.
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        raise AlreadyRunningError(f"another agent uses {folder}") from None
    return fd


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
