"""Where a run's folder comes from: whose it is, and whether this user's offbus made it, on this machine.

A journal is hostile input. Whoever can write a run's folder says what `offbus recover` does, with the rights of who
calls it. Two questions are asked, each in its own way:

- *Is it this user's alone?* (`require_own`) The folder and each file in it that offbus uses belong to the effective
  user, nobody else can write them, and none is a link. Asked before anything is read for a recovery, a comparison or a
  stop. `--trust` lifts the question of owner and mode, nothing else: what is written through a link goes elsewhere.
- *Did the run open with this?* (`noted`) A folder that came as an archive belongs to who unpacked it, also where the
  run was made. What it says may be undone, within what each undo type allows; what it would have us *execute*, or
  believe, is not: a kubeconfig that it names (whose credential plug-ins are commands), an owner who it says is dead. So
  the state that a run opens its environment with is noted outside of all runs' folders, by the real path of its folder,
  as a digest; a state from a journal counts only if it has that digest. Notes are in no artefact, and a folder that was
  copied, moved, or made by another user or machine has none. They go when the run has finished.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from offbus.errors import UsageError
from offbus.files import read_bounded, redirected, shared_with

__all__ = ["forget_notes", "note", "noted", "require_own", "state_home"]

NOTES_BYTES = 1 << 20
"""Of one run: more than ten thousand owners."""


def state_home() -> Path:
    """The folder of this user's runs and sandboxes (XDG Base Directory Specification)."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state", "offbus")


def require_own(folder: Path, files: Iterable[Path], *, trusted: bool = False) -> None:
    """Raise UsageError unless the folder and these files in it are this user's alone. Those that are missing count."""
    if folder.is_symlink():
        hint = f"name the folder itself, if it is the right one: {folder.resolve()}"
        raise UsageError(f"the run's folder {folder} is a symbolic link", hint=hint)
    everything = (folder, *files)
    look = f"look at it: offbus recover {folder} --plan"
    for path in everything:
        if why := redirected(path):
            raise UsageError(f"{path} {why}: offbus makes no such thing in a run's folder", hint=look)
    if trusted:
        return
    reached = everything if folder.stat().st_mode & 0o011 else (folder,)  # nobody else gets into the folder
    for path in reached:
        if why := shared_with(path):
            mine = path.lstat().st_uid == os.geteuid()
            fix = f"chmod go-w {path}" if mine else "recover it as that user"
            raise UsageError(
                f"{path} {why}, who would decide what is undone with your rights",
                hint=f"{fix}; or {look}, and if all of it is right: offbus recover {folder} --trust",
            )


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
    return state_home() / "opened" / hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()


def _digest(state: Mapping[str, Any]) -> str:
    text = json.dumps(state, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
