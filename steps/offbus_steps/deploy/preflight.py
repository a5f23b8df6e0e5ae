"""The preflight of `deploy`: what it would create or take, and what refuses that. Changes nothing."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from offbus.errors import GuardRefused, OffbusError
from offbus.preflight import Intent, PreflightCheck
from offbus_steps.cluster.cluster import Cluster
from offbus_steps.cluster.preflight import DrillPreflight, refusals
from offbus_steps.cluster.wait import target_objects
from offbus_steps.port import NotFound, Object, Ref
from offbus_steps.workloads import pods
from offbus_steps.workloads.labels import Labels
from offbus_steps.workloads.manifest import manifest_of
from offbus_steps.workloads.target import Target
from offbus_steps.workloads.workload_kinds import workload_of

__all__ = ["preflight", "touches"]


def touches(params: Mapping[str, Any], folder: Path) -> Iterable[str]:
    """The objects that it would create; an existing workload is not changed."""
    existing, manifest = params.get("existing"), params.get("manifest")
    if isinstance(existing, Mapping):
        return [f"takes {Ref(existing['kind'], existing['name'], existing['namespace'])} as it is"]
    if not isinstance(manifest, str):
        return ["creates what its manifest holds, which is known only during the run"]
    if params.get("ephemeral"):
        return [f"creates a namespace {params['namespace']}-RUN with everything in {Path(manifest).name}"]
    try:
        return [f"creates {one}" for one in _refs(manifest_of(folder, manifest), params.get("namespace"))]
    except OffbusError as err:
        return [f"creates what {manifest} holds, which cannot be read: {err.message}"]


async def preflight(drill: DrillPreflight, intent: Intent) -> list[PreflightCheck]:
    """See `offbus.preflight.Preflight`. Tells the steps after it which target there is, or will be."""
    existing, manifest = intent.params.get("existing"), intent.params.get("manifest")
    space, ephemeral = intent.params.get("namespace"), bool(intent.params.get("ephemeral"))
    try:
        if isinstance(existing, Mapping):
            drill.namespaces.append(str(existing["namespace"]))
            drill.target, checks = await _existing(drill.cluster, existing, intent.params.get("port"))
            return checks
        if isinstance(manifest, str):
            objects = manifest_of(drill.scenario_dir, manifest)
            drill.created_pods = list(_pods_made(objects, space))
            if ephemeral:  # deleted as a whole: no namespace that an undo has to reach
                drill.made_for_run.append(f"{space}-{drill.cluster.run.run_id}")
                drill.cluster.guards.require_namespace(drill.made_for_run[-1])
                text = f"would create a namespace {space}-RUN with everything in {Path(manifest).name}"
                return [PreflightCheck("target", text)]
            refs = list(_refs(objects, space))
            drill.namespaces += [one.namespace for one in refs if one.namespace]
            return [check for ref in refs for check in await _created(drill.cluster, ref)]
    except OffbusError as err:
        return [PreflightCheck("target", err.message, "error", err.hint)]
    return [PreflightCheck("target", "it is known only during the run", "warning")]


async def _existing(
    cluster: Cluster, existing: Mapping[str, Any], port: int | None
) -> tuple[Target, list[PreflightCheck]]:
    ref = Ref(existing["kind"], existing["name"], existing["namespace"])
    cluster.guards.require_namespace(ref.namespace)
    workload = workload_of(await cluster.port.objects.get(ref))
    target = Target.of(workload, port=port)
    await cluster.observer.watch_target(target)
    running = await target_objects(cluster, target)
    where = sorted({str(one["spec"].get("nodeName", "no node")) for one in running})
    ready = sum(pods.is_ready(one) for one in running)
    text = f"{ref}: {ready} of {workload.desired} pods ready, on {', '.join(where) or 'no node'}"
    return target, [PreflightCheck("target", text, "info" if ready else "error")]


async def _created(cluster: Cluster, ref: Ref) -> list[PreflightCheck]:
    refused = await refusals("target", _creatable(cluster, ref))
    return [*refused, PreflightCheck("target", f"would create {ref}")]


async def _creatable(cluster: Cluster, ref: Ref) -> None:
    cluster.guards.require_namespace(ref.namespace or ref.name)
    try:
        await cluster.port.objects.get(ref)
    except NotFound:
        return
    if ref.kind != "Namespace":
        raise GuardRefused(f"{ref} exists already", hint="delete it, or use it with `existing`")


def _refs(objects: Iterable[Object], space: str | None) -> Iterator[Ref]:
    """The objects of a manifest, where the step puts them."""
    for ref in map(Ref.of, objects):
        yield replace(ref, namespace=space) if space and ref.namespace else ref


def _pods_made(objects: Iterable[Object], space: str | None) -> Iterator[tuple[str, Labels]]:
    """The namespaces and labels of the pods that a manifest's objects make, as far as it tells them."""
    for obj in objects:
        template = (obj.get("spec") or {}).get("template") if obj["kind"] != "Pod" else obj
        if isinstance(template, Mapping):
            labels = (template.get("metadata") or {}).get("labels") or {}
            yield str(space or obj["metadata"].get("namespace", "")), labels
