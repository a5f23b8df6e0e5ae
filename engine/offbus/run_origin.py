"""Where a run's folder comes from: whose it is, and whether this user's offbus made it, on this machine.

A journal is hostile input. Whoever can write a run's folder says what `offbus recover` does, with the rights of who
calls it. Two questions are asked, each in its own way:

- *Is it this user's alone?* (`require_own`) The folder and each file in it that offbus uses belong to the effective
  user, nobody else can write them, and none is a link. Asked before anything is read for a recovery, a comparison or a
  stop. `--trust` lifts the question of owner and mode, nothing else: what is written through a link goes elsewhere.
- *Did this user's offbus make it here?* (`made_here`) A folder that came as an archive belongs to who unpacked it. What
  it holds may be undone, within what each undo type allows; what it would have us *execute* is not: pods and processes
  of a sandbox in it, a kubeconfig that it names (whose credential plug-ins are commands). So the folder of a new run
  gets a seal: an HMAC-SHA-256 of its real path with a key that only this user can read, and that is in no artefact.
  A copy, or a folder that was moved, has no valid seal, nor has one from a version without seals.
"""

import hmac
import os
import secrets
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from offbus.errors import UsageError
from offbus.files import read_bounded, redirected, shared_with

__all__ = ["made_here", "require_own", "seal", "state_home"]

SEAL, KEY = "seal", "key"
KEY_BYTES = 32


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


def seal(folder: Path) -> None:
    """Seal a folder that was just made. One that cannot be sealed counts as made elsewhere."""
    with suppress(OSError):
        key = _key() or _new_key()
        fd = os.open(folder / SEAL, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(fd, "w", encoding="ascii") as file:  # noqa: PTH123  a file that must be new, and ours alone
            file.write(_mac(key, folder))


def made_here(folder: Path) -> bool:
    """Whether the folder has a valid seal."""
    try:
        key, found = _key(), read_bounded(folder / SEAL, 128)
    except OSError:
        return False
    return key is not None and hmac.compare_digest(found, _mac(key, folder).encode())


def _mac(key: bytes, folder: Path) -> str:
    return hmac.digest(key, os.fsencode(folder.resolve()), "sha256").hex()


def _key() -> bytes | None:
    """This user's key; None when there is none that only this user can have made."""
    path = state_home() / KEY
    try:
        key = read_bounded(path, KEY_BYTES)
    except OSError:
        return None
    return key if len(key) == KEY_BYTES and not (redirected(path) or shared_with(path)) else None


def _new_key() -> bytes:
    """Made whole or not at all: of two processes, one makes it. Raises OSError."""
    home = state_home()
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = home / f".{KEY}-{secrets.token_hex(4)}"
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(fd, "wb") as file:  # noqa: PTH123  a file that must be new, and ours alone
            file.write(secrets.token_bytes(KEY_BYTES))
        with suppress(FileExistsError):
            os.link(draft, home / KEY)
    finally:
        draft.unlink()
    key = _key()
    if key is None:
        raise OSError(f"{home / KEY} is not this user's key")
    return key
