"""Runs `await_detection`, `await_remediation`, `await_validation`: the fault was found, repaired, the repair validated.

A fatal fault shows as a condition of the node, any other as an Event about it that repeats the fault's kernel line;
`await_detection` outputs which. A
repair is a resource of the responder (RebootNode, GPUReset) for this node, created after the injection, whose own
condition has the result: `remediation-succeeded` on the node only says that it was created. Both consider everything
since the injection's mark, in watches that began before it, and nothing older; and only what is about this fault
(`offbus_steps.watch.consequences`), whatever else is found and repaired meanwhile. Of several nodes' faults each has to
be found, and repaired. In a dry run nothing is repaired or validated: refused.

A validation is a ValidationRequest for the node, which the responder makes at the end of its quarantine; until it has
succeeded the node stays cordoned. A responder that does not validate is refused at once.
"""

from functools import partial

from offbus.errors import StepError, StepFailed
from offbus.step import Context
from offbus_steps.agents.each_fault import measure, nodes_of, on_each, required_fault
from offbus_steps.agents.fault_model import NodeFault
from offbus_steps.cluster.cluster import Cluster, cluster_of
from offbus_steps.nvsentinel.validation_stage import no_validation
from offbus_steps.observe.step_types import (
    AWAIT_REMEDIATION,
    AWAIT_VALIDATION,
    DetectionOutputs,
    RemediationOutputs,
    ResponseParams,
    ValidationOutputs,
)
from offbus_steps.port import Ref
from offbus_steps.watch.consequences import Detection, Repair, Validation, ended
from offbus_steps.watch.event_log import Transition
from offbus_steps.watch.transitions import What

__all__ = ["await_detection", "await_remediation", "await_validation"]

REPAIR_ENDS = frozenset({What.MAINTENANCE_DONE, What.MAINTENANCE_FAILED, What.MAINTENANCE_GONE})


async def await_detection(ctx: Context, params: ResponseParams) -> DetectionOutputs:
    """Wait until the responder reports the fault on every faulted node."""
    cluster, fault = cluster_of(ctx), required_fault(params.fault)
    ctx.progress(f"waiting for the responder to find the fault on {nodes_of(fault)}")

    async def look(one: NodeFault) -> Transition:
        return await cluster.log.scan(Detection(one.node, one.cause, one.fatal, one.id), after=one.mark)

    found = await on_each(fault, look)
    after = measure(ctx, "time_to_detect", list(zip(fault.every, found, strict=True)))
    fatal = all(one.what is What.NODE_CONDITION for one in found)
    told = ", ".join(dict.fromkeys(one.change.to for one in found))
    return DetectionOutputs(
        node=fault.node, nodes=[one.node for one in fault.every], fatal=fatal, told=told, after=after
    )


async def await_remediation(ctx: Context, params: ResponseParams) -> RemediationOutputs:
    """Wait until a repair of every faulted node was requested and completed."""
    cluster, fault = cluster_of(ctx), required_fault(params.fault)
    cluster.require_acting(AWAIT_REMEDIATION)
    ctx.progress(f"waiting for the responder to repair {nodes_of(fault)}")

    ended = await on_each(fault, partial(_repaired, ctx, cluster))
    after = measure(ctx, "time_to_remediate", list(zip(fault.every, ended, strict=True)))
    return RemediationOutputs(
        node=fault.node,
        nodes=[one.node for one in fault.every],
        resource=", ".join(str(one.ref) for one in ended),
        after=after,
    )


async def _repaired(ctx: Context, cluster: Cluster, fault: NodeFault) -> Transition:
    """The end of one node's repair. Raises StepFailed."""
    repair = Repair(fault.node, fault.cause, cluster.log, fault.mark)
    asked = await cluster.log.scan(repair, after=fault.mark)
    if asked.what is What.NODE_STATE:
        raise StepFailed(
            f"the responder has no repair for the fault on {fault.node}: {asked.change.to}",
            hint="its configuration has no maintenance for the recommended action; a human must act",
        )
    return await _ended(ctx, cluster, fault, asked.ref)


async def await_validation(ctx: Context, params: ResponseParams) -> ValidationOutputs:
    """Wait until every faulted node was validated after its repair."""
    cluster, fault = cluster_of(ctx), required_fault(params.fault)
    cluster.require_acting(AWAIT_VALIDATION)
    if (off := await no_validation(cluster.port.objects, cluster.guards.responder_namespace)) is not None:
        raise StepError(off.why_not, hint=off.way_out)
    ctx.progress(f"waiting for the responder to validate {nodes_of(fault)}")

    async def look(one: NodeFault) -> Transition:
        validation = Validation(one.node, one.cause, cluster.log, one.mark)
        asked = await cluster.log.scan(validation, after=one.mark)
        return await _ended(ctx, cluster, one, asked.ref)

    done = await on_each(fault, look)
    repaired = [
        (one, ended(cluster.log, one.mark, Repair(one.node, one.cause, cluster.log, one.mark)))
        for one in fault.every
    ]
    if seen := [(one, found) for one, found in repaired if found is not None]:
        measure(ctx, "time_to_remediate", seen)
    return ValidationOutputs(
        node=fault.node,
        nodes=[one.node for one in fault.every],
        resource=", ".join(str(one.ref) for one in done),
        after=measure(ctx, "time_to_validate", list(zip(fault.every, done, strict=True))),
    )


async def _ended(ctx: Context, cluster: Cluster, fault: NodeFault, resource: Ref) -> Transition:
    """The success of what was asked for. Raises StepFailed."""
    ctx.progress(f"waiting for {resource}")
    end = await cluster.log.first(
        lambda one: one.ref == resource and one.what in REPAIR_ENDS, after=fault.mark
    )
    if end.what is not What.MAINTENANCE_DONE:
        how = "has failed" if end.what is What.MAINTENANCE_FAILED else f"was {end.change.to}"
        raise StepFailed(f"{resource} {how}", evidence={"node": fault.node})
    return end
