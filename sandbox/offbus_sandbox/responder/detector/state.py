"""The detector's state: its position in the kernel log, the last boot id and what it found, in NVSentinel's state file.

Below the node's root, `var/run/nvsentinel/syslog_monitor/state.json`: `{"version": 1, "boot_id": …,
"check_last_cursors": {check: cursor}}`, and beside NVSentinel's keys ours, `fell_off`. Written atomically after the
events were published, so that a restart repeats at most what the dedup (or the condition itself) absorbs. A missing or
broken file means a first start. Must not: be read by anything else.
"""

import logging
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ValidationError

from offbus.files import replacing
from offbus_steps.nvsentinel import names

__all__ = ["DetectorState", "StateFile"]

PATH = "var/run/nvsentinel/syslog_monitor/state.json"
_log = logging.getLogger(__name__)


class DetectorState(BaseModel):
    """The file's content; a cursor is the sequence number of the last record handled."""

    version: Literal[1] = 1
    boot_id: str = ""
    check_last_cursors: dict[str, int] = {}
    fell_off: bool = False
    """Whether a GPU that is gone was found in this boot: the next one clears that."""

    @property
    def cursor(self) -> int | None:
        """The XID check's position; None before the first one."""
        return self.check_last_cursors.get(names.XID_CHECK)


class StateFile:
    """The state file below a node's root."""

    def __init__(self, root: Path) -> None:
        self._path = root / PATH

    def load(self) -> DetectorState:
        """The saved state; an empty one when the file is missing or broken."""
        try:
            return DetectorState.model_validate_json(self._path.read_bytes())
        except FileNotFoundError:
            return DetectorState()
        except (OSError, ValidationError) as err:
            _log.error("cannot use %s, starting from an empty state: %s", self._path, err)
            return DetectorState()

    def save(self, *, boot_id: str, cursor: int, fell_off: bool) -> None:
        """Replace the file. Raises OSError."""
        cursors = {names.XID_CHECK: cursor}
        state = DetectorState(boot_id=boot_id, check_last_cursors=cursors, fell_off=fell_off)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(self._path, 0o644) as file:
            file.write(state.model_dump_json().encode())
