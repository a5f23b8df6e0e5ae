"""Runs `await_quarantine`, `await_cordon`, `await_drain`, `await_uncordon`: they wait for what `consequences` decides.

Each considers everything since the injection's mark, so a responder that is faster than the steps is not missed, and
passes only when the change is the responder's answer to this fault (`offbus_steps.watch.consequences`): not when
somebody cordons the node by hand, nor when the responder does so for something else. When a step injected faults on
several nodes, each of them has to show it, after its own injection. Times count from the injection to when the runner
saw the change; of several nodes, the longest is measured.

`await_quarantine` goes by the node's marks alone, so a responder in dry run passes it. The others need what a dry run
leaves out: they are refused at once when the responder was in dry run at the injection.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta

from anyio import move_on_after

from offbus.errors import StepFailed
from offbus.step import Context
from offbus_steps.agents.each_fault import measure, nodes_of, on_each, required_fault
from offbus_steps.agents.fault_model import Fault, NodeFault
from offbus_steps.cluster.cluster import cluster_of
from offbus_steps.nvsentinel import names
from offbus_steps.nvsentinel.names import DRAINED_STATES, NodeState
from offbus_steps.observe.step_types import (
    AWAIT_CORDON,
    AWAIT_DRAIN,
    AWAIT_UNCORDON,
    QuarantineOutputs,
    QuarantineParams,
    ResponseOutputs,
    ResponseParams,
)
from offbus_steps.watch.consequences import (
    Cordon,
    Detection,
    Drain,
    Marked,
    Repair,
    Uncordon,
    Validation,
    ended,
    first_of,
)
from offbus_steps.watch.event_log import Transition, World
from offbus_steps.watch.transitions import What

__all__ = [
    "DETECTED_WITHIN",
    "await_cordon",
    "await_drain",
    "await_quarantine",
    "await_uncordon",
]

DETECTED_WITHIN = timedelta(seconds=5)
"""How long a cordon's condition is waited for, which came 0.2 s after it (nvsentinel-observed.md); and an uncordon's
validation, which says that it has succeeded after it."""
REACHED: Mapping[NodeState, frozenset[NodeState]] = {
    NodeState.QUARANTINED: frozenset(NodeState),
    NodeState.DRAIN_SUCCEEDED: DRAINED_STATES,
    NodeState.REMEDIATION_SUCCEEDED: frozenset({NodeState.REMEDIATION_SUCCEEDED}),
}
"""The states that count as reached, by the state that is waited for."""
FAILED_BEFORE: Mapping[NodeState, frozenset[NodeState]] = {
    NodeState.QUARANTINED: frozenset(),
    NodeState.DRAIN_SUCCEEDED: frozenset({NodeState.DRAIN_FAILED}),
    NodeState.REMEDIATION_SUCCEEDED: frozenset({NodeState.DRAIN_FAILED, NodeState.REMEDIATION_FAILED}),
}
"""The states from which it is not reached any more."""


async def await_quarantine(ctx: Context, params: QuarantineParams) -> QuarantineOutputs:
    """Wait until the responder has marked every faulted node as in quarantine, as far as the wanted state."""
    cluster, fault = cluster_of(ctx), required_fault(params.fault)
    ctx.progress(f"waiting for the responder to mark {nodes_of(fault)}: {params.state}")
    wanted = NodeState(params.state)

    async def look(one: NodeFault) -> Transition:
        states = REACHED[wanted] | FAILED_BEFORE[wanted]
        seen = await cluster.log.scan(
            Marked(one.node, one.cause, cluster.log, one.mark, states), after=one.mark
        )
        if seen.change.to in {f"state {state}" for state in FAILED_BEFORE[wanted]}:
            raise StepFailed(f"the responder does not get to {wanted} on {one.node}: {seen.change.to}")
        return seen

    marked = await on_each(fault, look)
    found = [cluster.log.world.node(one.node) for one in fault.every]
    return QuarantineOutputs(
        node=fault.node,
        nodes=[one.node for one in fault.every],
        cordoned=all(one is not None and one.cordoned for one in found),
        after=measure(ctx, "time_to_quarantine", list(zip(fault.every, marked, strict=True))),
    )


async def await_cordon(ctx: Context, params: ResponseParams) -> ResponseOutputs:
    """Wait until the responder has cordoned every faulted node."""
    cluster, fault = cluster_of(ctx), required_fault(params.fault)
    cluster.require_acting(AWAIT_CORDON)
    ctx.progress(f"waiting for the responder to cordon {nodes_of(fault)}")

    async def look(one: NodeFault) -> Transition | None:
        quarantine = Cordon(one.node, one.cause, cluster.log, one.mark)
        (cordon,) = await cluster.log.scan(quarantine, after=one.mark)
        return cordon

    async def detected(one: NodeFault) -> Transition | None:
        """The condition and the cordon come by independent ways: the cordon may be the first."""
        with move_on_after(DETECTED_WITHIN.total_seconds()):
            return await cluster.log.scan(Detection(one.node, one.cause, one.fatal, one.id), after=one.mark)
        return None

    cordoned = await on_each(fault, look)
    found = await on_each(fault, detected)
    _measure_slowest(ctx, "time_to_detect", list(zip(fault.every, found, strict=True)))
    return _outputs(ctx, "time_to_cordon", fault, cordoned)


async def await_drain(ctx: Context, params: ResponseParams) -> ResponseOutputs:
    """Wait until the responder has drained every faulted node, and the pods that held the faulted GPUs have left."""
    cluster, fault = cluster_of(ctx), required_fault(params.fault)
    cluster.require_acting(AWAIT_DRAIN)
    ctx.progress(f"waiting for the responder to drain {nodes_of(fault)}")

    async def look(one: NodeFault) -> Transition | None:
        at_the_mark, gpus = next(cluster.log.replay(one.mark)), set(one.gpus)
        leaving = {pod.uid for pod in at_the_mark.pods() if pod.node == one.node and set(pod.devices) & gpus}

        def gone(world: World) -> bool:
            return not any(pod.uid in leaving and pod.active for pod in world.pods())

        drain = Drain(one.node, one.cause, cluster.log, one.mark)
        drained = await cluster.log.scan(drain, after=one.mark)
        if drained.change.to == f"state {names.NodeState.DRAIN_FAILED}":
            raise StepFailed(
                f"the responder failed to drain {one.node}", hint="check whether its pods can be evicted"
            )
        await cluster.log.ever(gone, after=one.mark)
        return drained

    return _outputs(ctx, "time_to_drain", fault, await on_each(fault, look))


async def await_uncordon(ctx: Context, params: ResponseParams) -> ResponseOutputs:
    """Wait until the responder has lifted its quarantine and uncordoned every faulted node."""
    cluster, fault = cluster_of(ctx), required_fault(params.fault)
    cluster.require_acting(AWAIT_UNCORDON)
    ctx.progress(f"waiting for the responder to uncordon {nodes_of(fault)}")

    async def look(one: NodeFault) -> Transition | None:
        uncordon = Uncordon(one.node, one.cause, cluster.log, one.mark)
        return await cluster.log.scan(uncordon, after=one.mark)

    uncordoned = await on_each(fault, look)
    repaired = [
        (one, ended(cluster.log, one.mark, Repair(one.node, one.cause, cluster.log, one.mark)))
        for one in fault.every
    ]
    _measure_slowest(ctx, "time_to_remediate", repaired)

    async def validated(one: NodeFault) -> Transition | None:
        """The node is released before its validation says that it has succeeded."""
        asked = first_of(
            cluster.log.updates(one.mark), Validation(one.node, one.cause, cluster.log, one.mark)
        )
        if asked is not None:
            with move_on_after(DETECTED_WITHIN.total_seconds()):
                return await cluster.log.first(
                    lambda seen: seen.ref == asked.ref and seen.what is What.MAINTENANCE_DONE, after=one.mark
                )
        return None

    found = await on_each(fault, validated)
    _measure_slowest(ctx, "time_to_validate", list(zip(fault.every, found, strict=True)))
    return _outputs(ctx, "time_to_uncordon", fault, uncordoned)


def _outputs(ctx: Context, name: str, fault: Fault, seen: Sequence[Transition | None]) -> ResponseOutputs:
    after = _measure_slowest(ctx, name, list(zip(fault.every, seen, strict=True)))
    return ResponseOutputs(node=fault.node, nodes=[one.node for one in fault.every], after=after)


def _measure_slowest(
    ctx: Context, name: str, seen: Sequence[tuple[NodeFault, Transition | None]]
) -> timedelta | None:
    found = [(fault, one) for fault, one in seen if one is not None]
    return measure(ctx, name, found) if found else None
