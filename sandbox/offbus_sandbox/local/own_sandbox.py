"""The sandbox of one run alone: where it lies, and what of it stays when it has ended.

What a sandbox's folder holds is executed: its pods, and whatever module lies in a program's working directory. A run's
folder becomes an artefact, and comes back from elsewhere, so its sandbox is not in it: it is in
`$XDG_STATE_HOME/offbus/own/`, by the real path that the run's folder had when it was opened; that is not resolved
again. Once it has ended, its files (logs, kernel logs, objects) are moved into the run's folder as `local`, into the
one that is open, wherever its path leads by then (offbus.open_run), and nothing executes them there. A run's folder
that was removed takes its sandbox with it: the next run removes what it left.

What pods print may repeat the secrets that the run sent them. Their logs are kept without (offbus.masking); a recovery
does not know the values, and keeps no log of a pod where there were any.
"""

import errno
import hashlib
import os
import shutil
from contextlib import suppress
from itertools import count
from pathlib import Path

from offbus.errors import CouldNotRun
from offbus.masking import Masking
from offbus.open_run import open_dir
from offbus.run_origin import state_home
from offbus_sandbox.layout import Layout
from offbus_sandbox.local.launch import is_running
from offbus_sandbox.processes.survey import leftovers

__all__ = ["FILES", "make_own", "own_of", "store_files"]

FILES = "local"
"""What an ended sandbox leaves in its run's folder. 0.1.0 had the sandbox itself there."""
RUN = "run"
"""The file in a sandbox that names its run's folder."""
LARGEST_LOG = 1 << 20
"""Bytes, the last ones, that are kept of a pod's log in which secrets are looked for."""


def own_of(run_dir: Path) -> Path:
    """The folder of a run's own sandbox, whether it exists or not: no other run's folder has the same."""
    return _all() / hashlib.sha256(os.fsencode(run_dir)).hexdigest()[:16]


def make_own(layout: Layout, run_dir: Path) -> None:
    """Make the folder of a new one, and remove those whose runs' folders are gone. Raises OSError."""
    for other in _all().glob(f"*/{RUN}"):
        with suppress(OSError, CouldNotRun):  # another run may be removing it, too
            if not Path(os.fsdecode(other.read_bytes())).exists():
                remaining = Layout.of(other.parent)
                if not is_running(remaining) and not leftovers(remaining):
                    shutil.rmtree(remaining.real)
                    remaining.forget_alias()
    layout.make()
    (layout.real / RUN).write_bytes(os.fsencode(run_dir))


def store_files(layout: Layout, run_dir: Path, secrets: Masking) -> Path:
    """Move the files of one that has ended into its run's folder, beside what is there; say where. Raises OSError."""
    if layout.real.parent != _all().resolve() or not layout.real.is_dir():
        return layout.real  # 0.1.0 had it there; or an end before this one moved it
    if secrets.knows_any or secrets.unknown:
        _take_out(secrets, layout.real)
    run = open_dir(run_dir)
    try:
        there = os.listdir(run)  # noqa: PTH208  it is a descriptor
        names = (f"{FILES}-{number}" if number > 1 else FILES for number in count(1))
        name = next(one for one in names if one not in there)
        try:
            os.rename(layout.real, name, dst_dir_fd=run)
        except OSError as err:
            if err.errno != errno.EXDEV:
                raise
            _copy(layout.real, name, run)
            shutil.rmtree(layout.real)
    finally:
        os.close(run)
    return run_dir / name


def _take_out(secrets: Masking, sandbox: Path) -> None:
    """Of the logs of its pods: each is replaced by one without them, or removed where nobody knows them."""
    for folder in sandbox.glob("nodes/*/log/pods"):
        for inner, _, names in os.walk(folder):
            for path in (Path(inner, name) for name in names):
                retained = b""
                if not secrets.unknown and not path.is_symlink() and path.is_file():
                    with path.open("rb") as log:
                        log.seek(max(0, path.stat().st_size - LARGEST_LOG))
                        first = log.readline() if log.tell() else b""
                        del first  # a part of a line may begin within a secret
                        retained = secrets.text(log.read(LARGEST_LOG).decode(errors="replace")).encode()
                path.unlink()
                if retained:
                    path.write_bytes(retained)


def _copy(folder: Path, name: str, run: int) -> None:
    """To another file system, into a new folder of ours alone, by its descriptor (proc(5), /proc/PID/fd)."""
    os.mkdir(name, 0o700, dir_fd=run)
    target = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=run)
    try:
        inside = f"/proc/self/fd/{target}"
        shutil.copytree(folder, inside, symlinks=True, ignore=_no_files, dirs_exist_ok=True)
    finally:
        os.close(target)


def _all() -> Path:
    return state_home() / "own"


def _no_files(folder: str, names: list[str]) -> list[str]:
    """Sockets and pipes: they cannot be copied."""
    paths = (Path(folder, name) for name in names)
    return [one.name for one in paths if not (one.is_symlink() or one.is_dir() or one.is_file())]
