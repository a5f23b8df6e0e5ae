"""What a node's agent knows of a fault of which an undo was recorded: that it made it, and what it is recognised by.

A record is hostile input: it may name a fault that never was, or a cause that is another fault's. Only the agent's word
counts; while the agent cannot be reached the record's does, if not only a run's folder holds it (`Cluster.proves`).
"""

from collections.abc import Mapping
from typing import Any

from offbus.errors import StepError
from offbus_steps.agents.client import AgentRefused, EffectNotShown, FaultGone, NodeAgents
from offbus_steps.nvsentinel.cause import Cause
from offbus_steps.port import Unavailable

__all__ = ["cause_of", "may_have_a_line", "recovered"]


async def recovered(agents: NodeAgents, node: str, fault: str) -> Mapping[str, Any] | None:
    """The fault as its agent knows it, which drops it; None when the agent cannot be reached.

    Raises FaultGone when it never made the fault, AgentRefused when it neither drops nor shows it.
    """
    try:
        return await agents.act(node, fault, "recover")
    except FaultGone:
        raise
    except Unavailable:
        return None
    except (AgentRefused, EffectNotShown) as refused:
        try:
            return await agents.fault(node, fault)
        except FaultGone:  # it was dropped for another owner of the run
            raise refused from None


def may_have_a_line(known: Mapping[str, Any] | None) -> bool:
    """Whether a line of the fault may be in the kernel log, so that a responder may still react.

    Not when the agent failed before it wrote one. An agent that cannot be reached may have written one.
    """
    return known is None or bool(known["state"] != "failed" or known["kernel"] or known["unread"])


async def cause_of(
    agents: NodeAgents,
    node: str,
    fault: str,
    known: Mapping[str, Any] | None,
    recorded: Cause | None,
    *,
    proven: bool,
) -> Cause:
    """What the fault is recognised by. Raises StepError when neither its agent nor its record can say."""
    if known is None:
        if recorded is not None and proven:
            return recorded
        lacks = "is in no record of the cluster" if recorded else "does not say what it is recognised by"
        raise StepError(
            f"the record of {fault} {lacks}, and the agent of {node} cannot be asked: the node is left as it is",
            hint="recover again once that agent is ready; a quarantine that no drill caused is not to be lifted",
        )
    own = Cause.of(known["xid"], known["gpus"], ())
    if recorded == own:
        return own  # without addresses, there is nothing more to ask
    gpus = (await agents.health(node))["gpus"]
    return Cause.of(
        known["xid"], known["gpus"], [one.get("pci", "") for one in gpus if one["uuid"] in own.uuids]
    )
