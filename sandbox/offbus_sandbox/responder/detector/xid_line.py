"""Parses the driver's lines in a journal MESSAGE with NVSentinel's own patterns.

The patterns are those of `offbus_agent.detectors` (data/nvsentinel.toml, each with its source), which `offbus
conformance` goes by, too. What is recommended for a line is the catalogue's table
(`offbus_agent.catalogue.responder_action`): all 172 XIDs were seen to get the same action from the real monitor. Text
that matches nothing gives None. Must not: know the node, its GPUs or the cluster.
"""

from dataclasses import dataclass

from offbus_agent.catalogue.catalogue import catalogue
from offbus_agent.catalogue.responder_action import Monitor, action_of
from offbus_agent.detectors.rules import detector
from offbus_sandbox.responder.health_event import Entity
from offbus_steps.nvsentinel.names import RecommendedAction

__all__ = [
    "FallenOff",
    "GpuAddress",
    "GpuReset",
    "XidReport",
    "parse_fallen_off",
    "parse_gpu_address",
    "parse_gpu_reset",
    "parse_xid",
]

_LARGEST = 2**63 - 1
"""What a Go `int` holds: the monitor's strconv.Atoi refuses a number above it, and the line with it (seen)."""
_RULE = detector("nvsentinel").rule


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


@dataclass(frozen=True, slots=True)
class FallenOff:
    """The driver's line about a GPU that is gone, without an XID."""

    pci: str
    """As the line spells it, with its function."""
    pci_id: str
    """Vendor and device, "10de:2330"; "" where the line has none."""


def parse_fallen_off(message: str) -> FallenOff | None:
    """`NVRM: The NVIDIA GPU 0000:3b:00.0 (PCI ID: 10de:2330) installed in this system has fallen off the bus …`."""
    found = _RULE("fallen-off").match(message)
    if found is None:
        return None
    device = _RULE("pci-id").match(message)
    return FallenOff(found.group(1), device.group(1) if device is not None else "")


def parse_gpu_address(message: str) -> GpuAddress | None:
    """`NVRM: GPU at PCI:0000:3b:00: GPU-…`."""
    found = _RULE("address").match(message)
    return GpuAddress(found.group(1), found.group(2)) if found else None


def parse_gpu_reset(message: str) -> GpuReset | None:
    """`GPU reset executed: GPU-…, success: true`."""
    found = _RULE("reset").match(message)
    return GpuReset(found.group(1), found.group(2) == "true") if found else None


def parse_xid(message: str) -> XidReport | None:
    """An XID line of any shape; the NVLink5 shape is tried first. Of two XIDs in one text the first counts."""
    return _nvlink5(message) or _standard(message)


def _nvlink5(message: str) -> XidReport | None:
    found = _RULE("nvlink5").match(message)
    if found is None:
        return None
    pci, number, unit, *words, link, info, status = found.groups()
    text = f"{number}, {unit} {' '.join(words)} Link {link} ({info} {status})"
    return XidReport(pci.partition(".")[0], int(number), f"{number}.{unit}", text)


def _standard(message: str) -> XidReport | None:
    found = _RULE("xid").match(message)
    if found is None or len(found.group(2)) > 19 or int(found.group(2)) > _LARGEST:
        return None
    number, text = int(found.group(2)), message[found.start(2) :]
    return XidReport(found.group(1).partition(".")[0], number, str(number), text, _details(number, message))


def _details(number: int, message: str) -> tuple[Entity, ...]:
    if number == 13 and (found := _RULE("xid-13").match(message)):
        return tuple(
            Entity(entityType=k, entityValue=v)
            for k, v in zip(("GPC", "TPC", "SM"), found.groups(), strict=True)
        )
    if number == 74 and (found := _RULE("xid-74").match(message)):
        link, *registers = found.groups()
        bits = [f"{int(register, 16):032b}" for register in registers]
        return (
            Entity(entityType="NVLINK", entityValue=link),
            *(Entity(entityType=f"REG{i}", entityValue=value) for i, value in enumerate(bits)),
        )
    return ()
