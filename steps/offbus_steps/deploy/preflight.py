"""The preflight of `deploy`: what it would create or take, and what refuses that. Changes nothing."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
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
from offbus_steps.workloads.manifest import read_manifest
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
        return [f"creates {one}" for one in _refs(Path(folder, manifest), params.get("namespace"))]
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
            path = Path(drill.scenario_dir, manifest)
            drill.created_pods = list(_pods_made(path, space))
            if not ephemeral:  # a namespace of the run's own is deleted as a whole
                with suppress(OffbusError):  # the checks below say what is wrong with it
                    drill.namespaces += [one.namespace for one in _refs(path, space) if one.namespace]
            return await _manifest(drill.cluster, path, space, ephemeral=ephemeral)
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


async def _manifest(
    cluster: Cluster, path: Path, space: str | None, *, ephemeral: bool
) -> list[PreflightCheck]:
    """What would be created: in the manifest's namespaces, or in the step's."""
    if ephemeral:
        cluster.guards.require_namespace(f"{space}-{cluster.run.run_id}")
        return [
            PreflightCheck("target", f"would create a namespace {space}-RUN with everything in {path.name}")
        ]
    found = []
    for ref in _refs(path, space):
        found += await refusals("target", _creatable(cluster, ref))
        found.append(PreflightCheck("target", f"would create {ref}"))
    return found


async def _creatable(cluster: Cluster, ref: Ref) -> None:
    cluster.guards.require_namespace(ref.namespace or ref.name)
    try:
        await cluster.port.objects.get(ref)
    except NotFound:
        return
    if ref.kind != "Namespace":
        raise GuardRefused(f"{ref} exists already", hint="delete it, or use it with `existing`")


def _refs(path: Path, space: str | None) -> Iterator[Ref]:
    """The objects of a manifest, where the step puts them. Raises StepError."""
    for ref in map(Ref.of, read_manifest(path)):
        yield replace(ref, namespace=space) if space and ref.namespace else ref


def _pods_made(path: Path, space: str | None) -> Iterator[tuple[str, Labels]]:
    """The namespaces and labels of the pods that a manifest's objects make, as far as it tells them."""
    try:
        objects: list[Object] = list(read_manifest(path))
    except OffbusError:
        return  # its own check says so
    for obj in objects:
        template = (obj.get("spec") or {}).get("template") if obj["kind"] != "Pod" else obj
        if isinstance(template, Mapping):
            labels = (template.get("metadata") or {}).get("labels") or {}
            yield str(space or obj["metadata"].get("namespace", "")), labels
