"""How a fault is injected: checks, undos, one request, proof. The step types of offbus_steps.inject are its callers.

In this order: resolve the place; ask the guards, the agent's planes and the pod; record the undos (what the platform
may do to the node, the restart of processes that stay broken, the disarm); look again that the pod did not move; one
request; lease, follower and proof. Anything refused before the request has changed nothing.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field, field_validator

from offbus.durations import Duration
from offbus.errors import StepError, StepFailed
from offbus.step import Context, FromAncestor, Outputs, Params
from offbus_steps.cluster import Cluster, cluster_of
from offbus_steps.faults import MISSING_PROOF, Fault
from offbus_steps.node_agent import NOT_SHOWN
from offbus_steps.place import Place, find_place, require_evictable, require_prepared, require_still_there
from offbus_steps.port import Ref
from offbus_steps.prepare import required_target
from offbus_steps.target import Target, target_pods
from offbus_steps.undos import ClearConsequences, DisarmFault, RestartFaulted
from offbus_steps.undos.maintenance import maintenance_of

__all__ = ["PAGE_PLANES", "InjectOutputs", "Plane", "XidParams", "inject", "require_showing", "usual_planes"]


class Plane(StrEnum):
    """Where a fault shows."""

    KERNEL = "kernel"
    CUDA = "cuda"
    NVML = "nvml"


PAGE_PLANES = frozenset({Plane.CUDA, Plane.NVML})
"""Planes that need the shim in the process."""
FAULT_ID_LENGTH = 39
"""The agent's limit (offbus_agent.models.FaultId)."""


class XidParams(Params):
    """Which fault, and where."""

    target: Annotated[Target | None, FromAncestor("target")] = Field(
        default=None, description="The workload; by default that of the ancestor that outputs one."
    )
    xid: int = Field(default=79, description="The XID: a number of NVIDIA's catalogue.")
    node: str | None = Field(
        default=None,
        description="Default: the node of the target's first ready pod, by name, that asks for GPUs.",
    )
    gpus: list[str] | None = Field(
        default=None, min_length=1, description="UUIDs of the GPUs; default: those that this pod holds."
    )
    ttl: Duration = Field(
        default=timedelta(seconds=15),
        description="How long the fault outlives a runner that no longer renews its lease.",
    )
    patience: Duration = Field(
        default=timedelta(seconds=30),
        description="How long the undo waits for the responder, each time, before it clears the node itself.",
    )

    @field_validator("xid")
    @classmethod
    def _known(cls, xid: int) -> int:
        from offbus_agent.catalogue import UnknownXid, lookup

        try:
            lookup(xid)
        except UnknownXid as err:
            raise ValueError(err.message) from err
        return xid


class InjectOutputs(Outputs):
    """The fault, injected."""

    fault: Fault = Field(description="The fault; later steps take it by default.")
    node: str = Field(description="Where it was injected.")
    gpus: list[str] = Field(description="UUIDs of the faulted GPUs.")
    xid: int = Field(description="The XID.")
    pod: str = Field(description="The pod whose GPUs were faulted.")
    injected_seq: int = Field(description="Event of the journal that declared it.")


async def inject(ctx: Context, params: XidParams, planes: tuple[Plane, ...]) -> InjectOutputs:
    """Inject one fault on the given planes. Raises StepError, StepFailed, GuardRefused."""
    cluster, target = cluster_of(ctx), required_target(params.target)
    require_showing(params.xid, planes)
    await cluster.observer.watch_target(target)
    place = find_place(cluster, target, params.node, params.gpus)
    cordons = await _require_allowed(cluster, params.xid, target, place, planes)
    await _require_planes(cluster, place, planes)
    await _require_pod(cluster, place, planes)
    fault = _new_fault(ctx, cluster, params.xid, target, place, planes)
    await _record_undos(ctx, cluster, params, place, fault, cordons=cordons)
    await _require_pod(cluster, place, planes)
    cluster.leases.check()
    declared = ctx.fault_declared(
        fault=fault.id,
        subject=f"{place.node} ({place.pod.ref.name})",
        planes={plane: MISSING_PROOF[plane] for plane in fault.planes},
    )
    fault = fault.model_copy(update={"injected_seq": declared.seq, "injected_ns": declared.mono_ns})
    made = await cluster.agents.create(place.node, _request(fault, params.ttl))
    cluster.leases.hold(place.node, fault.id, params.ttl.total_seconds(), declared.mono_ns)
    cluster.faults.follow(fault, target)
    _prove_armed(ctx, cluster, fault, made)
    return InjectOutputs(
        fault=fault,
        node=fault.node,
        gpus=fault.gpus,
        xid=fault.xid,
        pod=place.pod.ref.name,
        injected_seq=fault.injected_seq,
    )


def usual_planes(xid: int) -> tuple[Plane, ...]:
    """Where an XID shows on real hardware, by the catalogue."""
    from offbus_agent.catalogue import lookup

    return tuple(Plane(plane.value) for plane in lookup(xid).planes)


