"""Everything that a run may touch in a cluster, flat, for the comparison before and after (offbus.environment).

Left out is what the platform itself keeps changing: heartbeats and messages of conditions (of a responder's condition,
what it found is kept: codes, entities, and whether that was cut), generated names, bookkeeping annotations. Pods are
counted by the workload that owns them (offbus_steps.residue.pod_items). Of a workload's spec and of a node's
annotations only what drills and responders set is kept by value, the rest as digests: both hold secrets. Of one object
only so much is kept that nobody can fill a fingerprint (offbus_steps.residue.bounded_values).
offbus_steps.residue.external_changes tells which differences are not this run's.
"""

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from sys import intern
from typing import Any

from offbus_steps.access import access
from offbus_steps.agents.client import NodeAgents
from offbus_steps.agents.known_faults import known_faults
from offbus_steps.listing import beginning_again
from offbus_steps.nvsentinel import names
from offbus_steps.nvsentinel.circuit_breaker import tripped_states
from offbus_steps.nvsentinel.findings import Finding, by_check, node_findings
from offbus_steps.port import Invalid, NotFound, Object, Objects, Ref
from offbus_steps.residue.bounded_values import MORE, digest, few_texts, short
from offbus_steps.residue.external_changes import (
    BREAKER,
    CONDITION,
    CORDON,
    LEFT_BY_RUN,
    META,
    OURS,
    REST,
)
from offbus_steps.residue.pod_items import PodItems
from offbus_steps.residue.shown_values import few_marks, shown_annotations, split_spec
from offbus_steps.safety.guards import ClusterGuards
from offbus_steps.watch.owners import MOST_LINKS
from offbus_steps.workloads import pods
from offbus_steps.workloads.controllers import ONLY_OF_GRAPHS, Controller, controller
from offbus_steps.workloads.dynamo_graph import GRAPH_LABEL
from offbus_steps.workloads.gpus import allocatable_gpus
from offbus_steps.workloads.manifest import ALLOWED_KINDS
from offbus_steps.workloads.shim_fields import is_loaded_with
from offbus_steps.workloads.workload_kinds import WORKLOAD_KINDS

__all__ = ["FINGERPRINT_ACCESS", "RUN_LABEL", "fingerprint", "node_items", "without_label"]

RUN_LABEL = "offbus.dev/run"
"""On everything that a run creates."""
FINGERPRINT_ACCESS = access("list", "Node", "Pod", "ReplicaSet", *ALLOWED_KINDS, everywhere=True)

MOST_CONDITIONS, MOST_TAINTS = 64, 256
"""Of a node; one with every monitor of NVSentinel has some 40 conditions."""
OWNED_BY_THE_PLATFORM = (
    "deployment.kubernetes.io/",
    "kubectl.kubernetes.io/",
    "node.alpha.kubernetes.io/",
    "volumes.kubernetes.io/",
    "csi.volume.kubernetes.io/",
    "kubeadm.alpha.kubernetes.io/",
)
"""Prefixes of annotations that controllers write on their own."""


async def fingerprint(
    objects: Objects, agents: NodeAgents, guards: ClusterGuards, run: str
) -> dict[str, Any]:
    """Flat names to JSON values, e.g. "Node/node-1 spec.unschedulable" -> True."""
    return await beginning_again(lambda: _taken(objects, agents, guards, run))


async def _taken(objects: Objects, agents: NodeAgents, guards: ClusterGuards, run: str) -> dict[str, Any]:
    items: dict[str, Any] = {}
    above: dict[str, Controller] = {}
    offering = []
    async for page in objects.pages("Node"):
        for node in page.items:
            items.update(node_items({**node, "kind": "Node"}))
            if allocatable_gpus(node):  # nodes without GPUs have no agent
                offering.append(node["metadata"]["name"])
    items.update(await known_faults(agents, offering))
    for kind in WORKLOAD_KINDS:
        async for obj in _listed(objects, kind, guards.searched):
            if by := controller(obj):
                above[obj["metadata"]["uid"]] = by
            elif guards.allows_namespace(obj["metadata"]["namespace"]):
                ref = Ref.of({**obj, "kind": kind})
                items[f"{ref} {OURS}"], items[f"{ref} {REST}"] = split_spec(obj.get("spec"))
    for state in await tripped_states(objects, guards.responder_namespace):
        items[f"{state} {BREAKER}"] = True
    items.update(await _pods(objects, guards, above))
    for kind in ALLOWED_KINDS:
        spaces = ("",) if kind == "Namespace" else guards.searched
        async for obj in _listed(objects, kind, spaces, labels=f"{RUN_LABEL}={run}"):
            meta = obj["metadata"]
            if guards.allows_namespace(meta.get("namespace") or meta["name"]):
                items[f"{Ref.of({**obj, 'kind': kind})} {LEFT_BY_RUN}"] = True
    return items


