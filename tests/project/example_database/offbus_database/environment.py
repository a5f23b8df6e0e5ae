"""The environment `database`: a run acts on the tables of one SQLite file.

Its live view has a table of tables, known from the fingerprint, and a feed of what readers see.
"""

import sqlite3
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

from pydantic import Field

from offbus.declared import Lane
from offbus.environment import Environment, EnvironmentType, Guards, Options, RunHandle
from offbus.errors import CouldNotRun, StepError
from offbus.preflight import Intent, PreflightCheck, checks_of_steps

__all__ = ["DATABASE", "Database", "database_of"]

LANES = (
    Lane(name="table", title="tables", seed="Table/", where="file", count="vacuums", gone="dropped"),
    Lane(name="reader", title="readers", feed=True, metrics="rows."),
)


class DatabaseOptions(Options):
    """What stands beside `uses: database`."""

    file: str = Field(description="The SQLite file; relative to where offbus was started. It must be there.")


class DatabaseGuards(Guards):
    """There are none."""


class Database:
    """An open database: the only place of this package that knows SQL. Each method is one transaction."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def rows(self, table: str) -> list[str]:
        """The rows of a table, in order. Raises StepError when there is no such table."""
        if table not in self.tables():
            raise StepError(f"there is no table {table} in {self.file.name}", hint="create it first")
        with closing(sqlite3.connect(self.file)) as db:
            found = db.execute(f'SELECT item FROM "{table}" ORDER BY rowid')  # noqa: S608  it is one of the tables
            return [row for (row,) in found]

    def replace(self, table: str, rows: Sequence[str]) -> None:
        """Make these the rows of a table: all of them, or on an error none."""
        self.rows(table)
        with closing(sqlite3.connect(self.file)) as db, db:
            db.execute(f'DELETE FROM "{table}"')  # noqa: S608  it is one of the tables
            db.executemany(f'INSERT INTO "{table}" (item) VALUES (?)', [(row,) for row in rows])  # noqa: S608

    def tables(self) -> list[str]:
        """The names of all tables."""
        with closing(sqlite3.connect(self.file)) as db:
            return [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]

    async def fingerprint(self) -> dict[str, Any]:
        """Every table with its rows."""
        return {f"Table/{name} rows": self.rows(name) for name in sorted(self.tables())}

    async def close(self, *, finished: bool) -> None:
        """Nothing was started, so nothing ends."""


class DatabaseOpener:
    """Opens a database, and opens it again for `offbus recover`."""

    @asynccontextmanager
    async def open(
        self, options: DatabaseOptions, guards: DatabaseGuards, run: RunHandle, *, run_dir: str
    ) -> AsyncIterator[Database]:
        """Open it for a run. Raises CouldNotRun when there is none."""
        database = Database(_existing(options.file))
        run.opened({"file": str(database.file)})
        yield database

    @asynccontextmanager
    async def reopen(
        self, state: Mapping[str, Any], run: RunHandle, *, run_dir: str
    ) -> AsyncIterator[Database]:
        """Open it from what the journal says."""
        yield Database(_existing(state["file"]))

    async def preflight(
        self,
        options: DatabaseOptions,
        guards: DatabaseGuards,
        intents: Sequence[Intent],
        run: RunHandle,
        *,
        scenario_dir: str,
    ) -> Sequence[PreflightCheck]:
        """For `offbus plan`: what the steps say of the database as it is now."""
        return await checks_of_steps(Database(_existing(options.file)), intents)

    def identity(self, options: DatabaseOptions) -> str:
        """Two runs on one database exclude each other."""
        return f"database:{Path(options.file).resolve()}"


def _existing(file: str) -> Path:
    path = Path(file).resolve()
    if not path.is_file():
        raise CouldNotRun(f"there is no database {path}", hint="create it, or set environment.file")
    return path


def database_of(environment: Environment) -> Database:
    """The open database of a step or an undo. Raises StepError in another environment."""
    if not isinstance(environment, Database):
        raise StepError("this step acts on a database", hint="say environment: {uses: database, file: …}")
    return environment


DATABASE = EnvironmentType(
    name="database",
    summary="The tables of a SQLite file.",
    options=DatabaseOptions,
    guards=DatabaseGuards,
    opener=DatabaseOpener(),
    lanes=LANES,
)
