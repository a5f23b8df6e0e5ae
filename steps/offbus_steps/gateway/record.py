"""The gateway's faults on disk: `fault.json` in the folder of each fault's run; which there are, and which go.

The run's own files say what is left to undo, whoever undoes it: this file only says what the fault was. A gateway that
is started again reads them, so that a fault of the one before it is still listed.
"""

from contextlib import suppress
from pathlib import Path

from pydantic import ValidationError

from offbus.errors import OffbusError
from offbus.files import read_bounded
from offbus.open_run import OpenRun, opened
from offbus.runs import RunFolder, runs_in
from offbus_steps.gateway.models import FaultRecord

__all__ = ["folders", "prune", "read_records", "write_record"]

NAME = "fault.json"
LARGEST = 1 << 16


def write_record(folder: OpenRun, record: FaultRecord) -> None:
    """Replace it atomically. Raises OSError."""
    folder.replace(folder.path / NAME, record.model_dump_json(indent=2) + "\n")


def folders(base: Path) -> list[RunFolder]:
    """The runs below `base` that are faults of a gateway, oldest first."""
    return [one for one in runs_in(base) if (one.path / NAME).is_file()]


def read_records(base: Path) -> list[FaultRecord]:
    """Of all of them, as they are now; what cannot be read is left out."""
    found = []
    for folder in folders(base):
        with suppress(OSError, ValueError, ValidationError):
            record = FaultRecord.model_validate_json(read_bounded(folder.path / NAME, LARGEST))
            found.append(_now(folder, record))
    return found


def _now(folder: RunFolder, record: FaultRecord) -> FaultRecord:
    """Nobody holds it: it is recovered by now, or a recovery has to do it."""
    if record.status in ("recovered", "failed") and not folder.unfinished.exists():
        return record
    if not folder.unfinished.exists():
        details = {**record.details, "message": "recovered after its gateway had ended"}
        return record.model_copy(update={"status": "recovered", "details": details})
    message = f"its gateway has ended; finish it with: offbus recover {folder.id}"
    return record.model_copy(update={"status": "failed", "details": {**record.details, "message": message}})


def prune(base: Path, keep: int) -> None:
    """Remove the folders of the oldest faults that are finished, and that no process holds, but for `keep`."""
    finished = [one for one in folders(base) if not one.unfinished.exists() and not one.in_use()]
    for folder in finished[:-keep]:
        with suppress(OffbusError, OSError), opened(folder, files=[NAME]) as run:
            run.remove()
