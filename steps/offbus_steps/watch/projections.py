"""Projections of Nodes, Pods and workloads: the few fields that drills need, frozen and comparable.

The observer keeps these and never the objects, so that its memory is small and two projections differ only when
something that matters to a drill has changed. Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from sys import intern
from typing import Any

from offbus.errors import StepError
from offbus_steps.nvsentinel import names
from offbus_steps.nvsentinel.findings import (
    Finding,
    node_findings,
    report_fault,
    report_finding,
    told_message,
    tracked_findings,
)
from offbus_steps.port import Object, Ref
from offbus_steps.workloads import gpus, pods
from offbus_steps.workloads.controllers import Controller, controller
from offbus_steps.workloads.quantity import count
from offbus_steps.workloads.shim_fields import is_loaded_with, is_prepared
from offbus_steps.workloads.workload_kinds import workload_of

__all__ = [
    "ContainerProjection",
    "MaintenanceProjection",
    "NodeProjection",
    "PodProjection",
    "Projection",
    "ReportProjection",
    "WorkloadProjection",
    "project",
    "project_node",
]


@dataclass(frozen=True, slots=True)
class NodeProjection:
    """A node: its cordon and the responder's marks."""

    ref: Ref
    cordoned: bool
    taints: tuple[str, ...]
    """"key=value:effect", sorted; without the cordon's own taint."""
    labels: Mapping[str, str]
    """The responder's only."""
    annotations: Mapping[str, str]
    """The responder's only."""
    conditions: Mapping[str, tuple[str, str]]
    """type -> (status, reason)."""
    findings: tuple[Finding, ...] = ()
    """What its conditions say that is wrong with it, to the bound of `node_findings`."""
    tracked: tuple[Finding, ...] = ()
    """What a responder has it in quarantine for, to the bound of `tracked_findings`."""

    @property
    def state(self) -> str:
        """The responder's state label; "" for none."""
        return names.state(self.labels)

    @property
    def unhealthy(self) -> frozenset[str]:
        """Conditions by which the responder marks the node as unhealthy."""
        listed = ({"type": t, "status": s, "reason": r} for t, (s, r) in self.conditions.items())
        return frozenset(names.fault_conditions(listed))


@dataclass(frozen=True, slots=True)
class ContainerProjection:
    """One container of a pod."""

    name: str
    restarts: int
    running: bool
    exit_code: int | None
    """Of the newest process that ended: the current one, or the one before the restart."""
    signal: int | None
    reason: str
    """Why that process ended: Error, OOMKilled, …"""


@dataclass(frozen=True, slots=True)
class PodProjection:
    """A pod."""

    ref: Ref
    uid: str
    node: str
    """ "" until it is scheduled."""
    phase: str
    ready: bool
    terminating: bool
    evicted: bool
    """By its DisruptionTarget condition."""
    gpus: int
    devices: tuple[str, ...]
    labels: Mapping[str, str]
    containers: tuple[ContainerProjection, ...]
    http_port: int | None
    shim: bool = False
    """Whether one of its containers has the shim in its environment."""
    engines: tuple[str, ...] = ()
    """Its containers that hold GPUs."""
    other_gpus: tuple[str, ...] = ()
    """What it requests that may be GPUs and cannot be targeted, by name."""
    controller: Controller | None = None
    """Which object made it, as it says itself."""

    @property
    def active(self) -> bool:
        """Whether it holds its resources and is not terminating."""
        return not self.terminating and self.phase not in ("Succeeded", "Failed")

    @property
    def restarts(self) -> int:
        """The restarts of the containers that hold GPUs; of all containers when none does."""
        return sum(one.restarts for one in self.containers if not self.engines or one.name in self.engines)


@dataclass(frozen=True, slots=True)
class WorkloadProjection:
    """A workload of any kind that can be a target."""

    ref: Ref
    uid: str
    generation: int
    desired: int
    """How many pods it should have."""
    rolled_out: bool
    """Whether its controller reports the newest spec as rolled out and ready."""
    shim: bool = False
    """Whether its spec loads the shim."""


@dataclass(frozen=True, slots=True)
class ReportProjection:
    """A Kubernetes Event by which a responder reports a fault that is not fatal."""

    ref: Ref
    node: str
    check: str
    """Its type: the check that found it, such as SysLogsXIDError."""
    reason: str
    message: str
    count: int
    finding: Finding
    fault: str
    """The id of the drill's fault whose kernel line it repeats; "" where it repeats none."""


@dataclass(frozen=True, slots=True)
class MaintenanceProjection:
    """A responder's resource that requests a reboot, a reset or a validation of a node."""

    ref: Ref
    node: str
    done: str
    """Its result: "True" or "False"; "" until there is one."""
    gpus: tuple[str, ...] = ()
    """UUIDs and PCI addresses of the GPUs that it selects; none for the whole node."""
    begun: bool = False
    """Whether it has begun: the janitor has sent its signal, or says when it started; the validation runs."""

    @property
    def validates(self) -> bool:
        """Whether it requests no repair, but a validation after it."""
        return self.ref.kind == names.VALIDATION_KIND


Projection = NodeProjection | PodProjection | WorkloadProjection | ReportProjection | MaintenanceProjection


