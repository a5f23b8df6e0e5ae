"""The function `xid` of expressions: what the catalogue knows of an XID, and whose word it is.

    when: xid(inputs.xid).cordons
    expect: ["outputs.fatal == xid(inputs.xid).cordons"]

So one scenario serves every XID. What NVSentinel does is told for a node whose monitor knows the GPU and the driver
(docs/reference/xids.md): `offbus plan` and the injection go by the node itself.
"""

from pydantic import Field

from offbus.function import Function
from offbus.step import Outputs

__all__ = ["XID", "XidFacts", "xid"]

HUMAN = "CONTACT_SUPPORT"
NONE = "NONE"


class XidFacts(Outputs):
    """What `xid(NUMBER).NAME` can name."""

    mnemonic: str = Field(description="NVIDIA's catalogue: its name.")
    title: str = Field(description="NVIDIA's catalogue: what it is.")
    planes: list[str] = Field(description="Where it shows on real hardware: kernel, cuda, nvml.")
    sticky: bool = Field(description="Processes that it hit keep failing until they end (cuda.h).")
    cordons: bool = Field(description="NVSentinel quarantines the node.")
    repairs: bool = Field(description="NVSentinel asks for a repair of the node by itself.")
    attention: bool = Field(
        description="NVSentinel asks for a human: it quarantines the node and repairs nothing."
    )
    action: str = Field(
        description="NVSentinel's recommended action: NONE, COMPONENT_RESET, RESTART_BM, RESTART_VM, CONTACT_SUPPORT."
    )
    nvidia_action: str = Field(
        description="NVIDIA's catalogue: the immediate action; empty where it gives none."
    )
    severity: str = Field(
        description="The published testing guide: low, medium, high, critical; else unknown."
    )


def xid(number: int) -> XidFacts:
    """Of an XID by its number. Raises ValueError for one that is not in NVIDIA's catalogue."""
    from offbus_agent.catalogue.catalogue import UnknownXid, lookup
    from offbus_agent.catalogue.responder_action import KNOWING

    try:
        entry = lookup(number)
    except UnknownXid as err:
        raise ValueError(err.message) from err
    action = entry.action(KNOWING)
    return XidFacts(
        mnemonic=entry.mnemonic,
        title=entry.title,
        planes=[plane.value for plane in entry.planes],
        sticky=entry.sticky,
        cordons=action != NONE,
        repairs=action not in (NONE, HUMAN),
        attention=action == HUMAN,
        action=action,
        nvidia_action=entry.nvidia_action,
        severity=entry.severity.value,
    )


XID = Function(name="xid", summary="What the XID catalogue knows of an XID.", call=xid)
