"""Where a run's folder comes from: whose it is, and whether this user's offbus made it, on this machine.

A journal is hostile input. Whoever can write a run's folder says what `offbus recover` does, with the rights of who
calls it. Two questions are asked, each in its own way:

- *Is it this user's alone?* (`require_own`) The folder and each file in it that offbus uses belong to the effective
  user, nobody else can write them, none is a link, and nobody else can exchange it for another. Asked of the
  open folder (offbus.open_run), before anything is read for a recovery, a comparison or a stop. `--trust` lifts the
  question of owner and mode, nothing else: what is written through a link goes elsewhere.
- *Did the run open with this?* (`noted`) A folder that came as an archive belongs to who unpacked it, also where the
  run was made. What it says may be undone, within what each undo type allows; what it would have us *execute*, or
  believe, is not: a kubeconfig that it names (whose credential plug-ins are commands), an owner who it says is dead. So
  the state that a run opens its environment with is noted outside of all runs' folders, by the real path of its folder
  when that was opened, as a digest; a state from a journal counts only if it has that digest. The path is not resolved
  again: where it leads meanwhile is another run's. Notes are in no artefact, and a folder that was copied, moved, or
  made by another user or machine has none. They go when the run has finished. The plays of a matrix are noted in the
  same way (offbus.matrix.earlier), by the matrix's folder, and stay: a play can be resumed at any time.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from offbus.errors import UsageError
from offbus.files import read_bounded, redirected, replaceable_by, shared_with

__all__ = ["forget_notes", "note", "noted", "require_own", "state_home"]

NOTES_BYTES = 1 << 20
"""Of one run: more than ten thousand owners."""


def state_home() -> Path:
    """The folder of this user's runs and sandboxes (XDG Base Directory Specification)."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state", "offbus")


def require_own(folder: Path, fd: int, names: Iterable[str], *, trusted: bool = False) -> None:
    """Raise UsageError unless an open folder and these files in it are this user's alone. Those that are missing count.

    `folder`: its real path.
    """
    names = list(names)
    look = f"look at it: offbus recover {folder} --plan"
    for name in names:
        if why := redirected(name, dir_fd=fd):
            raise UsageError(
                f"{folder / name} {why}: offbus makes no such thing in a run's folder", hint=look
            )
    if trusted:
        return
    trust = f"{look}, and if all of it is right: offbus recover {folder} --trust"
    reached = (".", *names) if os.fstat(fd).st_mode & 0o011 else (".",)  # or nobody else gets into the folder
    for path, shared in ((folder / name, shared_with(name, dir_fd=fd)) for name in reached):
        if shared is not None:
            fix = "recover it as that user" if shared.theirs else f"chmod go-w {path}"
            what = f"{path} {shared.why}, who would decide what is undone with your rights"
            raise UsageError(what, hint=f"{fix}; or {trust}")
    for parent, reach in ((parent, replaceable_by(parent)) for parent in folder.parents):
        if reach is not None:
            fix = "" if reach.theirs else f"chmod go-w {parent}; or "
            what = f"{parent}, which the run's folder lies in, {reach.why}, who could exchange it for another"
            raise UsageError(what, hint=fix + trust)


def note(folder: Path, state: Mapping[str, Any]) -> None:
    """Note a state, JSON data, before it is journaled. One that cannot be noted counts as somebody else's."""
    path = _notes(folder)
    with suppress(OSError):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        with open(os.open(path, flags, 0o600), "a", encoding="ascii") as file:  # noqa: PTH123  it is a descriptor
            file.write(_digest(state) + "\n")


def noted(folder: Path, state: Mapping[str, Any]) -> bool:
    """Whether this user's offbus opened the run of this folder with this state."""
    path = _notes(folder)
    try:
        found = read_bounded(path, NOTES_BYTES)
        return not (redirected(path) or shared_with(path)) and _digest(state).encode() in found.split()
    except (OSError, RecursionError):  # a journal nests what it says as deep as it likes
        return False


def forget_notes(folder: Path) -> None:
    """The run has finished."""
    with suppress(OSError):
        _notes(folder).unlink()


def _notes(folder: Path) -> Path:
    return state_home() / "opened" / hashlib.sha256(os.fsencode(folder)).hexdigest()


def _digest(state: Mapping[str, Any]) -> str:
    text = json.dumps(state, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
