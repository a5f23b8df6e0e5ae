"""Loads the shim by admission: pods get it as they are created, and their workload's spec stays as it is.

In this order: a dry run of the policy (is it served, may we?), the undo's record, policy and binding, a dry run of a
pod that has to show the change, and then the target's pods are replaced a few at a time.
"""

from collections.abc import Mapping

import anyio

from offbus.errors import StepError
from offbus.step import Context
from offbus_steps import pods
from offbus_steps.admission import POLICY, binding_of, policy_of
from offbus_steps.cluster import Cluster
from offbus_steps.pod_admission import dry_run_pod, shown
from offbus_steps.port import Conflict, Forbidden, Invalid, NotFound, Object
from offbus_steps.preload import is_loaded_with
from offbus_steps.restarting import replace_pods
from offbus_steps.target import Target
from offbus_steps.undos import RemoveAdmission

__all__ = ["load_by_admission"]

SHOWS_WITHIN_S = 30.0
"""A policy is in effect 0.8 s after it was created on a quiet server."""
LOOK_AGAIN_S = 0.25
WAYS_OUT = "or use `by: patch`"


async def load_by_admission(
    ctx: Context, cluster: Cluster, target: Target, running: list[Object], images: Mapping[str, str]
) -> None:
    """Put the policy into effect and replace the pods. Raises StepError, StepFailed."""
    sample = _sample(target, running)
    name = f"offbus-{ctx.run_id}-{ctx.step.replace('_', '-')}"
    policy = policy_of(name, ctx.run_id, target, images, cluster.port.host_path)
    await _require_served(cluster, policy)
    await ctx.undo(RemoveAdmission(policy=name, target=target))
    await _create(cluster, policy)
    await _create(cluster, binding_of(name, ctx.run_id))
    await _require_effect(cluster, sample)
    ctx.observed(lane="workload", subject=str(target), to="shim wanted", evidence={"admission_policy": name})
    await replace_pods(cluster, target, lambda pod: bool(pod.gpus) and not pod.shim, ctx.progress)


def _sample(target: Target, running: list[Object]) -> Object:
    """A pod to try the policy on."""
    found = [dry_run_pod(one) for one in running if pods.gpu_request(one["spec"])]
    if not found:
        raise StepError(f"{target} runs no pod that asks for GPUs", hint="wait until it is ready")
    return found[0]


async def _require_served(cluster: Cluster, policy: Object) -> None:
    try:
        await cluster.port.objects.create(policy, dry_run=True)
    except (NotFound, Invalid) as err:
        raise StepError(
            f"by: admission needs {POLICY}, which is not served here as offbus needs it: {err.message}",
            hint="Kubernetes 1.34 serves it with --feature-gates=MutatingAdmissionPolicy=true and "
            f"--runtime-config=admissionregistration.k8s.io/v1beta1=true; {WAYS_OUT}",
        ) from err
    except Forbidden as err:
        raise StepError(
            f"the credentials may not create a {POLICY}: {err.message}",
            hint=f"bind the role offbus-runner-admission of deploy/, {WAYS_OUT}",
        ) from err
    except Conflict as err:
        raise StepError(f"{err.message}", hint="`offbus recover` undoes a run left over") from err


async def _create(cluster: Cluster, obj: Object) -> None:
    """An undo that was cut short may have left it: it is ours then, by its name."""
    try:
        await cluster.port.objects.create(obj)
    except Conflict as err:
        raise StepError(
            f"{err.message}: somebody else made it just now", hint="`offbus recover` undoes a run left over"
        ) from err


async def _require_effect(cluster: Cluster, sample: Object) -> None:
    """A server with the feature gate off takes policies and does nothing. There is nothing to watch: it is asked."""
    with anyio.move_on_after(SHOWS_WITHIN_S):
        while not await _shows(cluster, sample):  # noqa: ASYNC110  what a policy does cannot be watched
            await anyio.sleep(LOOK_AGAIN_S)
        return
    raise StepError(
        f"the cluster took the {POLICY} and does nothing with it: a dry run of a pod shows no shim after "
        f"{SHOWS_WITHIN_S:g} s",
        hint=f"start the API server with --feature-gates=MutatingAdmissionPolicy=true, {WAYS_OUT}",
    )


async def _shows(cluster: Cluster, sample: Object) -> bool:
    try:
        pod = await shown(cluster, sample)
    except (Forbidden, Invalid) as err:
        raise StepError(
            f"no dry run can show that the policy works: {err.message}", hint=f"make room for one, {WAYS_OUT}"
        ) from err
    return any(map(is_loaded_with, pods.containers(pod["spec"])))
