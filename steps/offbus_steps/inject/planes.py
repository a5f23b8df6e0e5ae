"""The planes on which a fault shows, and where each XID shows by the catalogue."""

from collections.abc import Sequence
from enum import StrEnum

from offbus.errors import StepError

__all__ = ["PAGE_PLANES", "Plane", "require_showing", "usual_planes"]


class Plane(StrEnum):
    """Where a fault shows."""

    KERNEL = "kernel"
    CUDA = "cuda"
    NVML = "nvml"


PAGE_PLANES = frozenset({Plane.CUDA, Plane.NVML})
"""Planes that need the shim in the process."""


def usual_planes(xid: int) -> tuple[Plane, ...]:
    """Where an XID shows on real hardware, by the catalogue."""
    from offbus_agent.catalogue.catalogue import lookup

    return tuple(Plane(plane.value) for plane in lookup(xid).planes)


def require_showing(xid: int, planes: Sequence[Plane]) -> None:
    """Raises StepError for a plane on which the XID does not show: it could never be proven."""
    from offbus_agent.catalogue.catalogue import lookup

    entry = lookup(xid)
    shown = {Plane.KERNEL} | {p for p, code in ((Plane.CUDA, entry.cuda), (Plane.NVML, entry.nvml)) if code}
    if missing := [plane for plane in planes if plane not in shown]:
        names = " and ".join(plane.value for plane in missing)
        raise StepError(
            f"XID {xid} ({entry.mnemonic}) does not show in {names}: it could not be proven there",
            hint=f"planes of XID {xid}: {', '.join(plane for plane in Plane if plane in shown)}",
        )
