"""`await_cordon`, `await_drain`, `await_uncordon`: what the responder does about a fault, seen in the run's watches.

    - {id: cordon,   uses: await_cordon,   timeout: 3m}
    - {id: drain,    uses: await_drain,    timeout: 5m}
    - {id: uncordon, uses: await_uncordon, timeout: 10m}

Each looks at everything since the injection's mark, so a responder that was faster than the steps is not missed, and
passes only when the responder itself says that the change is its own. Times count from the injection to the moment in
which the runner saw the change.
"""

from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Annotated, Any

from pydantic import Field

from offbus.errors import StepError, StepFailed
from offbus.step import Context, FromAncestor, Kind, Outputs, Params, StepType
from offbus_steps import responder
from offbus_steps.cluster import Cluster, cluster_of
from offbus_steps.faults import Fault
from offbus_steps.observations import Transition, World
from offbus_steps.port import Ref
from offbus_steps.transitions import What
from offbus_steps.views import NodeView, PodView

__all__ = [
    "AWAIT_CORDON",
    "AWAIT_DRAIN",
    "AWAIT_UNCORDON",
    "ResponseOutputs",
    "ResponseParams",
    "is_detection",
    "measure",
    "required_fault",
    "response_step",
]


class ResponseParams(Params):
    """Which fault's response."""

    fault: Annotated[Fault | None, FromAncestor("fault")] = Field(
        default=None, description="The fault; by default that of the ancestor that outputs one."
    )


class ResponseOutputs(Outputs):
    """What the responder did, and when."""

    node: str = Field(description="The faulted node.")
    after: timedelta | None = Field(
        default=None, description="From the injection; unset when it was so before."
    )


def required_fault(fault: Fault | None) -> Fault:
    """The fault; the language sees to it that there is one."""
    if fault is None:
        raise StepError("no fault", hint="put an injecting step above, or give `fault`")
    return fault


async def await_cordon(ctx: Context, params: ResponseParams) -> ResponseOutputs:
    """Wait until the responder has cordoned the faulted node."""
    cluster, fault = cluster_of(ctx), required_fault(params.fault)
    ctx.progress(f"waiting for the responder to cordon {fault.node}")

    def quarantined(node: NodeView) -> bool:
        return node.cordoned and responder.cordoned_by_responder(node.labels, node.annotations)

    await cluster.log.ever(_on(fault.node, quarantined), after=fault.mark)
    _measure_if_seen(ctx, "time_to_detect", fault, _first(cluster, fault, is_detection))
    cordoned = _first(cluster, fault, lambda one: one.what is What.NODE_CORDONED)
    return ResponseOutputs(node=fault.node, after=_measure_if_seen(ctx, "time_to_cordon", fault, cordoned))


async def await_drain(ctx: Context, params: ResponseParams) -> ResponseOutputs:
    """Wait until the responder has drained the node, and the pods that held the faulted GPUs have left it."""
    cluster, fault = cluster_of(ctx), required_fault(params.fault)
    ctx.progress(f"waiting for the responder to drain {fault.node}")
    leaving = _holders(cluster, fault)

    def ended(world: World) -> bool:
        node = world.node(fault.node)
        return node is not None and node.state in (responder.DRAINED_STATES | {responder.DRAIN_FAILED})

    def left(world: World) -> bool:
        return not any(pod.uid in leaving and pod.active for pod in world.pods())

    await cluster.log.ever(ended, after=fault.mark)
    drained = _first(cluster, fault, _is_drained)
    if drained is None:
        raise StepFailed(f"the responder failed to drain {fault.node}", hint="its pods may not be evictable")
    await cluster.log.ever(left, after=fault.mark)
    return ResponseOutputs(node=fault.node, after=_measure_if_seen(ctx, "time_to_drain", fault, drained))


async def await_uncordon(ctx: Context, params: ResponseParams) -> ResponseOutputs:
    """Wait until the responder has lifted its quarantine and uncordoned the node."""
    cluster, fault = cluster_of(ctx), required_fault(params.fault)
    ctx.progress(f"waiting for the responder to uncordon {fault.node}")

    def lifted(node: NodeView) -> bool:
        return not node.cordoned and responder.uncordoned_by_responder(node.labels, node.annotations)

    uncordoned = await cluster.log.first(
        lambda one: one.what is What.NODE_UNCORDONED and one.ref == Ref("Node", fault.node), after=fault.mark
    )
    await cluster.log.ever(_on(fault.node, lifted), after=fault.mark)
    _measure_if_seen(ctx, "time_to_remediate", fault, _remedy(cluster, fault))
    return ResponseOutputs(
        node=fault.node, after=_measure_if_seen(ctx, "time_to_uncordon", fault, uncordoned)
    )


