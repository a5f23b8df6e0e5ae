"""Runs `inject_fault`, `inject_xid` and `arm_cuda`: checks, undos, requests, proof.

In this order: resolve the locations; check the guards for all of them together, and each agent's planes and pods;
record every undo (the responder's circuit breaker, what the platform may do to the node, the restart of processes that
stay broken, the disarm); then, for each location, check again that its pods did not move, and send one request with
lease, follower and proof: all at once, or one after another. A refusal before the first request has changed nothing.
Each node has a fault of its own: one id, one lease, one set of undos, one proof for each plane.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import anyio

from offbus.errors import GuardRefused, StepError, StepFailed
from offbus.step import Context
from offbus_agent.catalogue.plane import PAGE_PLANES, Plane
from offbus_steps.agents.client import NOT_SHOWN, AgentRefused
from offbus_steps.agents.fault_model import Fault
from offbus_steps.agents.live_faults import MISSING_PROOF
from offbus_steps.cluster.cluster import Cluster, cluster_of
from offbus_steps.inject.blast_radius import require_allowed
from offbus_steps.inject.breaker_watch import watch_breaker
from offbus_steps.inject.expected import expected_on
from offbus_steps.inject.fault_options import Asked, asked_by
from offbus_steps.inject.location import Location, find_locations, require_prepared, require_still_there
from offbus_steps.inject.maintenance import maintenance_of
from offbus_steps.inject.planes import require_showing, usual_planes
from offbus_steps.inject.step_types import ArmParams, InjectOutputs, InjectParams, LineParams, XidParams
from offbus_steps.inject.undo_consequences import ClearConsequences
from offbus_steps.inject.undo_disarm import DisarmFault
from offbus_steps.inject.undo_restart import RestartFaulted
from offbus_steps.nvsentinel import names
from offbus_steps.nvsentinel.dry_run import ACTING_HINT, acting, parts_of
from offbus_steps.nvsentinel.settings import answering_standin
from offbus_steps.nvsentinel.standin import STANDIN_NAME
from offbus_steps.port import Ref, Unavailable
from offbus_steps.watch.attention import Attention
from offbus_steps.watch.target_pods import target_pods
from offbus_steps.workloads.target import Target, required_target

__all__ = ["arm_cuda", "inject_fault", "inject_xid"]

FAULT_ID_LENGTH = 39
"""The agent's limit (offbus_agent.models.FaultId)."""


@dataclass(frozen=True, slots=True)
class Aim:
    """One fault to inject."""

    location: Location
    fault: Fault


async def inject_fault(ctx: Context, params: InjectParams) -> InjectOutputs:
    """One fault on all given planes."""
    planes = params.planes or usual_planes(params.xid)
    return await _inject(ctx, params, tuple(dict.fromkeys(planes)), asked_by(params, params))


async def inject_xid(ctx: Context, params: LineParams) -> InjectOutputs:
    """The kernel line alone: detectors see it, processes are not affected."""
    return await _inject(ctx, params, (Plane.KERNEL,), asked_by(params, None))


async def arm_cuda(ctx: Context, params: ArmParams) -> InjectOutputs:
    """The CUDA and NVML planes alone, as far as the XID shows there: processes fail, and detectors see nothing."""
    usual, asked = usual_planes(params.xid), asked_by(None, params)
    planes = tuple(
        plane for plane in Plane if plane in PAGE_PLANES and (plane in usual or plane in asked.coded)
    )
    if not planes:
        raise StepError(
            f"XID {params.xid} does not show in CUDA or NVML", hint="use inject_xid, or another XID"
        )
    return await _inject(ctx, params, planes, asked)


async def _inject(ctx: Context, params: XidParams, planes: tuple[Plane, ...], asked: Asked) -> InjectOutputs:
    """Inject a fault on the given planes, on each node. Raises StepError, StepFailed, GuardRefused."""
    cluster, target = cluster_of(ctx), required_target(params.target)
    require_showing(params.xid, planes, asked.shown)
    # The watches begin before anything is looked at: "after the injection" is their order, never a time.
    await cluster.observer.watch_target(target)
    if Plane.KERNEL in planes:
        await cluster.observer.watch_responses()
    locations = await find_locations(cluster, target, params)
    expected = await expected_on(cluster, params.xid, locations, planes)
    allowed = await require_allowed(cluster, target, expected, planes)
    for why in allowed.unknown:
        ctx.observed(lane="workload", subject=str(target), to=f"cannot tell whether it fits elsewhere: {why}")
    if allowed.cordons:
        await _look_at_responder(ctx, cluster)
    nodes = [location.node for location in locations]
    aims = []
    for location, one in zip(locations, expected, strict=True):
        pcis = await _require_planes(cluster, location, planes)
        await _require_pods(cluster, location, planes)
        fault = _new_fault(ctx, cluster, params.xid, target, location, planes, nodes)
        aims.append(Aim(location, fault.model_copy(update={"pcis": pcis, "actions": list(one.actions)})))
    for why in allowed.attention:
        ctx.needs_attention(why)
    if allowed.cordons:
        await watch_breaker(ctx, cluster, allowed.cordons)
    for aim in aims:
        await _record_undos(ctx, cluster, params, aim, cordons=aim.fault.node in allowed.cordons)
    faults = await Firing(ctx, cluster, target, planes, params, asked).all(aims)
    return _outputs(aims, faults)


