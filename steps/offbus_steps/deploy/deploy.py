"""Runs `deploy`: creates the objects of a manifest, or takes a workload that is already there.

Created objects keep their names and get the label `offbus.dev/run`; the undo of each is recorded before it is created,
and its uid is added to the record after that.
An object that exists already makes the step refuse: nothing is adopted or overwritten. Returns when the workload is
rolled out and all of its pods are ready, by watch. At the end, before anything is undone, the target's logs, events and
manifests are written into the run's folder (offbus_steps.deploy.collect).
"""

from collections.abc import Sequence

from offbus.errors import StepError
from offbus.step import Context
from offbus_steps.cluster.cluster import Cluster, cluster_of
from offbus_steps.deploy.settings import with_settings
from offbus_steps.deploy.step_types import DeployOutputs, DeployParams
from offbus_steps.deploy.undo_collect import CollectEvidence
from offbus_steps.deploy.undo_delete import DeleteObject
from offbus_steps.kinds import KINDS
from offbus_steps.port import Conflict, NotFound, Object, Ref
from offbus_steps.residue.fingerprint import RUN_LABEL
from offbus_steps.watch.readiness import progress_of, ready_pods, rolled_out
from offbus_steps.workloads.manifest import manifest_of, target_in
from offbus_steps.workloads.target import Target
from offbus_steps.workloads.workload_kinds import workload_of

__all__ = ["deploy"]


async def deploy(ctx: Context, params: DeployParams) -> DeployOutputs:
    """Create the manifest's objects, or take the existing workload, and wait until it is ready."""
    cluster = cluster_of(ctx)
    created: list[str] = []
    if params.manifest is not None:
        objects = _wanted(ctx, params, manifest_of(ctx.scenario_dir, params.manifest))
        ref = target_in(objects, params.workload)
        created = await _create_all(ctx, cluster, objects, ref if params.collect else None)
    else:
        assert params.existing is not None  # noqa: S101  ensured by the model's validator
        ref = Ref(params.existing.kind, params.existing.name, params.existing.namespace)
        cluster.guards.require_namespace(ref.namespace)
        await cluster.require_rights({ref.namespace})
        if params.collect:
            await _collect_later(ctx, await cluster.port.objects.get(ref))
    target = Target.of(workload_of(await cluster.port.objects.get(ref)), port=params.port)
    await cluster.observer.watch_target(target)
    await cluster.log.until(progress_of(target, ctx.progress, lambda world: rolled_out(world, target)))
    return DeployOutputs(target=target, replicas=ready_pods(cluster.log.world, target), created=created)


def _wanted(ctx: Context, params: DeployParams, objects: Sequence[Object]) -> list[Object]:
    """The manifest's objects as they are to be created. Raises StepError."""
    ref = target_in(objects, params.workload)
    if params.settings is not None:
        settings = params.settings
        objects = [with_settings(one, settings) if Ref.of(one) == ref else one for one in objects]
    if params.namespace is None:
        return list(objects)
    namespace = f"{params.namespace}-{ctx.run_id}" if params.ephemeral else params.namespace
    return [
        {**one, "metadata": {**one["metadata"], "namespace": namespace}}
        for one in objects
        if KINDS[one["kind"]].namespaced
    ]


async def _collect_later(ctx: Context, obj: Object) -> None:
    """Recorded before anything is created: a target that never becomes ready is when evidence matters most."""
    await ctx.undo(CollectEvidence(target=Target.of(workload_of(obj), port=0), folder=ctx.run_dir))


async def _create_all(
    ctx: Context, cluster: Cluster, objects: Sequence[Object], collected: Ref | None
) -> list[str]:
    wanted = []
    await cluster.require_rights({Ref.of(one).namespace for one in objects} - {""})
    for obj in _with_namespaces(objects):
        try:
            found = await cluster.port.objects.get(Ref.of(obj))
        except NotFound:
            wanted.append(obj)
            continue
        if obj["kind"] != "Namespace":
            raise _exists(Ref.of(obj), found)
    for obj in wanted:
        cluster.guards.require_namespace(obj["metadata"].get("namespace") or obj["metadata"]["name"])
    for obj in wanted:
        if Ref.of(obj) == collected:
            await _collect_later(ctx, obj)
    for obj in wanted:
        ref, meta = Ref.of(obj), obj["metadata"]
        labels = {**(meta.get("labels") or {}), RUN_LABEL: ctx.run_id}
        undo = DeleteObject(kind=ref.kind, name=ref.name, namespace=ref.namespace)
        await ctx.undo(undo)
        try:
            made = await cluster.port.objects.create({**obj, "metadata": {**meta, "labels": labels}})
        except Conflict as err:
            # somebody was quicker: nothing of ours
            await ctx.amend(undo, undo.model_copy(update={"uid": ""}))
            raise _exists(ref, {}) from err
        await ctx.amend(undo, undo.model_copy(update={"uid": made["metadata"]["uid"]}))
        ctx.observed(lane="workload", subject=str(ref), to="created")
    return [str(Ref.of(obj)) for obj in wanted]


def _with_namespaces(objects: Sequence[Object]) -> list[Object]:
    """The objects, preceded by the namespaces that they need and the manifest lacks."""
    brought = [one for one in objects if one["kind"] == "Namespace"]
    named = {one["metadata"]["name"] for one in brought}
    needed = dict.fromkeys(one["metadata"]["namespace"] for one in objects if "namespace" in one["metadata"])
    made: list[Object] = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        for name in needed
        if name not in named
    ]
    return [*brought, *made, *(one for one in objects if one["kind"] != "Namespace")]


def _exists(ref: Ref, found: Object) -> StepError:
    owner = ((found.get("metadata") or {}).get("labels") or {}).get(RUN_LABEL)
    whose = f" (left by run {owner}: run `offbus recover {owner}`)" if owner else ""
    return StepError(
        f"{ref} exists already{whose}", hint="delete it, or use it with `existing: {kind, name, namespace}`"
    )
