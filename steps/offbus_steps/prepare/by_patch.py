"""Loads the shim by patching the workload: one rollout, waited for by watch.

An operator or a GitOps tool may revert the spec. The same watch shows that, and it is reported at once, with the name
of the last writer; nothing is written a second time.
"""

from collections.abc import Sequence

from offbus.errors import GuardRefused, StepError, StepFailed
from offbus.step import Context
from offbus_steps.cluster.cluster import Cluster
from offbus_steps.listing import projected
from offbus_steps.port import NotFound, Object
from offbus_steps.prepare.undo_fields import RestoreFields
from offbus_steps.residue.patching import patch_fields
from offbus_steps.watch.event_log import World
from offbus_steps.watch.readiness import ready_pods, rolled_out
from offbus_steps.watch.target_pods import target_pods
from offbus_steps.workloads import gpus, pods
from offbus_steps.workloads.base import Workload
from offbus_steps.workloads.fields import Field
from offbus_steps.workloads.fit import Fleet, shortage
from offbus_steps.workloads.target import Target

__all__ = ["load_by_patch"]

ALTERNATIVES = (
    "use prepare_cuda with `by: admission`, which does not change the spec; or pause what reverts it"
)


async def load_by_patch(
    ctx: Context,
    cluster: Cluster,
    target: Target,
    workload: Workload,
    running: list[Object],
    fields: Sequence[Field],
) -> None:
    """Patch, and wait until all pods are new. Raises StepFailed when somebody reverts the spec."""
    if workload.not_rolling:
        raise StepError(
            f"{workload.ref} would not replace its pods when it is patched: {workload.not_rolling}",
            hint="use `by: admission`, which replaces them one by one, or change that for the drill",
        )
    await _require_surge(cluster, workload, running)
    await ctx.undo(RestoreFields.of(workload.obj, fields, rollout=target))
    patched = await patch_fields(cluster.port.objects, workload.obj, fields)
    ctx.observed(
        lane="workload", subject=str(target), to="shim wanted", evidence={"fields": [str(f) for f in fields]}
    )
    generation = int(patched["metadata"]["generation"])

    def answer(world: World) -> bool | None:
        ctx.progress(f"{target}: {ready_pods(world, target)} pods ready")
        now = world.workload(target.ref)
        if now is not None and now.generation > generation and not now.shim:
            return False  # a newer spec is without the shim again
        loaded = all(pod.shim for pod in target_pods(world, target) if pod.gpus and pod.active)
        return True if loaded and rolled_out(world, target, generation) else None

    if not await cluster.log.until(answer):
        raise await _reverted(cluster, target)
    cluster.prepared.add(target.ref)


async def _reverted(cluster: Cluster, target: Target) -> StepFailed:
    """Names the last writer of the spec, by the server's own bookkeeping, and the object's owner."""
    try:
        meta = (await cluster.port.objects.get(target.ref))["metadata"]
    except NotFound:
        meta = {}
    entries = [one for one in meta.get("managedFields") or () if not one.get("subresource")]
    newest = max((str(one.get("time", "")) for one in entries), default="")
    managers = sorted({str(one["manager"]) for one in entries if str(one.get("time", "")) == newest})
    writers = [f"field manager {' or '.join(managers)!r}"] if managers else []
    writers += [
        f"its owner {one['kind']}/{one['name']}"
        for one in meta.get("ownerReferences") or ()
        if one.get("controller")
    ]
    who = ", ".join(writers) or "somebody else"
    return StepFailed(
        f"{target} was reverted by {who}: the shim is no longer in its spec ({ALTERNATIVES})",
        evidence={"by": who, "generation": meta.get("generation")},
    )


async def _require_surge(cluster: Cluster, workload: Workload, running: list[Object]) -> None:
    """Raises GuardRefused when a rollout that starts pods before it stops others has no GPUs for them."""
    surge = workload.surge()
    if not surge:
        return
    largest = sorted(running, key=lambda one: gpus.gpu_request(one["spec"]), reverse=True)[:surge]
    nodes = (await cluster.port.objects.list("Node")).items
    everything = await projected(cluster.port.objects, "Pod", pods.lean)
    added = [one for one in largest if gpus.gpu_request(one["spec"])]
    if missing := shortage(added, Fleet(nodes, everything)).missing:
        raise GuardRefused(
            f"{workload.ref} starts new pods first in a rollout, without room for them: missing {', '.join(missing)}",
            hint="free GPUs, or set the workload's maxUnavailable to 1",
        )
