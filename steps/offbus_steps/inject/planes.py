"""Where each XID shows. The catalogue is read only when it is asked: step types are loaded for every scenario."""

from collections.abc import Collection, Sequence

from offbus.errors import StepError
from offbus_agent.catalogue.plane import Plane

__all__ = ["require_showing", "usual_planes"]


def usual_planes(xid: int) -> tuple[Plane, ...]:
    """Where an XID shows on real hardware, by the catalogue."""
    from offbus_agent.catalogue.catalogue import lookup

    return lookup(xid).planes


def require_showing(xid: int, planes: Sequence[Plane], also: Collection[Plane] = ()) -> None:
    """Raises StepError for a plane on which the XID does not show, nor is in `also`: it could never be proven."""
    from offbus_agent.catalogue.catalogue import lookup

    entry = lookup(xid)
    shown = {Plane.KERNEL, *also} | {
        p for p, code in ((Plane.CUDA, entry.cuda), (Plane.NVML, entry.nvml)) if code
    }
    if missing := [plane for plane in planes if plane not in shown]:
        names = " and ".join(plane.value for plane in missing)
        raise StepError(
            f"XID {xid} ({entry.mnemonic}) does not show in {names}: it could not be proven there",
            hint=f"planes of XID {xid}: {', '.join(plane for plane in Plane if plane in shown)}",
        )
