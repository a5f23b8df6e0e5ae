"""The token of a sandbox's agents: created once, readable by its owner only, in no message and no log."""

import os
import secrets
from contextlib import suppress
from pathlib import Path

__all__ = ["make_token"]


def make_token(path: Path) -> None:
    """Create the token unless there is one."""
    with suppress(FileExistsError):
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(fd, "w") as file:
            file.write(secrets.token_urlsafe(32) + "\n")
