"""A run's folder that is open: everything that a run, a recovery or the reaper does in it is done here.

Whoever owns a run's folder, or may write in one that it lies in, can move it away at any time and give its name to
something else: a link, or another run. A path that was checked says nothing about where it leads a moment later. So:

- The folder is opened once, without following a link, and what is checked is what was opened: owner, mode and the kind
  of each file (offbus.run_origin), unless it was made here, which is empty then.
- Every file in it is opened, replaced and removed relative to that descriptor (`dir_fd`), never by a path, and through
  no link: the journal, the lock, `unfinished`, the report and its draft, and what steps write (`open_dir`). What gets
  the folder's name meanwhile is never touched; the run goes on in the folder that it began in, wherever that is.
- `path` is the real path at the time of opening. It is a name, for messages and for what is filed by it outside of the
  folder (notes, the run's own sandbox); it is not resolved again.

`RunFolder` (offbus.runs) is a path, to look at a run by. What changes a run takes an `OpenRun`, so that a type checker
finds whoever forgets to open it. It is made by `opened` and `create_run` alone, and is closed by them.
"""

import errno
import os
import secrets
import shutil
import stat
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from json import dumps
from pathlib import Path

from offbus.errors import CouldNotRun, UsageError
from offbus.run_origin import forget_notes, require_own
from offbus.runs import RunFolder, run_stamp

__all__ = ["OpenRun", "create_folder", "create_run", "open_dir", "opened"]

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
_held: dict[Path, "OpenRun"] = {}
"""The folders that are open in this process: steps and environments know a run's folder by its path."""


@dataclass(frozen=True, slots=True)
class OpenRun(RunFolder):
    """A run's folder, open."""

    fd: int
    """Of the folder."""

    def opener(self, path: Path, flags: int, mode: int = 0o600) -> int:
        """Open a file of the folder. Raises OSError, also when it is to be written and is not this folder's alone."""
        fd = os.open(path.name, flags | _FILE, mode, dir_fd=self.fd)
        seen = os.fstat(fd)
        if flags & (os.O_WRONLY | os.O_RDWR) and not (stat.S_ISREG(seen.st_mode) and seen.st_nlink == 1):
            os.close(fd)
            raise OSError(errno.EINVAL, "it is not a file of this folder alone", str(path))
        return fd

    def lstat(self, path: Path) -> os.stat_result:
        """What is there under a file's name. Raises OSError."""
        return os.stat(path.name, dir_fd=self.fd, follow_symlinks=False)

    def replace(self, path: Path, text: str) -> None:
        """Replace a file's content, atomically. Raises OSError."""
        draft = path.with_name(f"{path.name}.part")
        with suppress(FileNotFoundError):  # of a process that was killed; or a link, which is not followed
            os.unlink(draft.name, dir_fd=self.fd)
        fd = self.opener(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        with open(fd, "w", encoding="utf-8") as file:  # noqa: PTH123  it is a descriptor
            file.write(text)
        os.replace(draft.name, path.name, src_dir_fd=self.fd, dst_dir_fd=self.fd)

    def finish(self) -> None:
        """Nothing is left to undo. Raises OSError."""
        with suppress(FileNotFoundError):
            os.unlink(self.unfinished.name, dir_fd=self.fd)
        forget_notes(self.path)

    def remove(self) -> None:
        """Remove the folder, with everything in it. Raises OSError."""
        forget_notes(self.path)
        for name in os.listdir(self.fd):  # noqa: PTH208  it is a descriptor
            if stat.S_ISDIR(os.stat(name, dir_fd=self.fd, follow_symlinks=False).st_mode):
                shutil.rmtree(name, dir_fd=self.fd)
            else:
                os.unlink(name, dir_fd=self.fd)
        if not self.is_elsewhere:
            self.path.rmdir()

    @property
    def is_elsewhere(self) -> bool:
        """Whether the path does not lead to the open folder any more."""
        try:
            return not os.path.samestat(self.path.lstat(), os.fstat(self.fd))
        except OSError:
            return True


@contextmanager
def opened(folder: RunFolder, *, trusted: bool = False, files: Iterable[str] = ()) -> Iterator[OpenRun]:
    """Open a run's folder, to act in it. Raises UsageError unless only this user can have written what is used there.

    `trusted` lifts the question of owner and mode, for what a user confirms then. `files` are used beside a run's own.
    """
    with ExitStack() as held:
        try:
            run = held.enter_context(_open(folder.path))
        except OSError as err:
            if os.path.islink(folder.path):  # noqa: PTH114  that of a path raises where nobody may look
                hint = f"name the folder itself, if it is the right one: {folder.path.resolve()}"
                raise UsageError(f"the run's folder {folder.path} is a symbolic link", hint=hint) from err
            raise UsageError(f"{folder.path} cannot be read: {err.strerror}") from err
        names = [one.name for one in (run.journal, run.unfinished, run.lock_file, run.report)]
        require_own(run.path, run.fd, [*names, *files], trusted=trusted)
        yield run


@contextmanager
def create_run(base: Path, name: str, identity: str, run: str = "") -> Iterator[OpenRun]:
    """Make a new run's folder; `identity` names the environment it acts on. Raises CouldNotRun when that fails.

    Without an id it gets a new one.
    """
    with create_folder(base, name, run) as folder:
        try:
            fd = folder.opener(folder.unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
            with open(fd, "w", encoding="utf-8") as file:  # noqa: PTH123  it is a descriptor
                file.write(dumps({"identity": identity}))
        except OSError as err:
            raise _not_made(base, err) from err
        yield folder


@contextmanager
def create_folder(base: Path, name: str, run: str = "") -> Iterator[OpenRun]:
    """Make a new folder beside those of runs. Raises CouldNotRun when that fails. Without an id it gets a new one."""
    with ExitStack() as held:
        try:
            base.mkdir(mode=0o700, parents=True, exist_ok=True)
            path = base / f"{run_stamp()}-{name}-{run or secrets.token_hex(4)}"
            path.mkdir(mode=0o700)
            folder = held.enter_context(_open(path))
            if os.listdir(folder.fd):  # noqa: PTH208  it is a descriptor
                raise OSError(errno.ENOTEMPTY, "it is another one by now")
        except OSError as err:
            raise _not_made(base, err) from err
        yield folder


def _not_made(base: Path, err: OSError) -> CouldNotRun:
    why = f"cannot create the run's folder below {base}: {err.strerror}"
    return CouldNotRun(why, hint="choose another folder with --runs DIR")


def open_dir(run_dir: Path) -> int:
    """A new descriptor of a run's folder, for a step or an environment, which know it by its path.

    Of the folder that this process has open under that path, wherever the path leads by now; where there is none, of
    what is there, through no link. Raises OSError.
    """
    held = _held.get(run_dir)
    return os.open(run_dir, _FOLDER) if held is None else os.dup(held.fd)


@contextmanager
def _open(path: Path) -> Iterator[OpenRun]:
    """Raises OSError, also when it is replaced right now."""
    fd = os.open(path, _FOLDER)
    try:
        run = OpenRun(path.resolve(), fd)
        if run.is_elsewhere:
            raise OSError(errno.ESTALE, "it is another folder by now")
        before = _held.get(run.path)
        _held[run.path] = run
        try:
            yield run
        finally:
            _held.pop(run.path)
            if before is not None:
                _held[run.path] = before
    finally:
        os.close(fd)
