"""The stand-in GPUs of a node, as the stand-in driver reads them from a file: name, memory, UUIDs and PCI addresses.

UUIDs and addresses are the same every time, and unique among one machine's nodes.

The nodes of a sandbox share one kernel, so each has its own PCI addresses (design.md, section 9). Addresses are spelt
alike in every file: NVSentinel clears a fault only on the spelling that it saw (reference/nvsentinel.md §1.4).
"""

import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from offbus_agent.metadata import METADATA
from offbus_sandbox.config import DRIVER_VERSION
from offbus_sandbox.store.rules import now

__all__ = ["Gpu", "gpus_of", "write_gpu_files"]

NAME = "NVIDIA H100 80GB HBM3"
MEMORY = 85_520_809_984
"""Bytes, as `nvidia-smi` reports for that model (81559 MiB)."""
VERSION_LINE = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  {}  Release Build  (offbus@local)\n"
"""As /proc/driver/nvidia/version has it (the driver's nv-procfs.c)."""
NAMESPACE = uuid.UUID("8a6f3a0e-6d0a-5e0c-9a52-0ffb05000000")
NODES_PER_DOMAIN = 16
FIRST_BUS = 0x10
BUSES_PER_NODE = 8


@dataclass(frozen=True, slots=True)
class Gpu:
    """One stand-in GPU. `pci` is spelt `dddd:bb:dd.f`."""

    index: int
    uuid: str
    pci: str
    name: str = NAME
    memory_bytes: int = MEMORY


def gpus_of(node: str, position: int, count: int) -> list[Gpu]:
    """The GPUs of the node at `position` (from 0)."""
    domain, slot = divmod(position, NODES_PER_DOMAIN)
    bus = FIRST_BUS + slot * BUSES_PER_NODE
    return [
        Gpu(i, f"GPU-{uuid.uuid5(NAMESPACE, f'{node}/{i}')}", f"{domain:04x}:{bus + i:02x}:00.0")
        for i in range(count)
    ]


def write_gpu_files(
    root: Path, node: str, gpus: Sequence[Gpu], *, driver: str = DRIVER_VERSION, metadata: bool = True
) -> None:
    """The files that describe a node's GPUs: for the agent (two), for the stand-in driver, for NVSentinel.

    Without `metadata` the last is removed, as on a node on which NVSentinel's collector has never run.
    """
    listed = [
        {"index": g.index, "uuid": g.uuid, "pci": g.pci, "name": g.name, "memory_bytes": g.memory_bytes}
        for g in gpus
    ]
    (root / "gpus.json").write_text(json.dumps({"gpus": listed}, indent=2) + "\n")
    (root / "gpus.txt").write_text("".join(f"{g.uuid} {g.pci} {g.memory_bytes} {g.name}\n" for g in gpus))
    version = root / "proc/driver/nvidia/version"
    version.parent.mkdir(parents=True, exist_ok=True)
    version.write_text(VERSION_LINE.format(driver))
    file = root / METADATA
    file.parent.mkdir(parents=True, exist_ok=True)
    if metadata:
        file.write_text(json.dumps(nvsentinel_metadata(node, gpus, driver), indent=2) + "\n")
    else:
        file.unlink(missing_ok=True)


def nvsentinel_metadata(node: str, gpus: Sequence[Gpu], driver: str) -> dict[str, object]:
    """The file of NVSentinel's metadata collector (reference/nvsentinel.md §1.4)."""
    listed = [
        {
            "gpu_id": g.index,
            "uuid": g.uuid,
            "pci_address": g.pci,
            "serial_number": str(uuid.uuid5(NAMESPACE, g.uuid).int % 10**13),
            "device_name": g.name,
            "nvlinks": [],
        }
        for g in gpus
    ]
    return {
        "version": "1.0",
        "timestamp": now(),
        "node_name": node,
        "chassis_serial": None,
        "driver_version": driver,
        "gpus": listed,
        "nvswitches": [],
    }