@dataclass(frozen=True, slots=True)
class Firing:
    """The requests to the agents."""

    ctx: Context
    cluster: Cluster
    target: Target
    planes: tuple[Plane, ...]
    params: XidParams
    asked: Asked

    async def all(self, aims: Sequence[Aim]) -> list[Fault]:
        """All at once, or one after another. Raises the first error once all requests have ended."""
        if self.params.stagger:
            return [await self._one(aim, pause=bool(number)) for number, aim in enumerate(aims)]
        found: list[Fault | Exception] = [StepError("not asked")] * len(aims)

        async def keep(number: int, aim: Aim) -> None:
            try:
                found[number] = await self._one(aim)
            except Exception as err:  # noqa: BLE001  raised below: here it would cancel the other requests
                found[number] = err

        async with anyio.create_task_group() as tasks:
            for number, aim in enumerate(aims):
                tasks.start_soon(keep, number, aim)
        for one in found:
            if isinstance(one, Exception):
                raise one
        return [one for one in found if isinstance(one, Fault)]

    async def _one(self, aim: Aim, *, pause: bool = False) -> Fault:
        ctx, cluster, location, fault = self.ctx, self.cluster, aim.location, aim.fault
        if pause:
            await ctx.sleep(self.params.stagger)
        await _require_pods(cluster, location, self.planes)
        # Nothing waits from here to the request: what is seen after the mark is seen after the injection, and the lease
        # that was checked is the one under which the fault is armed.
        cluster.leases.check()
        mark = cluster.log.mark()
        holding = [pod.ref.name for pod in location.holding]
        declared = ctx.fault_declared(
            fault=fault.id,
            subject=f"{location.node} ({', '.join(holding or location.gpus)})",
            planes={plane: MISSING_PROOF[plane] for plane in fault.planes},
        )
        seen = {"injected_seq": declared.seq, "injected_ns": declared.mono_ns, "mark": mark}
        fault = fault.model_copy(update=seen)
        ttl_s = self.params.ttl.total_seconds()
        request = fault.model_dump(include={"id", "xid", "gpus", "planes"}) | {"ttl_s": ttl_s, "armed": True}
        request |= self.asked.request
        made = await cluster.agents.create(location.node, request)
        # Counted from before the request: the agent's lease began later, so ours is over first.
        cluster.leases.hold(location.node, fault.id, ttl_s, declared.mono_ns)
        cluster.faults.follow(fault, self.target)
        if self.asked.duration is not None:
            seconds = self.asked.duration.total_seconds()
            cluster.tasks.start(_end_after, cluster, fault, seconds, name=f"the duration of {fault.id}")
        _prove_armed(ctx, cluster, fault, made)
        if Plane.KERNEL in fault.planes:
            self._watch_for_attention(fault)
        return fault

    def _watch_for_attention(self, fault: Fault) -> None:
        """Say that a human must act: as the catalogue expects it now, and as the responder says from now on."""
        from offbus_agent.catalogue.catalogue import lookup

        entry = lookup(fault.xid)
        expected = next((action for action in fault.actions if action in names.HUMAN_ACTIONS), "")
        if expected:
            self.ctx.needs_attention(
                f"XID {fault.xid} ({entry.mnemonic}) on {fault.node}: NVSentinel recommends "
                f"{expected}, which no maintenance answers"
            )
        log = self.cluster.log
        attention = Attention(self.ctx, log, fault.node, fault.cause, fault.mark, expected)
        self.cluster.observer.check(attention)
        attention()


async def _end_after(cluster: Cluster, fault: Fault, seconds: float) -> None:
    """Disarm it after its duration. An agent that cannot be asked then ends it by its lease, which is not renewed."""
    await anyio.sleep(seconds)
    if cluster.faults.live[fault.id].ended_ns is not None:
        return
    cluster.leases.release(fault.id)
    with suppress(AgentRefused, Unavailable):
        await cluster.agents.act(fault.node, fault.id, "disarm")


async def _look_at_responder(ctx: Context, cluster: Cluster) -> None:
    """Whether it is in dry run, and which release a stand-in plays. Raises GuardRefused."""
    cluster.responder_parts = await parts_of(cluster.port.objects, cluster.guards.responder_namespace)
    if cluster.dry_run_only and (why := acting(cluster.responder_parts)):
        raise GuardRefused("; ".join(why), hint=ACTING_HINT)
    where = cluster.guards.responder_namespace
    if (standin := await answering_standin(cluster.port.objects, where)) is not None:
        to = f"plays {standin}" if standin.profile else str(standin)
        ctx.observed(lane="responder", subject=STANDIN_NAME, to=to)


