"""Loads the shim by admission: pods get it as they are created, and their workload's spec stays as it is.

In this order: dry runs of the two ways (admission_ways: is it served, may we?), the undo's record, the objects of the
best way, a dry run of a pod that has to show the change (else the next way), and then the target's pods are replaced a
few at a time.
"""

from collections.abc import Mapping

import anyio

from offbus.errors import StepError, StepFailed
from offbus.step import Context
from offbus_steps.cluster.cluster import Cluster
from offbus_steps.port import Conflict, Forbidden, Invalid, Object
from offbus_steps.prepare.admission_methods import GATES, Admitted, Way, Ways, ways_of
from offbus_steps.prepare.dry_run import dry_run_pod, shown
from offbus_steps.prepare.replace_pods import replace_pods
from offbus_steps.prepare.undo_admission import RemoveAdmission
from offbus_steps.workloads import pods
from offbus_steps.workloads.shim_fields import is_loaded_with
from offbus_steps.workloads.target import Target

__all__ = ["load_by_admission"]

SHOWS_WITHIN_S = 30.0
"""A policy is in effect 0.8 s after it was created on a quiet server."""
LOOK_AGAIN_S = 0.25
WAYS_OUT = "or use `by: patch`"
HINT = f"{GATES}; deploy/webhook is the way where it cannot be; {WAYS_OUT}"


async def load_by_admission(
    ctx: Context, cluster: Cluster, target: Target, running: list[Object], images: Mapping[str, str]
) -> None:
    """Put a way into effect and replace the pods. Raises StepError, StepFailed."""
    sample = _sample(target, running)
    name = f"offbus-{ctx.run_id}-{ctx.step.replace('_', '-')}"
    ways = await ways_of(cluster, Admitted(name, ctx.run_id, target, images))
    if not ways.taken:
        raise StepError(_none(ways.missing), hint=HINT)
    await ctx.undo(RemoveAdmission(policy=name, target=target))
    way = await _put_into_effect(cluster, ways, sample)
    ctx.observed(
        lane="workload", subject=str(target), to="shim wanted", evidence={"by": way.kind, "name": name}
    )
    try:
        await replace_pods(cluster, target, lambda pod: bool(pod.gpus) and not pod.shim, ctx.progress)
    except StepFailed as err:
        if await _shows(cluster, sample):
            raise
        raise StepFailed(f"{err.message}; {way.idle}") from err


def _sample(target: Target, running: list[Object]) -> Object:
    """A pod to try the way on."""
    found = [dry_run_pod(one) for one in running if pods.gpu_request(one["spec"])]
    if not found:
        raise StepError(f"{target} runs no pod that asks for GPUs", hint="wait until it is ready")
    return found[0]


async def _put_into_effect(cluster: Cluster, ways: Ways, sample: Object) -> Way:
    """The first way whose effect shows. What an earlier one left changes nothing, and goes with the undo."""
    why = list(ways.missing)
    for way in ways.taken:
        for one in way.objects:
            await _create(cluster, one)
        if await _takes_effect(cluster, sample):
            return way
        why.append(f"{way.idle} (a dry run of a pod shows no shim after {SHOWS_WITHIN_S:g} s)")
    raise StepError(_none(why), hint=HINT)


async def _create(cluster: Cluster, obj: Object) -> None:
    try:
        await cluster.port.objects.create(obj)
    except Conflict as err:
        raise StepError(
            f"{err.message}: somebody else made it just now", hint="`offbus recover` undoes a run left over"
        ) from err


async def _takes_effect(cluster: Cluster, sample: Object) -> bool:
    """Whether pods are changed. There is nothing to watch: the server is asked."""
    with anyio.move_on_after(SHOWS_WITHIN_S):
        while not await _shows(cluster, sample):  # noqa: ASYNC110  what admission does cannot be watched
            await anyio.sleep(LOOK_AGAIN_S)
        return True
    return False


async def _shows(cluster: Cluster, sample: Object) -> bool:
    try:
        pod = await shown(cluster, sample)
    except (Forbidden, Invalid) as err:
        raise StepError(
            f"no dry run can show that admission works: {err.message}", hint=f"make room for one, {WAYS_OUT}"
        ) from err
    return any(map(is_loaded_with, pods.containers(pod["spec"])))


def _none(why: list[str] | tuple[str, ...]) -> str:
    return f"by: admission is not possible here: {'; '.join(why)}"
