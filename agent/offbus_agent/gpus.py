"""A node's GPUs, and how kernel lines and NVSentinel's metadata spell their PCI addresses there.

Job: read `gpus.json` (a `local` node) or `/proc/driver/nvidia/gpus/*/information` (a real one) below the node's root,
without a library or a GPU call. The address in kernel lines must be spelt as in NVSentinel's metadata file, if that
lists the GPU: NVSentinel clears a fault only on the same spelling. The driver's version is that of
`/proc/driver/nvidia/version`, else the metadata's. Files that cannot be parsed raise `GpuDiscoveryError` with file and
reason; a node without a driver has no GPUs. One GPU of a driver's, or one entry of the metadata, that cannot be read
does not lose the others: a driver writes `GPU-????????-…` for a GPU that it could not initialise. Health tells which.
"""

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from offbus_agent.metadata import Metadata, read_metadata
from offbus_agent.node_files import GpuDiscoveryError, json_of, text_of, without_function

__all__ = ["Gpu", "GpuDiscoveryError", "Survey", "discover", "survey"]

_UUID = re.compile(r"GPU-[0-9a-fA-F-]{8,60}")
_DRIVER = re.compile(r"^NVRM version: .*?Kernel Module\b.*?\s([0-9]{1,6}(?:\.[0-9]{1,6})+)\s", re.MULTILINE)
"""`/proc/driver/nvidia/version` (nv-procfs.c): "NVRM version: NVIDIA UNIX … Kernel Module …  570.133.20  …"."""


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU. `pci` is spelt dddd:bb:dd as in the node's metadata, without function digit."""

    index: int
    uuid: str
    pci: str
    name: str
    memory_bytes: int | None = None
    driver: str = ""
    """The version of the driver that writes its kernel lines; "" when it is unknown."""

    def as_json(self) -> dict[str, Any]:
        """The GPU as JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Survey:
    """A node's GPUs by index, why others cannot be read, and NVSentinel's metadata file, if there is one."""

    gpus: tuple[Gpu, ...]
    unreadable: tuple[str, ...] = ()
    metadata: Metadata | None = None


def discover(root: Path) -> tuple[Gpu, ...]:
    """The node's GPUs by index. Raises GpuDiscoveryError."""
    return survey(root).gpus


def survey(root: Path) -> Survey:
    """The node's GPUs. Raises GpuDiscoveryError, also when it has some and none can be read."""
    listed = root / "gpus.json"
    folder = root / "proc/driver/nvidia/gpus"
    found: list[Gpu | GpuDiscoveryError] = [
        *(_from_list(listed) if listed.exists() else _from_driver(folder))
    ]
    gpus = [one for one in found if isinstance(one, Gpu)]
    wrong = [one for one in found if isinstance(one, GpuDiscoveryError)]
    if wrong and not gpus:
        raise wrong[0]
    metadata = read_metadata(root)
    spelt, version = (metadata.pcis, metadata.driver) if metadata else ({}, "")
    driver = _driver(root / "proc/driver/nvidia/version") or version
    known = [replace(gpu, pci=spelt.get(gpu.uuid, gpu.pci), driver=driver) for gpu in gpus]
    return Survey(tuple(sorted(known, key=lambda gpu: gpu.index)), tuple(map(str, wrong)), metadata)


def _driver(path: Path) -> str:
    try:
        found = _DRIVER.search(text_of(path))
    except GpuDiscoveryError:  # there is no driver, or it does not say
        return ""
    return found[1] if found else ""


def _from_list(path: Path) -> list[Gpu]:
    items = json_of(path).get("gpus")
    if not isinstance(items, list):
        raise GpuDiscoveryError(f'{path}: expected {{"gpus": [...]}}')
    return [_listed(path, item) for item in items]


def _listed(path: Path, item: Any) -> Gpu:
    try:
        memory = item.get("memory_bytes")
        return Gpu(
            index=int(item["index"]),
            uuid=_uuid(str(item["uuid"])),
            pci=without_function(str(item["pci"])),
            name=str(item["name"]),
            memory_bytes=None if memory is None else int(memory),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as err:
        raise GpuDiscoveryError(f"{path}: a GPU needs index, uuid, pci and name: {item!r} ({err!r})") from err


def _from_driver(folder: Path) -> Iterator[Gpu | GpuDiscoveryError]:
    """Format: nv-procfs.c of the driver, `Key:<tabs> value` lines; `Device Minor` is the GPU's number."""
    for entry in sorted(folder.iterdir()) if folder.is_dir() else ():
        try:
            yield _driven(entry)
        except GpuDiscoveryError as err:
            yield err


def _driven(entry: Path) -> Gpu:
    fields = _fields(entry / "information")
    try:
        return Gpu(
            index=int(fields["Device Minor"]),
            uuid=_uuid(fields["GPU UUID"]),
            pci=without_function(fields.get("Bus Location", entry.name)),
            name=fields["Model"],
        )
    except (KeyError, ValueError) as err:
        raise GpuDiscoveryError(f"cannot parse {entry / 'information'} ({err!r})") from err


def _fields(path: Path) -> dict[str, str]:
    pairs = (line.partition(":") for line in text_of(path).splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


def _uuid(text: str) -> str:
    if not _UUID.fullmatch(text):
        raise ValueError(f"{text!r} is not a GPU UUID")
    return text
