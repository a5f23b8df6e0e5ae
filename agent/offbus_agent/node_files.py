"""Small files of a node that say what it has: read bounded, and parsed or refused with the file's name.

Job: reading. Raises GpuDiscoveryError, with file and reason, for what cannot be read or parsed. It must not know what
the files mean.
"""

import json
import re
from pathlib import Path
from typing import Any

__all__ = ["LARGEST_FILE", "GpuDiscoveryError", "as_object", "json_of", "text_of", "without_function"]

LARGEST_FILE = 1 << 20
"""Bytes that are read of a file."""
_PCI = re.compile(r"([0-9a-fA-F]{4,8}:[0-9a-fA-F]{2}:[0-9a-fA-F]{2})(?:\.[0-9a-fA-F])?")


class GpuDiscoveryError(Exception):
    """Raised when a file that lists GPUs cannot be read or parsed."""


def text_of(path: Path) -> str:
    """The text of a file. Raises GpuDiscoveryError."""
    try:
        with path.open(encoding="utf-8") as file:
            return file.read(LARGEST_FILE)
    except (OSError, UnicodeDecodeError) as err:
        raise GpuDiscoveryError(f"cannot read {path}: {err}") from err


def json_of(path: Path) -> dict[str, Any]:
    """The object in a JSON file. Raises GpuDiscoveryError."""
    return as_object(path, text_of(path))


def as_object(path: Path, text: str | bytes) -> dict[str, Any]:
    """The object in the text of a JSON file. Raises GpuDiscoveryError."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as err:
        raise GpuDiscoveryError(f"{path}: not JSON ({err})") from err
    if not isinstance(value, dict):
        raise GpuDiscoveryError(f"{path}: expected an object")
    return value


def without_function(address: str) -> str:
    """A PCI address `dddd:bb:dd` without `.f`, spelt as given. Raises ValueError."""
    found = _PCI.fullmatch(address)
    if found is None:
        raise ValueError(f"{address!r} is not a PCI address (dddd:bb:dd)")
    return found[1]
