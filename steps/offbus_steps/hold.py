"""`hold`: something stays true all the time, from the injection on.

    - {id: calm, uses: hold, with: {expr: "node.schedulable && target.ready == 2", for: 30s}}

The expression is evaluated for the world at the injection, for every observed change since, and for every change until
`for` has passed; the first time it is false the step fails with what it saw. By watch, so nothing in between is missed.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any

import anyio
from pydantic import Field

from offbus.durations import Duration
from offbus.errors import StepError, StepFailed
from offbus.step import Context, Expr, FromAncestor, Kind, Outputs, Params, StepType
from offbus_steps.cluster import cluster_of
from offbus_steps.faults import Fault
from offbus_steps.observations import World
from offbus_steps.observer import TARGET_USES
from offbus_steps.prepare import required_target
from offbus_steps.target import Target, target_pods

__all__ = ["HOLD", "VARIABLES", "HoldOutputs", "HoldParams", "values_of"]

VARIABLES: Mapping[str, str] = {
    "node.cordoned": "bool",
    "node.schedulable": "bool",
    "node.healthy": "bool",
    "node.state": "string",
    "target.ready": "int",
    "target.replicas": "int",
    "target.restarts": "int",
}


class HoldParams(Params):
    """What must stay true, and for how long."""

    expr: Annotated[str, Expr(VARIABLES)] = Field(
        description="CEL over node.cordoned, node.schedulable, node.healthy (no fault condition of a responder), "
        "node.state (the responder's label), target.ready, target.replicas, target.restarts."
    )
    for_: Duration = Field(alias="for", description="How long from now.")
    target: Annotated[Target | None, FromAncestor("target")] = Field(
        default=None, description="The workload; by default that of the ancestor that outputs one."
    )
    fault: Annotated[Fault | None, FromAncestor("fault", optional=True)] = Field(
        default=None, description="From whose injection on; default: from now."
    )
    node: str | None = Field(default=None, description="Default: the faulted node.")


class HoldOutputs(Outputs):
    """It held."""

    evaluated: int = Field(description="How many worlds were looked at.")


async def hold(ctx: Context, params: HoldParams) -> HoldOutputs:
    """Evaluate for every world since the injection until the time is over."""
    from offbus.language.expressions import predicate

    cluster, target = cluster_of(ctx), required_target(params.target)
    node = params.node or (params.fault.node if params.fault else None)
    if node is None:
        raise StepError("which node is meant is not known", hint="give `node`, or inject a fault above")
    await cluster.observer.watch_target(target)
    compiled, count = predicate(params.expr, VARIABLES), 0
    seen = params.fault.mark if params.fault else cluster.log.mark()
    ctx.progress(f"{params.expr} must hold")
    with anyio.move_on_after(params.for_.total_seconds()):
        while True:
            for world in cluster.log.replay(seen):
                count += 1
                values = values_of(world, node, target)
                if not compiled.evaluate(values):
                    raise StepFailed(f"{params.expr} did not hold: {_words(values)}", evidence=values)
            seen = cluster.log.mark()
            await cluster.log.more(seen)
    return HoldOutputs(evaluated=count)


def values_of(world: World, node: str, target: Target) -> dict[str, Any]:
    """The variables in one world. Raises StepError when the node is gone."""
    view = world.node(node)
    if view is None:
        raise StepError(f"Node/{node} is gone")
    pods = [pod for pod in target_pods(world, target) if pod.active]
    workload = world.workload(target.ref)
    return {
        "node.cordoned": view.cordoned,
        "node.schedulable": not view.cordoned and not any(":No" in taint for taint in view.taints),
        "node.healthy": not view.unhealthy,
        "node.state": view.state,
        "target.ready": sum(pod.ready for pod in pods),
        "target.replicas": workload.desired if workload else 0,
        "target.restarts": sum(pod.restarts for pod in pods),
    }


def _words(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in values.items())


HOLD = StepType(
    name="hold",
    kind=Kind.OBSERVATION,
    summary="Check that something stays true from the injection on, by watch.",
    params=HoldParams,
    outputs=HoldOutputs,
    run=hold,
    timeout=timedelta(minutes=10),
    uses=TARGET_USES,
    examples=('{id: calm, uses: hold, with: {expr: "node.schedulable", for: 30s}}',),
)
