"""Runs `await_recovery`: the target is whole again, elsewhere, and answers.

Recovered means: the desired replicas are ready, none of them on the faulted node (unless `moved: false`), and the
newest `answers` requests since then were answered well: those of a `load` count, this step sends the rest.
`time_to_recover` counts from the injection to the later of two: the beginning of the period in which the replicas are
ready, and the last of the good answers that were needed after the last failure. When requests were sent throughout and
none failed, it counts to the replicas alone, and `no_outage` is true; when none were sent, it is not known. Of several
nodes' faults it counts from the first one, and no period begins before the last one.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import timedelta
from itertools import takewhile
from typing import Any

from offbus.errors import StepError
from offbus.step import Context
from offbus_steps.agents.each_fault import required_fault
from offbus_steps.agents.fault_model import Fault
from offbus_steps.cluster.cluster import Cluster, cluster_of
from offbus_steps.inference.ask import ask_frontend, question_for
from offbus_steps.inference.headers import sent
from offbus_steps.inference_client.statistics import Outcome
from offbus_steps.observe.step_types import RecoveryOutputs, RecoveryParams
from offbus_steps.watch.event_log import Since, World
from offbus_steps.watch.readiness import progress_of
from offbus_steps.watch.target_pods import target_pods
from offbus_steps.workloads.target import Target, required_target

__all__ = ["await_recovery", "good_in_a_row", "recovered_ns"]


async def await_recovery(ctx: Context, params: RecoveryParams) -> RecoveryOutputs:
    """Wait until the target is complete, then until it answers; start over when it broke meanwhile."""
    cluster, fault, target = cluster_of(ctx), required_fault(params.fault), required_target(params.target)
    await sent(ctx, params.headers)  # a secret that cannot be read is no reason to wait
    await cluster.observer.watch_target(target)
    faulted = {fault.node, *fault.nodes} if params.moved else set()
    last = max(fault.every, key=lambda one: one.mark)
    complete, begun_ns = _complete(target, faulted), ctx.now_ns()
    while True:
        await cluster.log.until(progress_of(target, ctx.progress, complete))
        since = cluster.log.since_when(complete, after=last.mark) or Since(0, None)
        ready = Since(max(since.mono_ns, last.injected_ns), since.seq)  # at the earliest since the last fault
        if await _answers_well(ctx, cluster, target, params, ready.mono_ns) and complete(cluster.log.world):
            return _outputs(ctx, cluster, fault, target, params.answers, ready, begun_ns)


def _complete(target: Target, without: Collection[str]) -> Callable[[World], bool]:
    def holds(world: World) -> bool:
        workload = world.workload(target.ref)
        pods = [pod for pod in target_pods(world, target) if pod.active]
        elsewhere = all(not pod.gpus or pod.node not in without for pod in pods)
        return workload is not None and elsewhere and sum(pod.ready for pod in pods) >= workload.desired

    return holds


async def _answers_well(
    ctx: Context, cluster: Cluster, target: Target, params: RecoveryParams, since_ns: int
) -> bool:
    """Whether enough answers in a row are good; sends the requests that are missing. False after a bad one."""
    try:
        question = await question_for(ctx, cluster, target, params)
    except StepError as err:
        ctx.progress(f"not yet: {err.message}")
        await ctx.sleep(params.pause)
        return False
    answers = cluster.answers_of(target.ref)
    while (good := good_in_a_row(answers.ended, since_ns)) < params.answers:
        ctx.progress(f"{target}: {good} of {params.answers} good answers")
        asked = await ask_frontend(cluster, ctx, target, question, params.request_timeout)
        await ctx.sleep(params.pause)
        if not asked.outcome.good:
            return False
    return True


def good_in_a_row(outcomes: Sequence[Outcome], since_ns: int) -> int:
    """How many of the newest answers to requests begun after `since_ns` are good. Path errors do not count. Pure."""
    counted = sorted((one for one in outcomes if not one.path_error), key=lambda one: one.ended_ns)
    newest = takewhile(lambda one: one.good and one.begun_ns >= since_ns, reversed(counted))
    return sum(1 for _ in newest)


def _outputs(
    ctx: Context,
    cluster: Cluster,
    fault: Fault,
    target: Target,
    answers: int,
    ready: Since,
    begun_ns: int,
) -> RecoveryOutputs:
    outcomes = cluster.answers_of(target.ref).since(fault.injected_ns)
    watched = any(one.ended_ns <= max(ready.mono_ns, begun_ns) for one in outcomes)
    no_outage = all(one.good for one in outcomes) if watched else None
    end_ns = recovered_ns(outcomes, ready.mono_ns, answers, watched=watched)
    pods = [pod for pod in target_pods(cluster.log.world, target) if pod.active]
    nodes = sorted({pod.node for pod in pods})
    _record(ctx, target, fault, ready, end_ns, {"no_outage": no_outage, "nodes": nodes})
    return RecoveryOutputs(
        after=_after(fault, end_ns),
        no_outage=no_outage,
        replicas=sum(pod.ready for pod in pods),
        restarts=sum(pod.restarts for pod in pods),
        nodes=nodes,
    )


def _record(
    ctx: Context, target: Target, fault: Fault, ready: Since, end_ns: int, evidence: Mapping[str, Any]
) -> None:
    """Journal the recovery, and the metric with the event that decides it: the last ready replica, or the answers."""
    by_answers = end_ns > ready.mono_ns
    seen = ctx.observed(
        lane="workload",
        subject=str(target),
        to="recovered",
        tone="good",
        evidence={**evidence, "decided_by": "answers" if by_answers else "replicas", "ready_seq": ready.seq},
    )
    decisive = ready.seq if ready.seq is not None and not by_answers else seen.seq
    ctx.metric("time_to_recover", _after(fault, end_ns), derived_from=(fault.injected_seq, decisive))


def _after(fault: Fault, end_ns: int) -> timedelta:
    return timedelta(microseconds=(end_ns - fault.injected_ns) / 1000)


def recovered_ns(outcomes: Sequence[Outcome], ready_ns: int, answers: int, *, watched: bool = True) -> int:
    """When a target had recovered: `ready_ns`, or later the end of the `answers`-th good answer after the last
    failure. Not `watched` (no requests before this step): after `ready_ns`. Pure; outcomes since the injection,
    without path errors."""
    ordered = sorted(outcomes, key=lambda one: one.ended_ns)
    failed = [index for index, one in enumerate(ordered) if not one.good]
    if not failed and watched:
        return ready_ns
    good = ordered[failed[-1] + 1 :] if failed else [one for one in ordered if one.begun_ns >= ready_ns]
    return max([ready_ns, *(one.ended_ns for one in good[:answers])])