def _outputs(aims: Sequence[Aim], faults: Sequence[Fault]) -> InjectOutputs:
    first = faults[0].model_copy(update={"others": list(faults[1:])})
    return InjectOutputs(
        fault=first,
        node=first.node,
        gpus=first.gpus,
        xid=first.xid,
        pod=next((pod.ref.name for pod in aims[0].location.holding), None),
        injected_seq=first.injected_seq,
        faults=[first, *faults[1:]],
        nodes=[fault.node for fault in faults],
        all_gpus=[gpu for fault in faults for gpu in fault.gpus],
        pods=[pod.ref.name for aim in aims for pod in aim.location.holding],
    )


async def _require_planes(cluster: Cluster, location: Location, planes: tuple[Plane, ...]) -> list[str]:
    """Raises StepError or StepFailed when a plane cannot be used. Returns the GPUs' PCI addresses."""
    health = await cluster.agents.health(location.node)
    for plane in planes:
        found = health["planes"].get(plane.value) or {
            "ok": False,
            "why": "the agent does not have this plane",
        }
        if not found["ok"]:
            why = found.get("why") or "its agent does not say why"
            message = f"plane {plane.value} of {location.node} cannot be used: {why}"
            raise StepFailed(message) if found.get("code") == NOT_SHOWN else StepError(message)
    known = {str(gpu["uuid"]): str(gpu.get("pci", "")) for gpu in health["gpus"]}
    if unknown := [gpu for gpu in location.gpus if gpu not in known]:
        raise StepError(
            f"{location.node} has no GPU {', '.join(unknown)}", hint=f"it has {', '.join(sorted(known))}"
        )
    return [known[gpu] for gpu in location.gpus]


async def _require_pods(cluster: Cluster, location: Location, planes: tuple[Plane, ...]) -> None:
    for pod in await require_still_there(cluster, location):
        if PAGE_PLANES & set(planes):
            require_prepared(pod)


def _new_fault(
    ctx: Context,
    cluster: Cluster,
    xid: int,
    target: Target,
    location: Location,
    planes: tuple[Plane, ...],
    nodes: list[str],
) -> Fault:
    from secrets import token_hex

    suffix = token_hex(
        5
    )  # not to be guessed: an Event that repeats it is the responder's (watch.consequences.Detection)
    step = ctx.step.replace("_", "-")[: FAULT_ID_LENGTH - len(ctx.run_id) - len(suffix) - 2]
    return Fault(
        id=f"{ctx.run_id}-{step}-{suffix}",
        node=location.node,
        nodes=nodes,
        gpus=list(location.gpus),
        xid=xid,
        planes=[plane.value for plane in planes],
        holders={gpu: sharers[0].ref.name for gpu, sharers in location.holders.items()},
        pods={
            pod.uid: pod.ref.name
            for pod in target_pods(cluster.log.world, target)
            if pod.node == location.node
        },
        mark=cluster.log.mark(),
        injected_seq=0,
        injected_ns=0,
    )


async def _record_undos(
    ctx: Context, cluster: Cluster, params: XidParams, aim: Aim, *, cordons: bool
) -> None:
    fault, location = aim.fault, aim.location
    if Plane.KERNEL in fault.planes:
        # Before the node is read: what is not in the record has come after this mark.
        cluster.injected[fault.id] = cluster.log.mark()
        node = await cluster.port.objects.get(Ref("Node", location.node))
        maintenance = await maintenance_of(cluster, location.node)
        await ctx.undo(
            ClearConsequences.before(
                node,
                fault=fault.id,
                cause=fault.cause,
                expected=cordons,
                patience=params.patience,
                maintenance=maintenance,
            )
        )
    if PAGE_PLANES & set(fault.planes):
        await ctx.undo(RestartFaulted(node=location.node, fault=fault.id, holders=location.restartable))
    await ctx.undo(DisarmFault(fault=fault))


def _prove_armed(ctx: Context, cluster: Cluster, fault: Fault, made: Mapping[str, Any]) -> None:
    """Record as proof what the agent read back. Raises StepFailed when an effect does not show."""
    if made["state"] != "armed":
        raise StepFailed(f"fault {fault.id} is {made['state']}, not armed, on {fault.node}")
    if Plane.KERNEL in fault.planes and not made["kernel"]:
        raise StepFailed(f"fault {fault.id}: {MISSING_PROOF[Plane.KERNEL]} of {fault.node}")
    for entry in made["kernel"]:
        evidence = {"seq": entry["seq"], "line": entry["line"], "node": fault.node}
        moment = cluster.clocks.moment(fault.node, entry["at_ns"])
        brief = f"seq {entry['seq']}, {entry['line']}"
        ctx.fault_proven(fault=fault.id, plane=Plane.KERNEL.value, evidence=evidence, at=moment, brief=brief)