def without_label(ref: Ref, owner: str | None, run: str, whose: str) -> str:
    """What is said of an object of a run that has lost the run's label, for a person who looks whose it is."""
    label = "no longer has" if owner is None else f"has {RUN_LABEL}: {owner}, not"
    return f"{ref} was {whose}, and {label} the label {RUN_LABEL}: {run}; left alone: delete it if it is the drill's"


def node_items(node: Object) -> Iterator[tuple[str, Any]]:
    """The items of one node."""
    name, meta, spec = str(Ref.of(node)), node["metadata"], node.get("spec") or {}
    yield f"{name} {CORDON}", bool(spec.get("unschedulable"))
    taints = [f"{t['key']}={t.get('value', '')}:{t['effect']}" for t in spec.get("taints") or ()]
    yield (
        f"{name} spec.taints",
        few_texts((one for one in taints if "node.kubernetes.io/" not in one), MOST_TAINTS),
    )
    for what in ("labels", "annotations"):
        remaining = {
            k: v for k, v in (meta.get(what) or {}).items() if not k.startswith(OWNED_BY_THE_PLATFORM)
        }
        if remaining:
            shown = shown_annotations(remaining) if what == "annotations" else few_marks(remaining)
            yield f"{name} {META}{what}[]", shown
    yield from _condition_items(name, (node.get("status") or {}).get("conditions") or ())


def _condition_items(name: str, conditions: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, Any]]:
    """Those that a responder may have set first; what is more than a node has is one item."""
    findings = by_check(node_findings(conditions))
    # a detector reports a healthy one when it starts: it means the same as no condition
    told = [one for one in conditions if not names.is_healthy_condition(one)]
    if len(told) > MOST_CONDITIONS:
        told.sort(key=lambda one: (one["type"] != names.XID_CHECK, not _is_found(one), one["type"]))
    for one in told[:MOST_CONDITIONS]:
        facts = sorted(map(_facts, findings.get(one["type"], ())))
        yield (
            f"{name} {CONDITION}{short(one['type'])}",
            [short(one["status"]), short(one.get("reason", "")), *([facts] if facts else [])],
        )
    if rest := told[MOST_CONDITIONS:]:
        texts = sorted(repr((one["type"], one["status"], one.get("reason", ""))) for one in rest)
        yield f"{name} {CONDITION}{MORE}", [f"{len(rest)} conditions", f"sha256:{digest(repr(texts))}"]


def _is_found(condition: Mapping[str, Any]) -> bool:
    return str(condition.get("reason", "")).endswith(names.UNHEALTHY_SUFFIX)


def _facts(found: Finding) -> list[Any]:
    return [list(found.codes), list(map(list, found.entities)), *([True] if found.cut else [])]


async def _listed(
    objects: Objects, kind: str, namespaces: Iterable[str] = ("",), labels: str = ""
) -> AsyncIterator[Object]:
    """All objects of a kind in these namespaces; none when the cluster does not serve it."""
    try:
        for namespace in namespaces:
            async for page in objects.pages(kind, namespace=namespace, labels=labels):
                for one in page.items:
                    yield one
    except (NotFound, Invalid):
        return


async def _pods(objects: Objects, guards: ClusterGuards, above: dict[str, Controller]) -> dict[str, Any]:
    """`above`: of a workload that has one, by its uid, its controller."""
    async for one in _listed(objects, "ReplicaSet"):
        if by := controller(one):
            above[one["metadata"]["uid"]] = by
    found = PodItems()
    for namespace in guards.searched:
        async for page in objects.pages("Pod", namespace=namespace):
            for pod in page.items:
                if pods.is_finished(pod) or not guards.allows_namespace(pod["metadata"]["namespace"]):
                    continue
                preloads = any(map(is_loaded_with, pods.containers(pod["spec"])))
                node = intern(pod["spec"].get("nodeName") or "")
                found.add(_owner(pod, above), node, ready=pods.is_ready(pod), preloads=preloads)
    return found.items()


def _owner(pod: Object, above: Mapping[str, Controller]) -> str:
    """Whose pod it is, by uid: else a stranger's could stand in for one that is missing. A graph's pods are counted
    together, as what makes them has other names after a rollout; its label counts only where its operators' kinds are
    above the pod."""
    meta, first = pod["metadata"], controller(pod)
    if first is None:
        return str(Ref("Pod", meta["name"], meta["namespace"]))
    graph = (meta.get("labels") or {}).get(GRAPH_LABEL)
    if graph and _last(first, above).kind in ONLY_OF_GRAPHS:
        return f"DynamoGraphDeployment/{meta['namespace']}/{graph}"
    if first.kind == "ReplicaSet" and (over := above.get(first.uid)):
        return f"{over.kind}/{meta['namespace']}/{over.name}"
    said = pods.controller_of(pod) or {}  # whole: a change of what is cut shows in its digest
    return f"{short(said['kind'])}/{meta['namespace']}/{short(said['name'])}"


def _last(first: Controller, above: Mapping[str, Controller]) -> Controller:
    """The end of a chain of controllers, as far as they were listed. It is as long as a graph's can be."""
    for _ in range(MOST_LINKS):
        if first.uid not in above:
            break
        first = above[first.uid]
    return first