def _on(name: str, holds: Callable[[NodeView], bool]) -> Callable[[World], bool]:
    def answer(world: World) -> bool:
        node = world.node(name)
        return node is not None and holds(node)

    return answer


def _holders(cluster: Cluster, fault: Fault) -> set[str]:
    """Uids of the pods that held the faulted GPUs at the injection, or came to them on that node since."""

    def held(pod: PodView) -> bool:
        return pod.node == fault.node and bool(set(pod.devices) & set(fault.gpus))

    at_the_mark = next(cluster.log.replay(fault.mark))
    return {pod.uid for pod in at_the_mark.pods() if held(pod)}


def _first(cluster: Cluster, fault: Fault, wanted: Callable[[Transition], bool]) -> Transition | None:
    node = Ref("Node", fault.node)
    return next((one for one in cluster.log.since(fault.mark) if one.ref == node and wanted(one)), None)


def _remedy(cluster: Cluster, fault: Fault) -> Transition | None:
    """When the repair was done: as the responder's own resource says it; where it made none, the all-clear."""
    since = cluster.log.since(fault.mark)
    done = (
        one
        for one in since
        if one.what is What.MAINTENANCE_DONE and one.change.evidence["node"] == fault.node
    )
    return next(done, None) or _first(cluster, fault, _is_remedy)


def is_detection(one: Transition) -> bool:
    """Whether it is the responder's word that a node is not well: a condition, or an Event."""
    evidence = one.change.evidence
    if one.what is What.NODE_REPORTED:
        return True
    unhealthy = str(evidence.get("reason", "")).endswith(responder.UNHEALTHY_SUFFIX)
    return one.what is What.NODE_CONDITION and evidence["status"] == "True" and unhealthy


def _is_remedy(one: Transition) -> bool:
    evidence = one.change.evidence
    healthy = str(evidence.get("reason", "")).endswith(responder.HEALTHY_SUFFIX)
    return one.what is What.NODE_CONDITION and evidence["status"] == "False" and healthy


def _is_drained(one: Transition) -> bool:
    return one.what is What.NODE_STATE and one.change.to.removeprefix("state ") in responder.DRAINED_STATES


def _measure_if_seen(ctx: Context, name: str, fault: Fault, seen: Transition | None) -> timedelta | None:
    return None if seen is None else measure(ctx, name, fault, seen)


def measure(ctx: Context, name: str, fault: Fault, seen: Transition) -> timedelta:
    """Journal the time from the injection to a transition."""
    took = timedelta(microseconds=(seen.mono_ns - fault.injected_ns) / 1000)
    ctx.metric(name, took, "s", derived_from=(fault.injected_seq, seen.seq))
    return took


def response_step(
    name: str,
    summary: str,
    run: Callable[[Any, Any], Awaitable[Any]],
    minutes: int,
    metrics: Mapping[str, str],
    outputs: type[Outputs] = ResponseOutputs,
) -> StepType:
    """A step type that waits for the responder."""
    return StepType(
        name=name,
        kind=Kind.OBSERVATION,
        summary=summary,
        params=ResponseParams,
        outputs=outputs,
        run=run,
        timeout=timedelta(minutes=minutes),
        metrics=metrics,
        examples=(f"{{id: {name.removeprefix('await_')}, uses: {name}, timeout: {minutes}m}}",),
    )


AWAIT_CORDON = response_step(
    "await_cordon",
    "Wait until the responder has cordoned the faulted node.",
    await_cordon,
    3,
    {"time_to_detect": "duration", "time_to_cordon": "duration"},
)
AWAIT_DRAIN = response_step(
    "await_drain",
    "Wait until the responder has drained the faulted node.",
    await_drain,
    5,
    {"time_to_drain": "duration"},
)
AWAIT_UNCORDON = response_step(
    "await_uncordon",
    "Wait until the responder has lifted its quarantine.",
    await_uncordon,
    10,
    {"time_to_remediate": "duration", "time_to_uncordon": "duration"},
)
