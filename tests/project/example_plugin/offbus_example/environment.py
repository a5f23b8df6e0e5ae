"""The environment `files`: a run acts on the files of one folder.

It opens no connection and starts nothing, so there is nothing to close. Its guard `only` is enforced where
every access goes through, `Files.path`, hence before and during the run.
"""

import hashlib
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from pydantic import Field

from offbus.environment import Environment, EnvironmentType, Guards, Options, RunHandle
from offbus.errors import CouldNotRun, StepError
from offbus.preflight import Intent, PreflightCheck, checks_of_steps

__all__ = ["FILES", "Files", "FilesGuards", "FilesOptions", "files_of"]


class FilesOptions(Options):
    """What stands beside `uses: files`."""

    folder: str = Field(description="The folder to act on; relative to where offbus was started.")


class FilesGuards(Guards):
    """The guards that `files` can enforce."""

    only: Sequence[str] = Field(("*",), description="Patterns of the names that may be touched.")


class Files:
    """An open folder: the only place of this package that touches files."""

    def __init__(self, folder: Path, only: Sequence[str]) -> None:
        self.folder = folder
        self._only = only

    def path(self, name: str) -> Path:
        """Where a file is. Raises StepError for a name outside the folder, or one that `only` forbids."""
        if name != Path(name).name or name.startswith("."):
            raise StepError(f"{name!r} is not the plain name of a file", hint="give a name without folders")
        if not any(fnmatch(name, pattern) for pattern in self._only):
            raise StepError(f"guard only: {name} matches none of {', '.join(self._only)}")
        return self.folder / name

    def read(self, name: str) -> str | None:
        """A file's text; None when there is no such file."""
        path = self.path(name)
        return path.read_text(encoding="utf-8") if path.exists() else None

    def write(self, name: str, text: str | None) -> None:
        """Make a file's text so, or remove the file (None): at once or not at all, and fsynced."""
        path = self.path(name)
        if text is None:
            path.unlink(missing_ok=True)
            return
        new = self.folder / f".{name}.new"
        with new.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)

    async def fingerprint(self) -> dict[str, Any]:
        """Every file with the digest of its content."""
        found = sorted(path for path in self.folder.iterdir() if path.is_file())
        return {f"File/{path.name} sha256": hashlib.sha256(path.read_bytes()).hexdigest() for path in found}

    async def close(self, *, finished: bool) -> None:
        """Nothing was started, so nothing ends."""


class FilesOpener:
    """Opens a folder, and opens it again for `offbus recover`."""

    @asynccontextmanager
    async def open(
        self, options: FilesOptions, guards: FilesGuards, run: RunHandle, *, run_dir: str
    ) -> AsyncIterator[Files]:
        """Open the folder for a run. Raises CouldNotRun when there is none."""
        files = Files(_existing(options.folder), guards.only)
        run.opened({"folder": str(files.folder), "only": list(guards.only)})
        yield files

    @asynccontextmanager
    async def reopen(self, state: Mapping[str, Any], run: RunHandle, *, run_dir: str) -> AsyncIterator[Files]:
        """Open it from what the journal says."""
        yield Files(_existing(state["folder"]), state["only"])

    async def preflight(
        self,
        options: FilesOptions,
        guards: FilesGuards,
        intents: Sequence[Intent],
        run: RunHandle,
        *,
        scenario_dir: str,
    ) -> Sequence[PreflightCheck]:
        """For `offbus plan`: what the steps say of the folder as it is now."""
        return await checks_of_steps(Files(_existing(options.folder), guards.only), intents)

    def identity(self, options: FilesOptions) -> str:
        """Two runs on one folder exclude each other."""
        return f"files:{Path(options.folder).resolve()}"


def _existing(folder: str) -> Path:
    path = Path(folder).resolve()
    if not path.is_dir():
        raise CouldNotRun(f"there is no folder {path}", hint="make it, or set environment.folder")
    return path


def files_of(environment: Environment) -> Files:
    """The open folder of a step or an undo. Raises StepError in another environment."""
    if not isinstance(environment, Files):
        raise StepError("this step acts on files", hint="say environment: {uses: files, folder: …}")
    return environment


FILES = EnvironmentType(
    name="files",
    summary="The files of a folder.",
    options=FilesOptions,
    guards=FilesGuards,
    opener=FilesOpener(),
)
