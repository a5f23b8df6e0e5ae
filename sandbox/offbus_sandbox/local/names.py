"""Persistent sandboxes by name: one folder each, below `$XDG_STATE_HOME/offbus/local/`."""

import os
import re
from pathlib import Path

from offbus.errors import UsageError

__all__ = ["DEFAULT", "flag", "folder_of"]

DEFAULT = "default"
NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,30}[a-z0-9])?")


def folder_of(name: str) -> Path:
    """The folder of a named sandbox, whether it exists or not. Raises UsageError."""
    if NAME.fullmatch(name) is None:
        raise UsageError(
            f"{name!r} is not a valid sandbox name", hint="use up to 32 lower-case letters, digits and '-'"
        )
    state = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(state, "offbus", "local", name)


def flag(name: str) -> str:
    """The command-line option that selects a sandbox; empty for the default."""
    return "" if name == DEFAULT else f" --name {name}"
