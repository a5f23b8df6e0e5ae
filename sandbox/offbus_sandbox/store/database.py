"""The store's file: SQLite in WAL mode, one transaction per change.

A change is committed before any client sees it, so a killed supervisor loses nothing that a client has seen.
`synchronous=NORMAL` survives the death of the process; a power failure may lose the newest changes, which a sandbox
(whose processes die with the machine) need not survive.
"""

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from offbus_steps.port import Ref

__all__ = ["Database"]

SCHEMA = """
CREATE TABLE IF NOT EXISTS objects (
    kind TEXT, namespace TEXT, name TEXT, body TEXT, PRIMARY KEY (kind, namespace, name)
);
CREATE TABLE IF NOT EXISTS counters (name TEXT PRIMARY KEY, value INTEGER);
"""


class Database:
    """Objects and counters on disk."""

    def __init__(self, path: Path) -> None:
        """Open or create the file, for its owner only."""
        path.touch(mode=0o600)
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.executescript(SCHEMA)

    def objects(self) -> Iterator[dict[str, Any]]:
        """All objects, in no order."""
        for (body,) in self._db.execute("SELECT body FROM objects"):
            yield json.loads(body)

    def counter(self, name: str) -> int:
        """A persisted number; 0 when never set."""
        row = self._db.execute("SELECT value FROM counters WHERE name = ?", (name,)).fetchone()
        return int(row[0]) if row else 0

    def set_counter(self, name: str, value: int) -> None:
        """Persist a number."""
        self._db.execute("INSERT OR REPLACE INTO counters VALUES (?, ?)", (name, value))

    def write(self, version: int, ref: Ref, obj: dict[str, Any] | None) -> None:
        """Write one change with its version; None removes the object."""
        key = (ref.kind, ref.namespace, ref.name)
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            self.set_counter("version", version)
            if obj is None:
                self._db.execute("DELETE FROM objects WHERE kind = ? AND namespace = ? AND name = ?", key)
            else:
                body = json.dumps(obj, separators=(",", ":"))
                self._db.execute("INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?)", (*key, body))

    def close(self) -> None:
        """Close the file; later calls fail."""
        self._db.close()