def project(obj: Object) -> Projection | None:
    """The projection of an object; None for Events and maintenance resources that are not a responder's, and for pods
    that a node's kubelet created: they have any labels that it likes, and are no target's."""
    kind = obj["kind"]
    if kind == "Node":
        return project_node(obj)
    if kind == "Pod":
        return None if pods.is_of_kubelet(obj) else _pod(obj)
    if kind == "Event":
        return _report(obj)
    if kind in names.MAINTENANCE_KINDS:
        return _maintenance(obj)
    return _workload(obj)


def project_node(obj: Object) -> NodeProjection:
    """The projection of a node."""
    meta, spec = obj["metadata"], obj.get("spec") or {}
    taints = (
        f"{one['key']}={one.get('value', '')}:{one['effect']}"
        for one in spec.get("taints") or ()
        if one["key"] != "node.kubernetes.io/unschedulable"
    )
    conditions = (obj.get("status") or {}).get("conditions") or ()
    annotations = names.quarantine_marks(meta.get("annotations"))
    return NodeProjection(
        ref=Ref("Node", meta["name"]),
        cordoned=bool(spec.get("unschedulable")),
        taints=tuple(sorted(taints)),
        labels=names.quarantine_marks(meta.get("labels")),
        annotations=annotations,
        conditions={
            intern(one["type"]): (intern(one["status"]), intern(one.get("reason", ""))) for one in conditions
        },  # the same few strings on each of thousands of nodes
        findings=node_findings(conditions),
        tracked=tracked_findings(annotations),
    )


def _report(obj: Object) -> ReportProjection | None:
    about = obj.get("involvedObject") or {}
    if about.get("kind") != "Node" or not names.is_report(obj):
        return None
    return ReportProjection(
        ref=Ref.of(obj),
        node=str(about.get("name", "")),
        check=str(obj.get("type", "")),
        reason=str(obj["reason"]),
        message=told_message(obj.get("message")),
        count=int(obj.get("count") or 1),
        finding=report_finding(obj),
        fault=report_fault(obj),
    )


def _maintenance(obj: Object) -> MaintenanceProjection | None:
    if not names.is_maintenance(obj["kind"], obj["metadata"].get("labels") or {}):
        return None
    status = obj.get("status") or {}
    if obj["kind"] == names.VALIDATION_KIND:
        return _validation(obj, str(status.get("phase", "")))
    wanted = names.COMPLETE_CONDITION[obj["kind"]]
    conditions = status.get("conditions") or ()
    told = (str(one.get("status")) for one in conditions if one.get("type") == wanted)
    sent = any(one.get("type") == names.SIGNAL_SENT and one.get("status") == "True" for one in conditions)
    spec = obj.get("spec") or {}
    selected = spec.get("selector") or {}
    return MaintenanceProjection(
        ref=Ref.of(obj),
        node=str(spec.get("nodeName", "")),
        gpus=tuple(str(one) for key in ("uuids", "pciBusIDs") for one in selected.get(key) or ()),
        done=next((result for result in told if result in ("True", "False")), ""),
        begun=sent or bool(status.get("startTime")),
    )


def _validation(obj: Object, phase: str) -> MaintenanceProjection | None:
    """A validation of one node: one of several is no answer to a fault (NVSentinel validates new nodes together)."""
    nodes = [str(one.get("name", "")) for one in (obj.get("spec") or {}).get("nodes") or ()]
    if len(nodes) != 1:
        return None
    done, begun = names.VALIDATED.get(phase, ""), phase not in ("", "Pending")
    return MaintenanceProjection(ref=Ref.of(obj), node=nodes[0], done=done, begun=begun)


def _pod(obj: Object) -> PodProjection:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    return PodProjection(
        ref=Ref.of(obj),
        uid=obj["metadata"]["uid"],
        node=spec.get("nodeName") or "",
        phase=status.get("phase", "Pending"),
        ready=pods.is_ready(obj),
        terminating=pods.is_terminating(obj),
        evicted=any(
            one.get("type") == "DisruptionTarget" and one.get("status") == "True"
            for one in status.get("conditions") or ()
        ),
        gpus=gpus.gpu_request(spec),
        devices=gpus.held_gpus(obj),
        labels=dict(obj["metadata"].get("labels") or {}),
        containers=tuple(map(_container, pods.statuses(obj))),
        http_port=pods.http_port(spec),
        shim=any(map(is_loaded_with, pods.containers(spec))),
        engines=tuple(intern(str(one["name"])) for _, one in gpus.gpu_containers(spec)),
        other_gpus=tuple(map(intern, gpus.other_gpus(spec))),
        controller=controller(obj),
    )


def _container(status: Mapping[str, Any]) -> ContainerProjection:
    state, last = status.get("state") or {}, status.get("lastState") or {}
    ended = state.get("terminated") or last.get("terminated") or {}
    return ContainerProjection(
        name=status["name"],
        restarts=count(status, "restartCount", 0),
        running="running" in state,
        exit_code=ended.get("exitCode"),
        signal=ended.get("signal"),
        reason=ended.get("reason", ""),
    )


def _workload(obj: Object) -> WorkloadProjection:
    workload = workload_of(obj)
    try:
        shim = is_prepared(workload)
    except StepError:
        # its GPUs cannot be read: it may be anybody's, and the steps tell it of their own target
        shim = False
    return WorkloadProjection(
        ref=workload.ref,
        uid=obj["metadata"]["uid"],
        generation=count(obj["metadata"], "generation", 0),
        desired=workload.desired,
        rolled_out=workload.rolled_out,
        shim=shim,
    )
