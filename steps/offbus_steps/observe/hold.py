"""Runs `hold`: an expression stays true throughout, from the injection on.

The expression is evaluated for the state at the injection, for every observed change since, and for every change until
`for` has passed; the first time it is false the step fails with the values. By watch, so nothing in between is missed;
what the watches told is compared with what is there before the step passes, as a dropped watch looks like a quiet one.
When a step injected faults on several nodes, it must hold for each of them, since its own injection.
"""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import anyio

from offbus.errors import StepError, StepFailed
from offbus.step import Context
from offbus_steps.cluster.cluster import cluster_of
from offbus_steps.observe.step_types import VARIABLES, HoldOutputs, HoldParams
from offbus_steps.watch.event_log import Observations, World
from offbus_steps.watch.target_pods import target_pods
from offbus_steps.workloads.target import Target, required_target

__all__ = ["hold", "values_of"]


async def hold(ctx: Context, params: HoldParams) -> HoldOutputs:
    """Evaluate for every state since the injection until `for` has passed."""
    from offbus.language.cel.expressions import predicate

    cluster, target = cluster_of(ctx), required_target(params.target)
    await cluster.observer.watch_target(target)
    log = cluster.log
    marks, compiled = _marks(params, log.mark()), predicate(params.expr, VARIABLES)

    def check(world: World, node: str) -> None:
        values = values_of(world, node, target)
        if not compiled.evaluate(values):
            seen = ", ".join(f"{name}={value!r}" for name, value in values.items())
            message = f"{params.expr} did not hold on {node}: {seen}"
            raise StepFailed(message, evidence={"node": node, **values})

    ctx.progress(f"{params.expr} must hold on {', '.join(marks)}")
    count, looked_at = await _check_all(log, marks, check, params.for_)
    if (why := await cluster.missed_changes()) is not None:
        raise StepError(f"whether {params.expr} held could not be seen: {why}")
    for world in log.replay(looked_at):
        for node in marks:
            check(world, node)
    return HoldOutputs(evaluated=count)


def _marks(params: HoldParams, now: int) -> dict[str, int]:
    """Each node to check, with the mark to start from."""
    if params.node is not None:
        return {params.node: params.fault.mark if params.fault else now}
    if params.fault is None:
        raise StepError("no node to check", hint="set `node`, or inject a fault before this step")
    return {one.node: one.mark for one in params.fault.every}


async def _check_all(
    log: Observations, marks: Mapping[str, int], check: Callable[[World, str], None], time: timedelta
) -> tuple[int, int]:
    """Check every state since the marks, and every further one until the time is over.

    Returns the number of checks, and up to where in the log they went.
    """
    count, now = 0, log.mark()
    for node, mark in marks.items():
        for world in log.replay(mark):
            check(world, node)
            count += 1
    with anyio.move_on_after(time.total_seconds()):
        while True:
            await log.more(now)
            for world in log.replay(now):
                for node in marks:
                    check(world, node)
                    count += 1
            now = log.mark()
    return count, now


def values_of(world: World, node: str, target: Target) -> dict[str, Any]:
    """The variables in one state. Raises StepError when the node is gone."""
    found = world.node(node)
    if found is None:
        raise StepError(f"Node/{node} is gone")
    pods = [pod for pod in target_pods(world, target) if pod.active]
    workload = world.workload(target.ref)
    return {
        "node.cordoned": found.cordoned,
        "node.schedulable": not found.cordoned and not any(":No" in taint for taint in found.taints),
        "node.healthy": not found.unhealthy,
        "node.state": found.state,
        "target.ready": sum(pod.ready for pod in pods),
        "target.replicas": workload.desired if workload else 0,
        "target.restarts": sum(pod.restarts for pod in pods),
    }
