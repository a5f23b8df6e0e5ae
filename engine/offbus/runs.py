"""Run folders: where a run's journal, report and lock live, and how they are found and looked at.

`$XDG_STATE_HOME/offbus/runs/<utc>-<name>-<id>/`, mode 0700, unless `--runs` says otherwise. A file `unfinished`
is in the folder from before the first change to the world until everything is undone. What acts in a run's folder
opens it first (offbus.open_run).
"""

import errno
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from offbus.errors import CouldNotRun, JournalError, UsageError
from offbus.files import read_bounded
from offbus.journal.bounds import WHOLE_BYTES
from offbus.journal.codec import decode
from offbus.journal.kinds import RUN_STARTED
from offbus.journal.lock import FileLock, Holder, holder_of
from offbus.json_values import parsed
from offbus.run_origin import state_home

__all__ = [
    "RunFolder",
    "default_runs",
    "environment_lock",
    "find_run",
    "make_base",
    "run_stamp",
    "runs_in",
    "unfinished_runs",
]

LOCKS = ".locks"
"""In the folder of runs: a lock for each environment."""


@dataclass(frozen=True, slots=True)
class RunFolder:
    """One run's folder, by its path, which may lead elsewhere at any time: to look at it, and to open it."""

    path: Path

    @property
    def id(self) -> str:
        """The run's id: the last part of the folder's name."""
        return self.path.name.rpartition("-")[2]

    @property
    def journal(self) -> Path:
        """The journal."""
        return self.path / "journal.jsonl"

    @property
    def report(self) -> Path:
        """The report, a fold of the journal."""
        return self.path / "report.json"

    @property
    def unfinished(self) -> Path:
        """Exists while something may be left to undo."""
        return self.path / "unfinished"

    @property
    def lock_file(self) -> Path:
        """Held by who acts in the run, and says who that is."""
        return self.path / "lock"

    def opener(self, path: Path, flags: int, mode: int = 0o600) -> int:
        """Open a file of the folder, as os.open does. Raises OSError."""
        return os.open(path, flags, mode)

    def lstat(self, path: Path) -> os.stat_result:
        """What is there under a file's name. Raises OSError."""
        return path.lstat()

    def lock(self, task: str = "run") -> FileLock:
        """The right to write this run's journal and to undo."""
        return FileLock(self.lock_file, f"run {self.id}", task=task, opener=self.opener)

    @property
    def holder(self) -> Holder | None:
        """Who took the run's lock last."""
        return holder_of(self.lock_file, self.opener)

    @property
    def identity(self) -> str | None:
        """The environment that an unfinished run acts on; None when that is not known.

        It is stored in `unfinished`, so that a damaged journal does not hide it, and in the journal.
        """
        try:
            return str(parsed(read_bounded(self.unfinished, 1 << 16, opener=self.opener))["identity"])
        except (OSError, ValueError, RecursionError, KeyError, TypeError):
            pass
        try:
            first = read_bounded(self.journal, WHOLE_BYTES, opener=self.opener).partition(b"\n")[0]
            return RUN_STARTED.data(decode(first + b"\n"))["identity"]
        except (OSError, JournalError, ValueError):
            return None

    def is_held_by(self, holder: Holder) -> bool:
        """Whether that process itself holds the run. Raises OSError when that cannot be asked."""
        return holder.holds(self.lstat(self.lock_file))

    def in_use(self) -> bool:
        """Whether a process holds the run; False where that cannot be asked (a read-only copy, a link)."""
        try:
            return self.lock("look").is_held()
        except CouldNotRun:
            return False


def default_runs() -> Path:
    """The default folder of runs."""
    return state_home() / "runs"


def run_stamp() -> str:
    """The time in the name of a new run's folder, to the millisecond: folders sort by their start."""
    return datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%f")[:-3] + "Z"


def runs_in(base: Path) -> list[RunFolder]:
    """All runs, oldest first."""
    if not base.is_dir():
        return []
    return [RunFolder(path) for path in sorted(base.iterdir()) if (path / "journal.jsonl").exists()]


def unfinished_runs(base: Path) -> Iterator[RunFolder]:
    """Runs that did not finish and that no process holds, oldest first."""
    for folder in runs_in(base):
        if folder.unfinished.exists() and not _surely_in_use(folder):
            yield folder


def _surely_in_use(folder: RunFolder) -> bool:
    """A folder whose lock cannot even be opened is nobody's, and stops no other run."""
    try:
        return folder.in_use()
    except CouldNotRun:
        return False


def find_run(base: Path, wanted: str) -> RunFolder:
    """The run of an id, a folder's name, or a path; "latest" is the newest. Raises UsageError."""
    try:
        if "/" in wanted or Path(wanted, "journal.jsonl").exists():
            given = Path(wanted)
            folder = RunFolder(given if given.is_symlink() else given.resolve())
            if folder.journal.exists():
                return folder
            raise UsageError(f"there is no run in {wanted}", hint="it has no journal.jsonl")
    except OSError as err:
        raise UsageError(f"{wanted} cannot be read: {err.strerror}") from err
    runs = runs_in(base)
    if wanted == "latest":
        if runs:
            return runs[-1]
        raise UsageError(f"there is no run in {base}", hint="choose another folder with --runs DIR")
    found = [run for run in runs if run.id.startswith(wanted) or run.path.name == wanted]
    if len(found) == 1:
        return found[0]
    known = ", ".join(run.id for run in runs[-5:]) or "none"
    what = "names several runs" if found else "names no run"
    raise UsageError(f"{wanted!r} {what} in {base}", hint=f"newest runs: {known}")


def make_base(asked: Path | None) -> Path:
    """The folder in which runs are made: the one that was asked for, which is made if need be, or the default.

    Raises UsageError for one that was asked for and cannot be made. One on a full or read-only disk is nobody's wrong
    use: who writes there says it.
    """
    base = (asked or default_runs()).resolve()
    if asked is not None:
        try:
            (base / LOCKS).mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as err:
            if err.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
                hint = "choose another folder with --runs"
                raise UsageError(f"no run can be kept in {base}: {err.strerror}", hint=hint) from err
    return base


def environment_lock(base: Path, identity: str, task: str = "run") -> FileLock:
    """Two runs in one environment exclude each other, and so do a run and a recovery."""
    digest = hashlib.sha256(identity.encode()).hexdigest()[:16]
    return FileLock(base / LOCKS / digest, f"the environment {identity}", task=task)
