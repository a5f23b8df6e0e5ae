"""Preflight checks of a drill in a cluster: its target, the pods that would be evicted, what a responder would do.

It runs the steps' own checks, and turns their refusals into preflight checks (offbus.environment). A target that a
manifest creates does not exist yet: then each node with GPUs is checked, because the fault may go to any. Changes
nothing: it sends only reads and dry runs.
"""

from collections.abc import AsyncIterator, Awaitable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from offbus.environment import Intent, PreflightCheck
from offbus.errors import GuardRefused, OffbusError
from offbus_steps.cluster.cluster import Cluster
from offbus_steps.cluster.wait import target_objects
from offbus_steps.inject.blast_radius import require_allowed, require_evictable, would_go
from offbus_steps.inject.expected import expected_anywhere, expected_on
from offbus_steps.inject.location import find_locations
from offbus_steps.inject.planes import Plane, usual_planes
from offbus_steps.inject.selector import XidParams
from offbus_steps.nvsentinel import names
from offbus_steps.nvsentinel.deployed import deployed
from offbus_steps.nvsentinel.dry_run import dry_part, parts_of
from offbus_steps.nvsentinel.validation_stage import no_validation
from offbus_steps.port import NotFound, Object, Ref
from offbus_steps.preflight.drain import drain_checks
from offbus_steps.preflight.remediation import remediation_checks
from offbus_steps.prepare.admission_methods import admission_checks
from offbus_steps.prepare.dry_run import require_admitted
from offbus_steps.workloads import gpus, pods
from offbus_steps.workloads.gpus import allocatable_gpus
from offbus_steps.workloads.labels import Labels
from offbus_steps.workloads.manifest import read_manifest
from offbus_steps.workloads.target import Target
from offbus_steps.workloads.workload_kinds import workload_of

__all__ = ["drill_checks"]

XID_STEPS = ("inject_fault", "inject_xid", "arm_cuda")


async def drill_checks(
    cluster: Cluster, intents: Sequence[Intent], scenario_dir: str
) -> list[PreflightCheck]:
    """All checks, in the order of the steps."""
    found: list[PreflightCheck] = []
    target: Target | None = None
    made: list[tuple[str, Labels]] = []
    parts = await parts_of(cluster.port.objects, cluster.guards.responder_namespace)
    for intent in intents:
        if intent.uses == "deploy":
            made = list(_made(intent, scenario_dir))
            target, checks = await _target(cluster, intent, scenario_dir)
            found += checks
        elif intent.uses == "prepare_cuda" and target is not None:
            found += [one async for one in _prepared(cluster, target, intent)]
        elif intent.uses in XID_STEPS:
            found += [one async for one in _injected(cluster, intent, target)]
        elif (dry := dry_part(parts, intent.uses)) is not None:
            topic = f"step {intent.step}"
            found.append(PreflightCheck(topic, dry.why_not(intent.uses), "error", dry.way_out(intent.uses)))
        elif intent.uses == "await_validation" and (
            off := await no_validation(cluster.port.objects, cluster.guards.responder_namespace)
        ):
            found.append(PreflightCheck(f"step {intent.step}", off.why_not, "error", off.way_out))
        elif intent.uses == "await_drain":
            found += await drain_checks(cluster, f"step {intent.step}", await _pods(cluster, target, made))
    return found


def _made(intent: Intent, folder: str) -> Iterator[tuple[str, Labels]]:
    """The namespaces and labels of the pods that a `deploy` creates, as far as its manifest tells them."""
    manifest, space = intent.params.get("manifest"), intent.params.get("namespace")
    if not isinstance(manifest, str):
        return
    try:
        objects = read_manifest(Path(folder, manifest))
    except OffbusError:
        return  # its own check says so
    for obj in objects:
        template = (obj.get("spec") or {}).get("template") if obj["kind"] != "Pod" else obj
        if isinstance(template, Mapping):
            labels = (template.get("metadata") or {}).get("labels") or {}
            yield str(space or obj["metadata"].get("namespace", "")), labels


async def _pods(
    cluster: Cluster, target: Target | None, made: Sequence[tuple[str, Labels]]
) -> Sequence[tuple[str, Labels]]:
    if target is None:
        return made
    running = await target_objects(cluster, target)
    return [(one["metadata"]["namespace"], one["metadata"].get("labels") or {}) for one in running]


async def refusals(topic: str, asked: Awaitable[Any]) -> list[PreflightCheck]:
    """The refusal of a step's own check, as a preflight check; none when it would not refuse."""
    try:
        await asked
    except OffbusError as err:
        return [PreflightCheck(topic, err.message, "error", err.hint)]
    return []


async def _target(
    cluster: Cluster, intent: Intent, folder: str
) -> tuple[Target | None, list[PreflightCheck]]:
    existing, manifest = intent.params.get("existing"), intent.params.get("manifest")
    try:
        if isinstance(existing, Mapping):
            return await _existing(cluster, existing, intent.params.get("port"))
        if isinstance(manifest, str):
            return None, await _manifest(cluster, Path(folder, manifest), intent.params)
    except OffbusError as err:
        return None, [PreflightCheck("target", err.message, "error", err.hint)]
    return None, [PreflightCheck("target", "it is known only during the run", "warning")]


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


async def _manifest(cluster: Cluster, path: Path, params: Mapping[str, Any]) -> list[PreflightCheck]:
    """What `deploy` would create: in the manifest's namespaces, or in the step's."""
    space = params.get("namespace")
    if params.get("ephemeral"):
        cluster.guards.require_namespace(f"{space}-{cluster.run.run_id}")
        return [
            PreflightCheck("target", f"would create a namespace {space}-RUN with everything in {path.name}")
        ]
    found = []
    for obj in read_manifest(path):
        ref = Ref.of(obj)
        ref = replace(ref, namespace=space) if space and ref.namespace else ref
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


