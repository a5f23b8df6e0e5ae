"""A node's GPUs, and the spelling of their PCI addresses there.

Job: read `gpus.json` (a `local` node) or `/proc/driver/nvidia/gpus/*/information` (a real one) below the node's root,
without a library or a GPU call. The address in kernel lines must be spelt as in NVSentinel's metadata file, if that
lists the GPU: NVSentinel clears a fault only on the same spelling. Files that cannot be parsed raise
`GpuDiscoveryError` with file and reason; a node without a driver has no GPUs. One GPU of a driver's, or one entry of
the metadata, that cannot be read does not lose the others: a driver writes `GPU-????????-…` for a GPU that it could not
initialise. Health tells which.
"""

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

__all__ = ["METADATA", "Gpu", "GpuDiscoveryError", "Survey", "discover", "known_to_responder", "survey"]

METADATA = Path("var/lib/nvsentinel/gpu_metadata.json")
"""NVSentinel's metadata file, below the node's root."""

_LARGEST_FILE = 1 << 20
_PCI = re.compile(r"([0-9a-fA-F]{4,8}:[0-9a-fA-F]{2}:[0-9a-fA-F]{2})(?:\.[0-9a-fA-F])?")
_UUID = re.compile(r"GPU-[0-9a-fA-F-]{8,60}")


class GpuDiscoveryError(Exception):
    """Raised when a file that lists GPUs cannot be read or parsed."""


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU. `pci` is spelt dddd:bb:dd as in the node's metadata, without function digit."""

    index: int
    uuid: str
    pci: str
    name: str
    memory_bytes: int | None = None

    def as_json(self) -> dict[str, Any]:
        """The GPU as JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Survey:
    """A node's GPUs by index, and why others cannot be read."""

    gpus: tuple[Gpu, ...]
    unreadable: tuple[str, ...] = ()


def discover(root: Path) -> tuple[Gpu, ...]:
    """The node's GPUs by index. Raises GpuDiscoveryError."""
    return survey(root).gpus


def survey(root: Path) -> Survey:
    """The node's GPUs. Raises GpuDiscoveryError, also when it has some and none can be read."""
    listed = root / "gpus.json"
    driver = root / "proc/driver/nvidia/gpus"
    found: list[Gpu | GpuDiscoveryError] = []
    if listed.exists():
        found += [_listed(listed, item) for item in _items(listed)]
    else:
        found += _from_driver(driver)
    gpus = [one for one in found if isinstance(one, Gpu)]
    wrong = [one for one in found if isinstance(one, GpuDiscoveryError)]
    if wrong and not gpus:
        raise wrong[0]
    spelt = _spelling(root / METADATA)
    known = [replace(gpu, pci=spelt.get(gpu.uuid, gpu.pci)) for gpu in gpus]
    return Survey(tuple(sorted(known, key=lambda gpu: gpu.index)), tuple(map(str, wrong)))


def known_to_responder(root: Path) -> frozenset[str]:
    """UUIDs of the GPUs that NVSentinel's metadata file lists; none without that file. Raises GpuDiscoveryError."""
    return frozenset(_spelling(root / METADATA))


def _listed(path: Path, item: Any) -> Gpu:
    try:
        memory = item.get("memory_bytes")
        return Gpu(
            index=int(item["index"]),
            uuid=_uuid(str(item["uuid"])),
            pci=_without_function(str(item["pci"])),
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
    pairs = (line.partition(":") for line in _text(entry / "information").splitlines())
    fields = {key.strip(): value.strip() for key, _, value in pairs}
    try:
        return Gpu(
            index=int(fields["Device Minor"]),
            uuid=_uuid(fields["GPU UUID"]),
            pci=_without_function(fields.get("Bus Location", entry.name)),
            name=fields["Model"],
        )
    except (KeyError, ValueError) as err:
        raise GpuDiscoveryError(f"cannot parse {entry / 'information'} ({err!r})") from err


def _spelling(path: Path) -> dict[str, str]:
    """uuid -> address as in NVSentinel's metadata; empty when there is no such file."""
    if not path.exists():
        return {}
    found = {}
    for item in _items(path):
        with suppress(KeyError, TypeError, ValueError):  # it says nothing of another GPU's spelling
            found[str(item["uuid"])] = _without_function(str(item["pci_address"]))
    return found


def _without_function(address: str) -> str:
    found = _PCI.fullmatch(address)
    if found is None:
        raise ValueError(f"{address!r} is not a PCI address (dddd:bb:dd)")
    return found[1]


def _uuid(text: str) -> str:
    if not _UUID.fullmatch(text):
        raise ValueError(f"{text!r} is not a GPU UUID")
    return text


def _items(path: Path) -> list[Any]:
    try:
        value = json.loads(_text(path))
    except (ValueError, RecursionError) as err:
        raise GpuDiscoveryError(f"{path}: not JSON ({err})") from err
    if not isinstance(value, dict):
        raise GpuDiscoveryError(f"{path}: expected an object")
    if not isinstance(value.get("gpus"), list):
        raise GpuDiscoveryError(f'{path}: expected {{"gpus": [...]}}')
    return list(value["gpus"])


def _text(path: Path) -> str:
    try:
        with path.open(encoding="utf-8") as file:
            return file.read(_LARGEST_FILE)
    except (OSError, UnicodeDecodeError) as err:
        raise GpuDiscoveryError(f"cannot read {path}: {err}") from err
