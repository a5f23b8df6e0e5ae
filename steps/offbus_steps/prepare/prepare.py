"""Runs `prepare_cuda`: refuses what cannot be loaded or undone, loads the shim, and reads it back in every GPU pod.

By patch: only what is needed is written into the workload (environment, volume, mount of the containers that request
GPUs), which makes the pods restart once, here and not in a measured phase; the undo restores exactly those fields and
waits for the rollout back. By admission: the spec is not changed, for operators and GitOps; the cluster's admission
policies, or our webhook, change pods as they are created, the pods are replaced once, and the undo removes what changes
them and replaces them again. Either way the step returns when every running GPU pod was read back with the shim in its
environment.
"""

from offbus.errors import StepFailed
from offbus.step import Context
from offbus_steps.cluster.cluster import Cluster, cluster_of
from offbus_steps.cluster.wait import target_objects
from offbus_steps.port import NotFound, Ref
from offbus_steps.prepare.by_admission import load_by_admission
from offbus_steps.prepare.by_patch import load_by_patch
from offbus_steps.prepare.dry_run import require_admitted
from offbus_steps.prepare.image_env import image_preloads
from offbus_steps.prepare.step_types import PrepareOutputs, PrepareParams
from offbus_steps.workloads import gpus
from offbus_steps.workloads.shim_fields import loads_shim, preload_fields
from offbus_steps.workloads.target import Target, required_target
from offbus_steps.workloads.workload_kinds import workload_of

__all__ = ["prepare_cuda"]

LOADER_REFUSED = "cannot be preloaded"
"""What ld.so writes on stderr when it ignores an LD_PRELOAD (glibc, elf/rtld.c)."""


async def prepare_cuda(ctx: Context, params: PrepareParams) -> PrepareOutputs:
    """Load the shim, and prove that it is in every GPU pod."""
    cluster = cluster_of(ctx)
    target = required_target(params.target)
    await cluster.observer.watch_target(target)
    workload = workload_of(await cluster.port.objects.get(target.ref))
    running = await target_objects(cluster, target)
    preload_fields(workload, running, cluster.port.host_path)  # refuses first what cannot be chained
    images = {name: one.value for name, one in (await image_preloads(cluster, running)).items()}
    fields = preload_fields(workload, running, cluster.port.host_path, images)
    await require_admitted(cluster, target, running)
    if params.by == "admission":
        await load_by_admission(ctx, cluster, target, running, images)
    else:
        await load_by_patch(ctx, cluster, target, workload, running, fields)
    return PrepareOutputs(pods=await _loaded(cluster, target))


async def _loaded(cluster: Cluster, target: Target) -> list[str]:
    """The GPU pods that were read back with the shim. Raises StepFailed naming those without."""
    found = [one for one in await target_objects(cluster, target) if gpus.gpu_request(one["spec"])]
    missing = [one["metadata"]["name"] for one in found if not loads_shim(one["spec"])]
    for pod in found:
        ref = Ref("Pod", pod["metadata"]["name"], pod["metadata"]["namespace"])
        for _, container in gpus.gpu_containers(pod["spec"]):
            try:
                log = await cluster.port.objects.logs(ref, container=container["name"], tail=200)
            except NotFound:
                continue
            if LOADER_REFUSED in log:
                missing.append(f"{ref.name} (its loader said: {LOADER_REFUSED})")
                break
    if missing or not found:
        raise StepFailed(f"the shim is not loaded in {', '.join(missing) or 'any pod'} of {target}")
    return sorted(one["metadata"]["name"] for one in found)
