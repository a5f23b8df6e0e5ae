"""The function `sqlite_error` of expressions: what SQLite means by a result code (sqlite.org/rescode.html)."""

import sqlite3

from pydantic import Field

from offbus.function import Function
from offbus.step import Outputs

__all__ = ["SQLITE_ERROR"]

_NAMES = {
    code: name
    for name, code in vars(sqlite3).items()
    if name.startswith("SQLITE_")
    and name.removeprefix("SQLITE_") in {"BUSY", "LOCKED", "CORRUPT", "FULL", "IOERR"}
}


class SqliteError(Outputs):
    """What `sqlite_error(CODE).NAME` can name."""

    name: str = Field(description="How SQLite spells it.")
    transient: bool = Field(description="Whether trying again may help.")


def sqlite_error(code: int) -> SqliteError:
    """The primary result code of an error. Raises ValueError for one that this package does not know."""
    name = _NAMES.get(code & 0xFF)
    if name is None:
        raise ValueError(f"{code} is no result code that is known here")
    return SqliteError(name=name, transient=name in ("SQLITE_BUSY", "SQLITE_LOCKED"))


SQLITE_ERROR = Function(name="sqlite_error", summary="What SQLite means by a result code.", call=sqlite_error)
