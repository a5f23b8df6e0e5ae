"""Loads the shim by admission: pods get it as they are created, and their workload's spec is not changed.

In this order: dry runs of the two methods (offbus_steps.prepare.admission_methods), the undo's record, the objects of
the preferred method, a dry run of a pod that has to show the change (else the next method), and then the target's pods
are replaced a few at a time.
"""

from collections.abc import Mapping

import anyio

from offbus.errors import StepError, StepFailed
from offbus.step import Context
from offbus_steps.cluster.cluster import Cluster
from offbus_steps.port import Conflict, Forbidden, Invalid, Object
from offbus_steps.prepare.admission_kinds import admission_name
from offbus_steps.prepare.admission_methods import GATES, Admitted, Method, Methods, supported_methods
from offbus_steps.prepare.dry_run import dry_run_pod
from offbus_steps.prepare.replace_pods import replace_pods
from offbus_steps.prepare.undo_admission import RemoveAdmission
from offbus_steps.workloads import gpus
from offbus_steps.workloads.shim_fields import loads_shim
from offbus_steps.workloads.target import Target

__all__ = ["load_by_admission"]

SHOWS_WITHIN_S = 30.0
"""On a quiet server a policy is in effect 0.8 s after it was created."""
LOOK_AGAIN_S = 0.25
BY_PATCH = "or use `by: patch`"
HINT = f"{GATES}; where that is not possible use deploy/webhook; {BY_PATCH}"
NOT_POSSIBLE = "by: admission is not possible here: "


async def load_by_admission(
    ctx: Context, cluster: Cluster, target: Target, running: list[Object], images: Mapping[str, str]
) -> None:
    """Put a method into effect and replace the pods. Raises StepError, StepFailed."""
    samples = [dry_run_pod(one) for one in running if gpus.gpu_request(one["spec"])]
    if not samples:
        raise StepError(f"{target} runs no pod that requests GPUs", hint="wait until it is ready")
    name = admission_name(ctx.run_id, ctx.step)
    methods = await supported_methods(cluster, Admitted(name, ctx.run_id, target, images))
    if not methods.supported:
        raise StepError(NOT_POSSIBLE + "; ".join(methods.missing), hint=HINT)
    await ctx.undo(RemoveAdmission(policy=name, target=target))
    method = await _put_into_effect(cluster, methods, samples[0])
    ctx.observed(
        lane="workload", subject=str(target), to="shim wanted", evidence={"by": method.kind, "name": name}
    )
    try:
        await replace_pods(cluster, target, lambda pod: bool(pod.gpus) and not pod.shim, ctx.progress)
    except StepFailed as err:
        if await _shows(cluster, samples[0]):
            raise
        raise StepFailed(f"{err.message}; {method.idle}") from err


async def _put_into_effect(cluster: Cluster, methods: Methods, sample: Object) -> Method:
    """The first method whose effect shows. Objects of an earlier one have no effect, and the undo removes them."""
    why = list(methods.missing)
    for method in methods.supported:
        for one in method.objects:
            try:
                await cluster.port.objects.create(one)
            except Conflict as err:
                raise StepError(
                    f"{err.message}: somebody else has just created it",
                    hint="run `offbus recover` to undo an unfinished run",
                ) from err
        if await _takes_effect(cluster, sample):
            return method
        why.append(f"{method.idle} (a dry run of a pod shows no shim after {SHOWS_WITHIN_S:g} s)")
    raise StepError(NOT_POSSIBLE + "; ".join(why), hint=HINT)


async def _takes_effect(cluster: Cluster, sample: Object) -> bool:
    """Whether pods are changed. There is nothing to watch, so it polls with dry runs."""
    with anyio.move_on_after(SHOWS_WITHIN_S):
        while not await _shows(cluster, sample):  # noqa: ASYNC110  what admission does cannot be watched
            await anyio.sleep(LOOK_AGAIN_S)
        return True
    return False


async def _shows(cluster: Cluster, sample: Object) -> bool:
    try:
        pod = await cluster.port.objects.create(sample, dry_run=True)
    except (Forbidden, Invalid) as err:
        raise StepError(
            f"cannot verify admission by a dry run: {err.message}", hint=f"allow one more pod, {BY_PATCH}"
        ) from err
    return loads_shim(pod["spec"])
