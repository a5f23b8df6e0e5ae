"""The audit log: one JSON line for each request that would change something, whatever became of it."""

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from offbus.errors import UsageError

__all__ = ["Audit"]


class Audit:
    """Standard output, or a file that lines are added to."""

    def __init__(self, path: Path | None) -> None:
        """Raises UsageError for a file that cannot be written."""
        self._path = path
        if path is not None:
            try:
                path.open("ab").close()
            except OSError as err:
                raise UsageError(f"--audit {path} cannot be written: {err.strerror}") from err

    def write(self, **facts: Any) -> None:
        """Add a line. Raises OSError."""
        line = json.dumps({"time": datetime.now(UTC).isoformat(), **facts}, default=str) + "\n"
        if self._path is None:
            sys.stdout.write(line)
            sys.stdout.flush()
            return
        with self._path.open("a", encoding="utf-8") as file:
            file.write(line)
