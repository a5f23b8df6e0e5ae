"""Faults that have a kernel line and no XID: the SXIDs of NVSwitches, and a GPU that is just gone.

Job: the second part of the catalogue. An SXID's line is the NVSwitch driver's: `nvidia-nvswitch0: SXid (PCI:…): 20034,
Fatal, Link 30 LTSSM Fault Up`. A GPU that does not answer when the driver looks for it has a record of three lines
without any number (open-gpu-kernel-modules, nv-pci.c); here it is one line, because a process cannot write a record of
several. Numbers, names and classes are those of NVIDIA's Fabric Manager User Guide (`data/sxid_catalog.csv`, whose last
column says where another source has a row). How the driver words the class `other` (errors of the host, without a link)
is not known, so there is no line for it.

NVSentinel's rule for both is its own (pkg/sxid, pkg/gpufallen): Fatal is CONTACT_SUPPORT, Non-fatal NONE, a GPU that is
gone RESTART_BM. Must not: write anything.
"""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Literal, get_args

from offbus_agent.catalogue.responder_action import Action

__all__ = ["FALLEN_OFF", "FALLEN_OFF_ACTION", "FALLEN_OFF_CODE", "Sxid", "SxidClass", "sxids"]

SxidClass = Literal["non-fatal", "fatal", "always fatal", "other"]
"""Fatal: to the partition that the link is of; always fatal: to the whole fabric."""
FALLEN_OFF = (
    "NVRM: The NVIDIA GPU {pci}.0 (PCI ID: 10de:{device}) installed in this system has"
    " fallen off the bus and is not responding to commands."
)
"""The line of a GPU that is gone, without an XID; the driver breaks it after the address and after `has`."""
FALLEN_OFF_ACTION: Action = "RESTART_BM"
FALLEN_OFF_CODE = "GPU_FALLEN_OFF_BUS"
"""Under which NVSentinel reports it (pkg/gpufallen)."""


_KINDS: Mapping[str, SxidClass] = {kind: kind for kind in get_args(SxidClass)}


@dataclass(frozen=True, slots=True)
class Sxid:
    """One error of an NVSwitch."""

    number: int
    name: str
    kind: SxidClass
    source: str

    @property
    def is_fatal(self) -> bool:
        """What the driver's line says of it."""
        return self.kind in ("fatal", "always fatal")

    @property
    def action(self) -> Action:
        """What NVSentinel recommends; any action except NONE cordons the node."""
        return "CONTACT_SUPPORT" if self.is_fatal else "NONE"

    def line(self, *, switch: int, pci: str, link: int) -> str:
        """The driver's line for a link of a switch; "" where its form is not known. `pci` has no function digit."""
        if self.kind == "other":
            return ""
        said = "Fatal" if self.is_fatal else "Non-fatal"
        return (
            f"nvidia-nvswitch{switch}: SXid (PCI:{pci}.0): {self.number}, {said}, Link {link:02d} {self.name}"
        )


@cache
def sxids() -> Mapping[int, Sxid]:
    """All SXIDs by number, ascending."""
    path = resources.files("offbus_agent.catalogue").joinpath("data/sxid_catalog.csv")
    with path.open(encoding="utf-8") as file:
        rows = [
            Sxid(int(row["sxid"]), row["name"], _KINDS[row["class"]], row["source"])
            for row in csv.DictReader(file)
        ]
    return {row.number: row for row in rows}