async def _prepared(cluster: Cluster, target: Target, intent: Intent) -> AsyncIterator[PreflightCheck]:
    running = await target_objects(cluster, target)
    refused = await refusals("prepare", require_admitted(cluster, target, running))
    for one in refused:
        yield one
    if not refused:
        loaded = [one for one in running if gpus.gpu_request(one["spec"])]
        yield PreflightCheck(
            "prepare", f"{len(loaded)} pods of {target} would restart once, and once more at the end"
        )
        if intent.params.get("by") == "admission":
            async for one in admission_checks(cluster, target):
                yield one


async def _injected(cluster: Cluster, intent: Intent, target: Target | None) -> AsyncIterator[PreflightCheck]:
    topic = f"step {intent.step}"
    xid = intent.params.get("xid")
    if not isinstance(xid, int):
        yield PreflightCheck(topic, "its XID is known only during the run", "warning")
        return
    planes = _planes(intent, xid)
    responders = await deployed(cluster.port.objects, cluster.guards.responder_namespace)
    if target is None:
        unknown = expected_anywhere(xid, "the node", planes, "the target does not exist yet")
        for line in remediation_checks(topic, xid, [unknown], responders):
            yield line
        async for one in _any_node(cluster, topic, intent):
            yield one
        return
    params = XidParams.model_validate(
        {k: v for k, v in intent.params.items() if k in XidParams.model_fields} | {"target": target}
    )
    try:
        locations = await find_locations(cluster, target, params)
    except OffbusError as err:
        unknown = expected_anywhere(xid, "the node", planes, "the node is not known")
        for line in remediation_checks(topic, xid, [unknown], responders):
            yield line
        yield PreflightCheck(topic, err.message, "error", err.hint)
        return
    for location in locations:
        yield PreflightCheck(
            topic,
            f"GPUs {', '.join(location.gpus)} of {location.node}, "
            f"held by {', '.join(str(one.ref) for one in location.pods)}",
        )
    expected = await expected_on(cluster, xid, locations, planes)
    for line in remediation_checks(topic, xid, expected, responders):
        yield line
    refused = await refusals(topic, require_allowed(cluster, target, expected, planes))
    nodes = [one.node for one in expected if one.cordons]
    if nodes:
        hurt = await _evictable(cluster, topic, nodes)
        refused += [one for one in hurt if one not in refused]
        async for one in _evicted(cluster, topic, nodes):
            yield one
    for one in refused:
        yield one


def _planes(intent: Intent, xid: int) -> tuple[Plane, ...]:
    if intent.uses == "inject_xid":
        return (Plane.KERNEL,)
    given = intent.params.get("planes")
    planes = tuple(Plane(one) for one in given) if isinstance(given, list) else usual_planes(xid)
    return planes if intent.uses == "inject_fault" else tuple(one for one in planes if one != Plane.KERNEL)


async def _any_node(cluster: Cluster, topic: str, intent: Intent) -> AsyncIterator[PreflightCheck]:
    """Without a target yet: what would be evicted from each node that the fault may go to."""
    wanted = intent.params.get("node")
    for node in (await cluster.port.objects.list("Node")).items:
        name = node["metadata"]["name"]
        if wanted not in (None, name) or not allocatable_gpus(node):
            continue
        async for one in _evicted(cluster, topic, [name]):
            yield one
        for one in await _evictable(cluster, topic, [name]):
            yield PreflightCheck(one.topic, f"if {name} is chosen: {one.text}", "warning", one.hint)


async def _evictable(cluster: Cluster, topic: str, nodes: Sequence[str]) -> list[PreflightCheck]:
    """Why the nodes' pods may not be evicted; else of which it cannot be told whether they fit elsewhere."""
    try:
        unknown = await require_evictable(cluster, nodes)
    except OffbusError as err:
        return [PreflightCheck(topic, err.message, "error", err.hint)]
    return [
        PreflightCheck(topic, f"cannot tell whether it fits elsewhere: {one}", "warning") for one in unknown
    ]


async def _evicted(cluster: Cluster, topic: str, nodes: Sequence[str]) -> AsyncIterator[PreflightCheck]:
    for pod in (await cluster.port.objects.list("Pod")).items:
        if (pod.get("spec") or {}).get("nodeName") in nodes and would_go(pod):
            held = gpus.gpu_request(pod["spec"])
            holds = f" ({held} GPU{'s' if held > 1 else ''})" if held else ""
            yield PreflightCheck(
                topic, f"would evict {Ref.of({**pod, 'kind': 'Pod'})}{holds} from {pod['spec']['nodeName']}"
            )
    for node in nodes:
        found = await cluster.port.objects.get(Ref("Node", node))
        for line in _already(found):
            yield PreflightCheck(topic, line, "warning")


def _already(node: Object) -> Iterator[str]:
    """What a responder reports about the node before the drill: its deduplication would ignore a repetition."""
    name, conditions = node["metadata"]["name"], (node.get("status") or {}).get("conditions") or ()
    for one in names.fault_conditions(conditions):
        yield (
            f"{name} is already reported as {one}: a repetition within the deduplication window (3 min by default) "
            "is ignored"
        )
    state = names.state(node["metadata"].get("labels") or {})
    if state:
        yield f"{name} is already {state} by the responder"
