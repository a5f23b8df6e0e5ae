"""Persistent sandboxes by name: one folder each, below `$XDG_STATE_HOME/offbus/local/`."""

import re
from pathlib import Path

from offbus.errors import UsageError

__all__ = ["DEFAULT", "NAME", "flag", "folder_of"]

DEFAULT = "default"
NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,30}[a-z0-9])?")


def folder_of(name: str) -> Path:
    """The folder of a named sandbox, whether it exists or not. Raises UsageError."""
    from offbus.run_origin import state_home  # brings OpenSSL, which `offbus --help` has no use for

    if NAME.fullmatch(name) is None:
        raise UsageError(
            f"{name!r} is not a valid sandbox name", hint="use up to 32 lower-case letters, digits and '-'"
        )
    return state_home() / "local" / name


def flag(name: str) -> str:
    """The command-line option that selects a sandbox; empty for the default."""
    return "" if name == DEFAULT else f" --name {name}"
