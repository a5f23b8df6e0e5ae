"""Runs `await_cordon`, `await_drain`, `await_uncordon`: what the responder does about a fault, in the run's watches.

Each considers everything since the injection's mark, so a responder that is faster than the steps is not missed, and
passes only when the responder marks the change as its own. When a step injected faults on several nodes, each of them
has to show it, after its own injection. Times count from the injection to when the runner saw the change; of several
nodes, the longest is measured.
"""

from collections.abc import Callable, Sequence
from datetime import timedelta

from offbus.errors import StepFailed
from offbus.step import Context
from offbus_steps.agents.each_fault import measure, nodes_of, on_each, required_fault
from offbus_steps.agents.fault_model import Fault, NodeFault
from offbus_steps.cluster.cluster import Cluster, cluster_of
from offbus_steps.nvsentinel import names
from offbus_steps.observe.step_types import ResponseOutputs, ResponseParams
from offbus_steps.port import Ref
from offbus_steps.watch.event_log import Transition, World
from offbus_steps.watch.projections import NodeProjection
from offbus_steps.watch.transitions import What

__all__ = ["await_cordon", "await_drain", "await_uncordon", "is_detection"]


async def await_cordon(ctx: Context, params: ResponseParams) -> ResponseOutputs:
    """Wait until the responder has cordoned every faulted node."""
    cluster, fault = cluster_of(ctx), required_fault(params.fault)
    ctx.progress(f"waiting for the responder to cordon {nodes_of(fault)}")

    def quarantined(node: NodeProjection) -> bool:
        return node.cordoned and names.cordoned_by_responder(node.labels, node.annotations)

    async def look(one: NodeFault) -> Transition | None:
        await cluster.log.ever(_on(one.node, quarantined), after=one.mark)
        return _first(cluster, one, lambda seen: seen.what is What.NODE_CORDONED)

    cordoned = await on_each(fault, look)
    detected = [(one, _first(cluster, one, is_detection)) for one in fault.every]
    _measure_slowest(ctx, "time_to_detect", detected)
    return _outputs(ctx, "time_to_cordon", fault, cordoned)


async def await_drain(ctx: Context, params: ResponseParams) -> ResponseOutputs:
    """Wait until the responder has drained every faulted node, and the pods that held the faulted GPUs have left."""
    cluster, fault = cluster_of(ctx), required_fault(params.fault)
    ctx.progress(f"waiting for the responder to drain {nodes_of(fault)}")

    async def look(one: NodeFault) -> Transition | None:
        at_the_mark, gpus = next(cluster.log.replay(one.mark)), set(one.gpus)
        leaving = {pod.uid for pod in at_the_mark.pods() if pod.node == one.node and set(pod.devices) & gpus}

        def ended(world: World) -> bool:
            node = world.node(one.node)
            return node is not None and node.state in (names.DRAINED_STATES | {names.NodeState.DRAIN_FAILED})

        def gone(world: World) -> bool:
            return not any(pod.uid in leaving and pod.active for pod in world.pods())

        await cluster.log.ever(ended, after=one.mark)
        drained = _first(
            cluster,
            one,
            lambda seen: (
                seen.what is What.NODE_STATE and seen.change.to.removeprefix("state ") in names.DRAINED_STATES
            ),
        )
        if drained is None:
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

    def lifted(node: NodeProjection) -> bool:
        return not node.cordoned and names.uncordoned_by_responder(node.labels, node.annotations)

    async def look(one: NodeFault) -> Transition | None:
        uncordoned = await cluster.log.first(
            lambda seen: seen.what is What.NODE_UNCORDONED and seen.ref == Ref("Node", one.node),
            after=one.mark,
        )
        await cluster.log.ever(_on(one.node, lifted), after=one.mark)
        return uncordoned

    uncordoned = await on_each(fault, look)
    _measure_slowest(ctx, "time_to_remediate", [(one, _remedy(cluster, one)) for one in fault.every])
    return _outputs(ctx, "time_to_uncordon", fault, uncordoned)


def _outputs(ctx: Context, name: str, fault: Fault, seen: Sequence[Transition | None]) -> ResponseOutputs:
    after = _measure_slowest(ctx, name, list(zip(fault.every, seen, strict=True)))
    return ResponseOutputs(node=fault.node, nodes=[one.node for one in fault.every], after=after)


def _on(name: str, holds: Callable[[NodeProjection], bool]) -> Callable[[World], bool]:
    def on_the_node(world: World) -> bool:
        node = world.node(name)
        return node is not None and holds(node)

    return on_the_node


def _first(cluster: Cluster, fault: NodeFault, wanted: Callable[[Transition], bool]) -> Transition | None:
    node = Ref("Node", fault.node)
    return next((one for one in cluster.log.since(fault.mark) if one.ref == node and wanted(one)), None)


def _remedy(cluster: Cluster, fault: NodeFault) -> Transition | None:
    """The end of the repair: as the responder's own resource says; without one, the all-clear."""
    since = cluster.log.since(fault.mark)
    done = (
        one
        for one in since
        if one.what is What.MAINTENANCE_DONE and one.change.evidence["node"] == fault.node
    )
    return next(done, None) or _first(
        cluster,
        fault,
        lambda one: one.what is What.NODE_CONDITION and names.is_healthy_condition(one.change.evidence),
    )


def is_detection(one: Transition) -> bool:
    """Whether the responder reports a node as unhealthy: by a condition, or an Event."""
    evidence = one.change.evidence
    if one.what is What.NODE_REPORTED:
        return True
    unhealthy = str(evidence.get("reason", "")).endswith(names.UNHEALTHY_SUFFIX)
    return one.what is What.NODE_CONDITION and evidence["status"] == "True" and unhealthy


def _measure_slowest(
    ctx: Context, name: str, seen: Sequence[tuple[NodeFault, Transition | None]]
) -> timedelta | None:
    found = [(fault, one) for fault, one in seen if one is not None]
    return measure(ctx, name, found) if found else None
