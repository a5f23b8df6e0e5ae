"""`await_recovery`: the target is whole again, elsewhere, and answers.

    - {id: moved, uses: await_recovery, timeout: 10m}

Recovered means: the desired replicas are ready, none of them on the faulted node (unless `moved: false`), and
`answers` requests in a row were answered well. `time_to_recover` counts from the injection to the later of the two:
the beginning of the stretch in which the replicas are ready, and the last of those good answers after the last
failure that the run saw. Where no request failed it counts to the replicas alone, and `no_outage` is true.
"""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Annotated

from pydantic import Field

from offbus.durations import Duration
from offbus.errors import StepError
from offbus.step import Context, FromAncestor, Kind, Outputs, StepType
from offbus_steps.asking import AskParams, ask_frontend, question_for
from offbus_steps.cluster import Cluster, cluster_of
from offbus_steps.faults import Fault
from offbus_steps.observations import World
from offbus_steps.prepare import required_target
from offbus_steps.response import required_fault
from offbus_steps.rollout import progress_of
from offbus_steps.stats import Outcome
from offbus_steps.target import Target, target_pods

__all__ = ["AWAIT_RECOVERY", "RecoveryOutputs", "RecoveryParams", "recovered_ns"]


class RecoveryParams(AskParams):
    """What recovered means."""

    fault: Annotated[Fault | None, FromAncestor("fault")] = Field(
        default=None, description="The fault; by default that of the ancestor that outputs one."
    )
    moved: bool = Field(
        default=True, description="No pod of the target that uses GPUs may be on the faulted node."
    )
    answers: int = Field(default=5, ge=1, description="Good answers in a row.")
    pause: Duration = Field(default=timedelta(milliseconds=100), description="Between two requests.")


class RecoveryOutputs(Outputs):
    """How and when it recovered."""

    after: timedelta = Field(description="From the injection.")
    no_outage: bool = Field(description="No request failed since the injection.")
    replicas: int = Field(description="Ready pods.")
    restarts: int = Field(description="How often the containers of these pods have restarted.")
    nodes: list[str] = Field(description="Where its pods run now.")


async def await_recovery(ctx: Context, params: RecoveryParams) -> RecoveryOutputs:
    """Wait until the target is whole, then until it answers; look again when it broke meanwhile."""
    cluster, fault, target = cluster_of(ctx), required_fault(params.fault), required_target(params.target)
    await cluster.observer.watch_target(target)
    whole = _whole(target, fault.node if params.moved else None)
    while True:
        await cluster.log.until(progress_of(target, ctx.progress, whole))
        if await _answers_well(ctx, cluster, target, params) and whole(cluster.log.world):
            return _outputs(ctx, cluster, fault, target, params, whole)


def _whole(target: Target, without: str | None) -> Callable[[World], bool]:
    def holds(world: World) -> bool:
        workload = world.workload(target.ref)
        pods = [pod for pod in target_pods(world, target) if pod.active]
        elsewhere = all(not pod.gpus or pod.node != without for pod in pods)
        return workload is not None and elsewhere and sum(pod.ready for pod in pods) >= workload.desired

    return holds


async def _answers_well(ctx: Context, cluster: Cluster, target: Target, params: RecoveryParams) -> bool:
    """Ask until enough answers in a row are good; False at the first that is not, after a pause."""
    try:
        question = await question_for(cluster, target, params)
    except StepError as err:
        ctx.progress(f"not yet: {err.message}")
        await ctx.sleep(params.pause)
        return False
    for number in range(params.answers):
        ctx.progress(f"{target}: {number} of {params.answers} good answers")
        asked = await ask_frontend(cluster, ctx, target, question, params.request_timeout)
        await ctx.sleep(params.pause)
        if not asked.outcome.good:
            return False
    return True


def _outputs(
    ctx: Context,
    cluster: Cluster,
    fault: Fault,
    target: Target,
    params: RecoveryParams,
    whole: Callable[[World], bool],
) -> RecoveryOutputs:
    outcomes = cluster.answers.since(fault.injected_ns)
    ready_ns = cluster.log.since_when(whole, after=fault.mark) or fault.injected_ns
    no_outage = all(one.good for one in outcomes)
    end_ns = recovered_ns(outcomes, max(ready_ns, fault.injected_ns), params.answers)
    after = timedelta(microseconds=(end_ns - fault.injected_ns) / 1000)
    pods = [pod for pod in target_pods(cluster.log.world, target) if pod.active]
    nodes = sorted({pod.node for pod in pods})
    seen = ctx.observed(
        lane="workload",
        subject=str(target),
        to="recovered",
        evidence={"no_outage": no_outage, "nodes": nodes},
    )
    ctx.metric("time_to_recover", after, "s", derived_from=(fault.injected_seq, seen.seq))
    return RecoveryOutputs(
        after=after,
        no_outage=no_outage,
        replicas=sum(pod.ready for pod in pods),
        restarts=sum(pod.restarts for pod in pods),
        nodes=nodes,
    )


def recovered_ns(outcomes: Sequence[Outcome], ready_ns: int, answers: int) -> int:
    """When a target had recovered: `ready_ns`, or later the end of the `answers`-th good answer after the last
    failure. Pure; outcomes since the injection, path errors left out."""
    ordered = sorted(outcomes, key=lambda one: one.ended_ns)
    failed = [index for index, one in enumerate(ordered) if not one.good]
    if not failed:
        return ready_ns
    good = ordered[failed[-1] + 1 :][:answers]
    return max([ready_ns, *(one.ended_ns for one in good)])


AWAIT_RECOVERY = StepType(
    name="await_recovery",
    kind=Kind.OBSERVATION,
    summary="Wait until the target's replicas are ready elsewhere and it answers again.",
    params=RecoveryParams,
    outputs=RecoveryOutputs,
    run=await_recovery,
    timeout=timedelta(minutes=10),
    metrics={"time_to_recover": "duration"},
    examples=("{id: moved, uses: await_recovery, timeout: 10m}",),
)
