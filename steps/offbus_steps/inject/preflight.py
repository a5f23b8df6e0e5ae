"""The preflight of the steps that inject a fault: where it would go, what a responder would do, what refuses it.

It runs the steps' own checks, and turns their refusals into preflight checks (offbus.preflight). A target that a
manifest creates does not exist yet: then each node with GPUs is checked, because the fault may go to any. Changes
nothing: it sends only reads and dry runs.
"""

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from offbus.errors import OffbusError
from offbus.preflight import Intent, Preflight, PreflightCheck
from offbus.step import Touches
from offbus_agent.catalogue.plane import PAGE_PLANES, Plane
from offbus_steps.cluster.cluster import Cluster
from offbus_steps.cluster.preflight import DrillPreflight, refusals
from offbus_steps.inject.blast_radius import require_allowed, require_evictable, would_go
from offbus_steps.inject.expected import expected_anywhere, expected_on
from offbus_steps.inject.fault_options import CallOptions, LineOptions
from offbus_steps.inject.location import find_locations
from offbus_steps.inject.planes import usual_planes
from offbus_steps.inject.remediation_checks import remediation_checks
from offbus_steps.inject.selector import OWN_DOMAIN
from offbus_steps.inject.step_types import XidParams
from offbus_steps.listing import projected
from offbus_steps.nvsentinel import names
from offbus_steps.nvsentinel.deployed import deployed
from offbus_steps.port import Object, Ref
from offbus_steps.workloads import gpus, pods
from offbus_steps.workloads.gpus import allocatable_gpus

__all__ = [
    "preflight_arm",
    "preflight_fault",
    "preflight_line",
    "touches_arm",
    "touches_fault",
    "touches_line",
]

Allowed = frozenset[Plane]
LINE, ARM, FAULT = frozenset({Plane.KERNEL}), PAGE_PLANES, frozenset(Plane)
"""The planes that a step type can use at all."""
FIRST = "the node of the target's first pod"
OWN = f"NVLink domain {OWN_DOMAIN}"
MANY = {
    "nodes": "nodes {}",
    "node_label": "the target's nodes with {}",
    "nvlink_domain": "the target's nodes of NVLink domain {}",
    "node_count": "{} of the target's nodes",
    "node_percent": "{} % of the target's nodes",
}
"""How an option that chooses nodes is told."""


def _touches(allowed: Allowed, params: Mapping[str, Any], _folder: Path) -> Iterable[str]:
    """The fault, its planes, and where it goes."""
    from offbus_agent.catalogue.catalogue import lookup

    xid = params.get("xid")
    if not isinstance(xid, int):
        return ["injects an XID that is known only during the run"]
    planes = ", ".join(_planes(allowed, params, xid)) or "no plane"
    return [f"injects XID {xid} ({lookup(xid).mnemonic}) on {planes}, at {_where(params)}{_how(params)}"]


def _how(params: Mapping[str, Any]) -> str:
    """Its options, where they are not the default."""
    fields = {**LineOptions.model_fields, **CallOptions.model_fields}
    told = {
        name: params[name] for name, one in fields.items() if params.get(name, one.default) != one.default
    }
    return f"; {', '.join(f'{name} {_shown(value)}' for name, value in told.items())}" if told else ""


def _where(params: Mapping[str, Any]) -> str:
    chosen = [text.format(_shown(params[key])) for key, text in MANY.items() if params.get(key) is not None]
    where = " and ".join(chosen).replace(OWN, "the NVLink domain of the target's first pod")
    node = params.get("node", "that is known only during the run")
    if not where and node:
        where = f"node {node}"
    if params.get("gpus"):
        return f"{where or FIRST}: GPUs {_shown(params['gpus'])}"
    count, share = params.get("gpu_count"), params.get("gpu_percent")
    if count or share:
        some = f"{count}" if count else f"{share:g} %"
        return f"{where or FIRST}: {some} of the GPUs that the target holds there"
    return (
        f"{where}: the GPUs of the target's first pod there"
        if where
        else "the GPUs of the target's first pod"
    )


def _shown(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


async def _preflight(allowed: Allowed, drill: DrillPreflight, intent: Intent) -> Sequence[PreflightCheck]:
    return [one async for one in _injected(drill, intent, allowed)]


touches_fault: Touches = partial(_touches, FAULT)
touches_line: Touches = partial(_touches, LINE)
touches_arm: Touches = partial(_touches, ARM)
preflight_fault: Preflight = partial(_preflight, FAULT)
preflight_line: Preflight = partial(_preflight, LINE)
preflight_arm: Preflight = partial(_preflight, ARM)


async def _injected(drill: DrillPreflight, intent: Intent, allowed: Allowed) -> AsyncIterator[PreflightCheck]:
    cluster, target, topic = drill.cluster, drill.target, intent.topic
    xid = intent.params.get("xid")
    if not isinstance(xid, int):
        yield PreflightCheck(topic, "its XID is known only during the run", "warning")
        return
    planes = _planes(allowed, intent.params, xid)
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


def _planes(allowed: Allowed, params: Mapping[str, Any], xid: int) -> tuple[Plane, ...]:
    """Those of `planes`, by default those on which the XID shows, as far as the step type can use them."""
    if allowed == LINE:
        return (Plane.KERNEL,)
    given = params.get("planes")
    planes = tuple(Plane(one) for one in given) if isinstance(given, list) else usual_planes(xid)
    return tuple(one for one in planes if one in allowed)


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
    for pod in await projected(cluster.port.objects, "Pod", lambda one: pods.lean(one, nodes)):
        if would_go(pod):
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