def require_showing(xid: int, planes: Sequence[Plane]) -> None:
    """Raises StepError for a plane on which the XID has nothing to show: it could never be proven."""
    from offbus_agent.catalogue import lookup

    entry = lookup(xid)
    shown = {Plane.KERNEL} | {p for p, code in ((Plane.CUDA, entry.cuda), (Plane.NVML, entry.nvml)) if code}
    if missing := [plane for plane in planes if plane not in shown]:
        names = " and ".join(plane.value for plane in missing)
        raise StepError(
            f"XID {xid} ({entry.mnemonic}) does not show in {names}: nothing there could prove it",
            hint=f"planes of XID {xid}: {', '.join(plane for plane in Plane if plane in shown)}",
        )


async def _require_allowed(
    cluster: Cluster, xid: int, target: Target, place: Place, planes: tuple[Plane, ...]
) -> bool:
    """Ask the guards; whether a responder is expected to quarantine the node."""
    from offbus_agent.catalogue import lookup

    cluster.guards.require_namespace(place.pod.ref.namespace)
    entry = lookup(xid)
    cordons = Plane.KERNEL in planes and entry.cordons
    if cordons or PAGE_PLANES & set(planes):
        cluster.guards.require_healthy_elsewhere(cluster.log.world, target, {place.node})
    if not cordons:
        return False
    cluster.guards.require_cordon_room(cluster.log.world, place.node)
    node = await cluster.port.objects.get(Ref("Node", place.node))
    cluster.guards.require_no_real_remediation(node, entry.nvsentinel_action)
    await require_evictable(cluster, place.node)
    return True


async def _require_planes(cluster: Cluster, place: Place, planes: tuple[Plane, ...]) -> None:
    health = await cluster.agents.health(place.node)
    for plane in planes:
        found = health["planes"].get(plane.value) or {"ok": False, "why": "the agent does not have it"}
        if not found["ok"]:
            message = f"plane {plane.value} of {place.node} cannot be used: {found['why']}"
            raise StepFailed(message) if found.get("code") == NOT_SHOWN else StepError(message)
    known = {gpu["uuid"] for gpu in health["gpus"]}
    if unknown := [gpu for gpu in place.gpus if gpu not in known]:
        raise StepError(
            f"{place.node} has no GPU {', '.join(unknown)}", hint=f"it has {', '.join(sorted(known))}"
        )


async def _require_pod(cluster: Cluster, place: Place, planes: tuple[Plane, ...]) -> None:
    pod = await require_still_there(cluster, place)
    if PAGE_PLANES & set(planes):
        require_prepared(pod)


def _new_fault(
    ctx: Context, cluster: Cluster, xid: int, target: Target, place: Place, planes: tuple[Plane, ...]
) -> Fault:
    from secrets import token_hex

    suffix = token_hex(3)
    step = ctx.step.replace("_", "-")[: FAULT_ID_LENGTH - len(ctx.run_id) - len(suffix) - 2]
    return Fault(
        id=f"{ctx.run_id}-{step}-{suffix}",
        node=place.node,
        gpus=list(place.gpus),
        xid=xid,
        planes=[plane.value for plane in planes],
        holders={gpu: pod.ref.name for gpu, pod in place.holders.items()},
        pods={
            pod.uid: pod.ref.name for pod in target_pods(cluster.log.world, target) if pod.node == place.node
        },
        mark=cluster.log.mark(),
        injected_seq=0,
        injected_ns=0,
    )


async def _record_undos(
    ctx: Context, cluster: Cluster, params: XidParams, place: Place, fault: Fault, *, cordons: bool
) -> None:
    if Plane.KERNEL in fault.planes:
        node = await cluster.port.objects.get(Ref("Node", place.node))
        maintenance = await maintenance_of(cluster, place.node)
        await ctx.undo(
            ClearConsequences.before(
                node, fault=fault.id, expected=cordons, patience=params.patience, maintenance=maintenance
            )
        )
    if PAGE_PLANES & set(fault.planes):
        await ctx.undo(RestartFaulted(node=place.node, fault=fault.id, holders=place.restartable))
    await ctx.undo(DisarmFault(fault=fault))


def _request(fault: Fault, ttl: timedelta) -> dict[str, Any]:
    return {
        "id": fault.id,
        "xid": fault.xid,
        "gpus": fault.gpus,
        "planes": fault.planes,
        "ttl_s": ttl.total_seconds(),
        "armed": True,
    }


def _prove_armed(ctx: Context, cluster: Cluster, fault: Fault, made: Mapping[str, Any]) -> None:
    """Read off the agent's answer what it read back itself. Raises StepFailed when an effect does not show."""
    if made["state"] != "armed":
        raise StepFailed(f"fault {fault.id} is {made['state']}, not armed, on {fault.node}")
    if Plane.KERNEL in fault.planes and not made["kernel"]:
        raise StepFailed(f"fault {fault.id}: {MISSING_PROOF['kernel']} of {fault.node}")
    for entry in made["kernel"]:
        evidence = {"seq": entry["seq"], "line": entry["line"], "node": fault.node}
        moment = cluster.clocks.moment(fault.node, entry["at_ns"])
        ctx.fault_proven(fault=fault.id, plane=Plane.KERNEL.value, evidence=evidence, at=moment)
