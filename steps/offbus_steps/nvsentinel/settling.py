"""How long a responder may take from a node that looks healthy to its repair: so long it is watched after an undo.

NVSentinel's own time was seen (reference/nvsentinel-observed.md): 37 to 46 s after a run that had removed its marks by
hand, a reboot was requested. The stand-in publishes its time, which follows from its settings, in a ConfigMap of the
namespace that the responder has to itself. What cannot be read counts as NVSentinel.
"""

from datetime import timedelta

from offbus_steps.listing import projected
from offbus_steps.nvsentinel.installation import told_by_standin
from offbus_steps.nvsentinel.settings import STANDIN_NAME, part_of
from offbus_steps.port import Forbidden, Objects

__all__ = ["MARGIN", "NVSENTINEL_S", "settling_time"]

NVSENTINEL_S = 46.0
MARGIN = 1.5
"""Of the longest way."""
LONGEST_S = 400.0


async def settling_time(objects: Objects, *, answered: bool) -> timedelta:
    """How long a node is watched. Zero where no responder is known to be, unless one has answered. Raises PortError."""
    try:
        parts = await projected(objects, "Deployment", part_of)
        if any(name != STANDIN_NAME for name, _ in parts):
            return timedelta(seconds=MARGIN * NVSENTINEL_S)
        told = await told_by_standin(objects)
    except Forbidden:
        return timedelta(seconds=MARGIN * NVSENTINEL_S)
    if told is None:
        return timedelta(seconds=MARGIN * NVSENTINEL_S if answered else 0)
    try:
        longest_s = float(str(told.get("longest_way_s"))[:32])
    except ValueError:
        longest_s = NVSENTINEL_S
    return timedelta(seconds=MARGIN * (longest_s if 0 <= longest_s <= LONGEST_S else NVSENTINEL_S))
