"""Runs `await_cordon`, `await_drain`, `await_uncordon`: what the responder does about a fault, in the run's watches.

Each considers everything since the injection's mark, so a responder that is faster than the steps is not missed, and
passes only when the change is the responder's answer to this fault (`offbus_steps.watch.consequences`): not when
somebody cordons the node by hand, nor when the responder does so for something else. When a step injected faults on
several nodes, each of them has to show it, after its own injection. Times count from the injection to when the runner
saw the change; of several nodes, the longest is measured.
"""

from collections.abc import Sequence
from datetime import timedelta

from anyio import move_on_after

from offbus.errors import StepFailed
from offbus.step import Context
from offbus_steps.agents.each_fault import measure, nodes_of, on_each, required_fault
from offbus_steps.agents.fault_model import Fault, NodeFault
from offbus_steps.cluster.cluster import cluster_of
from offbus_steps.nvsentinel import names
from offbus_steps.observe.step_types import ResponseOutputs, ResponseParams
from offbus_steps.watch.consequences import (
    Cordon,
    Detection,
    Drain,
    Repair,
    Uncordon,
    Validation,
    ended,
    first_of,
)
from offbus_steps.watch.event_log import Transition, World
from offbus_steps.watch.transitions import What

__all__ = ["DETECTED_WITHIN", "await_cordon", "await_drain", "await_uncordon"]

DETECTED_WITHIN = timedelta(seconds=5)
"""How long a cordon's condition is waited for, which came 0.2 s after it (nvsentinel-observed.md); and an uncordon's
validation, which says that it has succeeded after it."""


async def await_cordon(ctx: Context, params: ResponseParams) -> ResponseOutputs:
    """Wait until the responder has cordoned every faulted node."""
    cluster, fault = cluster_of(ctx), required_fault(params.fault)
    ctx.progress(f"waiting for the responder to cordon {nodes_of(fault)}")

    async def look(one: NodeFault) -> Transition | None:
        quarantine = Cordon(one.node, one.cause, cluster.log, one.mark)
        (cordon,) = await cluster.log.scan(quarantine, after=one.mark)
        return cordon

    async def detected(one: NodeFault) -> Transition | None:
        """The condition and the cordon come by independent ways: the cordon may be the first."""
        with move_on_after(DETECTED_WITHIN.total_seconds()):
            return await cluster.log.scan(Detection(one.node, one.cause, one.fatal), after=one.mark)
        return None

    cordoned = await on_each(fault, look)
    found = await on_each(fault, detected)
    _measure_slowest(ctx, "time_to_detect", list(zip(fault.every, found, strict=True)))
    return _outputs(ctx, "time_to_cordon", fault, cordoned)


async def await_drain(ctx: Context, params: ResponseParams) -> ResponseOutputs:
    """Wait until the responder has drained every faulted node, and the pods that held the faulted GPUs have left."""
    cluster, fault = cluster_of(ctx), required_fault(params.fault)
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
