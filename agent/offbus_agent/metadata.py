"""NVSentinel's metadata file of a node: which GPUs its monitor knows, how it spells them, and by which driver.

Job: read `var/lib/nvsentinel/gpu_metadata.json` below the node's root, which NVSentinel's collector writes and its
monitor reads once, when it starts; so the file as it is now need not be what the monitor knows (`faults.monitors`). A
file that cannot be parsed raises GpuDiscoveryError; one entry that cannot be read does not lose the others.
"""

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from offbus_agent.node_files import LARGEST_FILE, GpuDiscoveryError, as_object, without_function

__all__ = ["METADATA", "FileId", "Metadata", "read_metadata"]

METADATA = Path("var/lib/nvsentinel/gpu_metadata.json")
"""Below the node's root (chart value `global.metadataPath`)."""

_VERSION = re.compile(r"[0-9A-Za-z.+-]{1,64}")
FileId = tuple[int, int]
"""Device and inode."""


@dataclass(frozen=True, slots=True)
class Metadata:
    """The file, as far as offbus needs it."""

    pcis: Mapping[str, str]
    """UUID -> PCI address as the file spells it, without function digit."""
    driver: str
    """ "580.82.07"; "" when the file does not say."""
    file: FileId
    changed_ns: int
    """When it got its content or its name, by the clock on the wall, in nanoseconds."""


def read_metadata(root: Path) -> Metadata | None:
    """The node's file; None when there is none. Raises GpuDiscoveryError."""
    path = root / METADATA
    try:
        with path.open("rb") as file:
            content, found = file.read(LARGEST_FILE), os.fstat(file.fileno())
    except FileNotFoundError:
        return None
    except OSError as err:
        raise GpuDiscoveryError(f"cannot read {path}: {err}") from err
    value = as_object(path, content)
    items, driver = value.get("gpus"), value.get("driver_version")
    if not isinstance(items, list):
        raise GpuDiscoveryError(f'{path}: expected {{"gpus": [...]}}')
    pcis = {}
    for item in items:
        with suppress(KeyError, TypeError, ValueError):  # it says nothing of another GPU
            pcis[str(item["uuid"])] = without_function(str(item["pci_address"]))
    version = driver if isinstance(driver, str) and _VERSION.fullmatch(driver) else ""
    # ctime, not mtime: a file that is moved here keeps the time of its writing
    return Metadata(pcis, version, (found.st_dev, found.st_ino), found.st_ctime_ns)
