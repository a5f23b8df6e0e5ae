"""`prepare_cuda`: load the fault shim into the target's GPU processes, disarmed.

    - {id: prepare, uses: prepare_cuda}

Patches only what is needed (environment, volume, mount of the containers that ask for GPUs), which makes the pods
restart once, here and not in a measured phase. The undo restores exactly those fields and waits for the rollout back.
Returns when the rollout is complete and every running GPU pod was read back with the shim in its environment.
"""

from datetime import timedelta
from typing import Annotated

from pydantic import Field as Described

from offbus.errors import GuardRefused, StepError, StepFailed
from offbus.step import Context, FromAncestor, Kind, Outputs, Params, StepType
from offbus_steps import pods
from offbus_steps.capacity import unplaced
from offbus_steps.cluster import Cluster, cluster_of
from offbus_steps.patching import patch_fields
from offbus_steps.port import NotFound, Object, Ref
from offbus_steps.preload import is_loaded_with, preload_fields
from offbus_steps.rollout import progress_of, rolled_out
from offbus_steps.target import Target, live_workload
from offbus_steps.undos import RestoreFields
from offbus_steps.workloads import Workload

__all__ = ["PREPARE_CUDA", "PrepareOutputs", "PrepareParams"]

LOADER_REFUSED = "cannot be preloaded"
"""What ld.so writes on stderr when it ignores an LD_PRELOAD (glibc, elf/rtld.c)."""


class PrepareParams(Params):
    """What to prepare."""

    target: Annotated[Target | None, FromAncestor("target")] = Described(
        default=None, description="The workload; by default that of the ancestor that outputs one."
    )


class PrepareOutputs(Outputs):
    """What was prepared."""

    pods: list[str] = Described(description="The pods that run with the shim loaded.")


async def prepare_cuda(ctx: Context, params: PrepareParams) -> PrepareOutputs:
    """Patch the workload, wait for its rollout, and prove that the shim is in every GPU pod."""
    cluster = cluster_of(ctx)
    target = required_target(params.target)
    await cluster.observer.watch_target(target)
    workload = await live_workload(cluster.port.objects, target)
    running = await target_objects(cluster, target)
    fields = preload_fields(workload, running, cluster.port.host_path)
    _require_rolling(workload)
    await _require_surge(cluster, workload, running)
    undo = RestoreFields.of(workload.obj, fields, rollout=target)
    await ctx.undo(undo)
    patched = await patch_fields(cluster.port.objects, workload.obj, fields)
    ctx.observed(
        lane="workload", subject=str(target), to="shim wanted", evidence={"fields": [str(f) for f in fields]}
    )
    generation = patched["metadata"]["generation"]
    done = progress_of(target, ctx.progress, lambda world: rolled_out(world, target, generation))
    await cluster.log.until(done)
    return PrepareOutputs(pods=await _loaded(cluster, target))


def required_target(target: Target | None) -> Target:
    """The target; the language sees to it that there is one."""
    if target is None:
        raise StepError("no target", hint="put a `deploy` step above, or give `target`")
    return target


async def target_objects(cluster: Cluster, target: Target) -> list[Object]:
    """The target's pods as objects, those on their way out left away."""
    labels = ",".join(f"{key}={value}" for key, value in target.selector.items())
    listing = await cluster.port.objects.list("Pod", namespace=target.namespace, labels=labels)
    return [one for one in listing.items if not pods.is_terminating(one) and not pods.is_finished(one)]


def _require_rolling(workload: Workload) -> None:
    if workload.not_rolling:
        raise StepError(
            f"{workload.ref} would not replace its pods when it is patched: {workload.not_rolling}",
            hint="change that for the drill",
        )


async def _require_surge(cluster: Cluster, workload: Workload, running: list[Object]) -> None:
    """A rollout that starts a pod before it stops one needs room for it."""
    surge = workload.surge()
    if not surge:
        return
    specs = sorted((one["spec"] for one in running), key=pods.gpu_request, reverse=True)[:surge]
    nodes = (await cluster.port.objects.list("Node")).items
    everything = (await cluster.port.objects.list("Pod")).items
    missing = unplaced([spec for spec in specs if pods.gpu_request(spec)], nodes, everything)
    if missing:
        raise GuardRefused(
            f"{workload.ref} rolls over by starting pods first, and there is no room: missing {', '.join(missing)}",
            hint="free GPUs, or set the workload's maxUnavailable to 1",
        )


async def _loaded(cluster: Cluster, target: Target) -> list[str]:
    """The GPU pods that were read back with the shim. Raises StepFailed naming those without."""
    found = [one for one in await target_objects(cluster, target) if pods.gpu_request(one["spec"])]
    missing = [
        one["metadata"]["name"] for one in found if not any(map(is_loaded_with, pods.containers(one["spec"])))
    ]
    for one in found:
        missing += await _refused_by_loader(cluster, one)
    if missing or not found:
        raise StepFailed(f"the shim is not loaded in {', '.join(missing) or 'any pod'} of {target}")
    return sorted(one["metadata"]["name"] for one in found)


async def _refused_by_loader(cluster: Cluster, pod: Object) -> list[str]:
    ref = Ref("Pod", pod["metadata"]["name"], pod["metadata"]["namespace"])
    try:
        log = await cluster.port.objects.logs(ref, tail=200)
    except NotFound:
        return []
    return [f"{ref.name} (its loader said: {LOADER_REFUSED})"] if LOADER_REFUSED in log else []


PREPARE_CUDA = StepType(
    name="prepare_cuda",
    kind=Kind.ACTION,
    summary="Load the fault shim, disarmed, into the target's GPU processes; its pods restart once.",
    params=PrepareParams,
    outputs=PrepareOutputs,
    run=prepare_cuda,
    timeout=timedelta(minutes=10),
    examples=("{id: prepare, uses: prepare_cuda}",),
)
