"""Parses the driver's lines in a journal MESSAGE with NVSentinel's own patterns (Go RE2, unanchored).

What is recommended for a line is the catalogue's table (`offbus_agent.catalogue.responder_action`): all 172 XIDs were
seen to get the same action from the real monitor.

Sources: health-monitors/syslog-health-monitor/pkg/patterns/xid.go, pkg/xid/types.go, pkg/xid/parser/csv.go.
The newest reset pattern is not published; its two groups and text form are (the GPU reset job's `logger`
line). Text that matches nothing gives None. Must not: know the node, its GPUs or the cluster.
"""

import re
from dataclasses import dataclass

from offbus_agent.catalogue.catalogue import catalogue
from offbus_agent.catalogue.responder_action import Monitor, action_of
from offbus_sandbox.responder.health_event import Entity
from offbus_steps.nvsentinel.names import RecommendedAction

__all__ = ["GpuAddress", "GpuReset", "XidReport", "parse_gpu_address", "parse_gpu_reset", "parse_xid"]

_XID = re.compile(
    r"NVRM: Xid \(PCI:([0-9a-fA-F:.]+)\): (\d{1,9})(?!\d)(?:, pid=(\d+))?(?:, name=([^,]+))?(?:, Ch ([0-9a-fA-F]+))?"
)
_NVLINK5 = re.compile(
    r"NVRM: Xid \(PCI:([^)]+)\): (\d+)(?:, pid=[^,]*)?(?:, name=[^,]*)?, (\w+)\s+(\w+)\s+(\w+)\s+(\w+)\s+"
    r"Link\s+(-?\d+)\s+\((0x[0-9a-fA-F]+)\s+(0x[0-9a-fA-F]+)"
)
_NVLINK5_NUMBERS = ("144", "145", "146", "147", "148", "149", "150")
_XID_74 = re.compile(r"link\s+(\d+)\(" + r",\s*".join([r"(0x[0-9a-fA-F]+)"] * 7) + r"\)")
_XID_13 = re.compile(r"\(GPC\s+(\d+),\s*TPC\s+(\d+),\s*SM\s+(\d+)\)")
_ADDRESS = re.compile(r"NVRM: GPU at PCI:([0-9a-fA-F:.]+): (GPU-[0-9a-fA-F-]+)")
_RESET = re.compile(r"GPU reset executed: (GPU-[0-9a-fA-F-]+), success: (true|false)")


@dataclass(frozen=True, slots=True)
class XidReport:
    """One XID line."""

    pci: str
    """As the line spells it, without the function."""
    number: int
    code: str
    """"79", or "145.RLW_REMAP" for NVLink5."""
    text: str
    """From the number on."""
    details: tuple[Entity, ...] = ()

    def action(self, monitor: Monitor) -> RecommendedAction:
        """What a monitor that knows this much recommends; CONTACT_SUPPORT for a number that is in no catalogue."""
        known = catalogue().get(self.number)
        cell = known.nvidia_action if known is not None else ""
        return RecommendedAction[action_of(self.number, self.text, cell, monitor)]


@dataclass(frozen=True, slots=True)
class GpuAddress:
    """The driver's line that names a GPU's UUID before its first XID."""

    pci: str
    uuid: str


@dataclass(frozen=True, slots=True)
class GpuReset:
    """The log line of a GPU reset job."""

    uuid: str
    success: bool


def parse_gpu_address(message: str) -> GpuAddress | None:
    """`NVRM: GPU at PCI:0000:3b:00: GPU-…`."""
    found = _ADDRESS.search(message)
    return GpuAddress(found.group(1), found.group(2)) if found else None


def parse_gpu_reset(message: str) -> GpuReset | None:
    """`GPU reset executed: GPU-…, success: true`."""
    found = _RESET.search(message)
    return GpuReset(found.group(1), found.group(2) == "true") if found else None


def parse_xid(message: str) -> XidReport | None:
    """An XID line of any shape; the NVLink5 shape is tried first. Of two XIDs in one text the first counts."""
    return _nvlink5(message) or _standard(message)


def _nvlink5(message: str) -> XidReport | None:
    found = _NVLINK5.search(message)
    if found is None or found.group(2) not in _NVLINK5_NUMBERS:
        return None
    pci, number, unit, *words, link, info, status = found.groups()
    text = f"{number}, {unit} {' '.join(words)} Link {link} ({info} {status})"
    return XidReport(pci.partition(".")[0], int(number), f"{number}.{unit}", text)


def _standard(message: str) -> XidReport | None:
    found = _XID.search(message)
    if found is None:
        return None
    number, text = int(found.group(2)), message[found.start(2) :]
    return XidReport(found.group(1).partition(".")[0], number, str(number), text, _details(number, message))


def _details(number: int, message: str) -> tuple[Entity, ...]:
    if number == 13 and (found := _XID_13.search(message)):
        return tuple(
            Entity(entityType=k, entityValue=v)
            for k, v in zip(("GPC", "TPC", "SM"), found.groups(), strict=True)
        )
    if number == 74 and (found := _XID_74.search(message)):
        link, *registers = found.groups()
        bits = [f"{int(register, 16):032b}" for register in registers]
        return (
            Entity(entityType="NVLINK", entityValue=link),
            *(Entity(entityType=f"REG{i}", entityValue=value) for i, value in enumerate(bits)),
        )
    return ()
