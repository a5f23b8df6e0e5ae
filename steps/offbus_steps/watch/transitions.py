"""What changed between two projections of one object, as text for the timeline of a drill. Pure.

One update may have several transitions; their order is fixed: cause before consequence (a container's end before the
pod's unreadiness, the cordon before the state label).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from offbus.declared import StatementTone
from offbus_steps.nvsentinel import names
from offbus_steps.watch.projections import (
    MaintenanceProjection,
    NodeProjection,
    PodProjection,
    Projection,
    ReportProjection,
    WorkloadProjection,
)

__all__ = ["Change", "What", "changes"]

FAILED_STATES = frozenset((names.NodeState.DRAIN_FAILED, names.NodeState.REMEDIATION_FAILED))


class What(StrEnum):
    """The kinds of change."""

    NODE_CORDONED = "cordoned"
    NODE_UNCORDONED = "uncordoned"
    NODE_STATE = "state"
    NODE_CONDITION = "condition"
    NODE_QUARANTINE = "quarantine"
    NODE_TAINTS = "taints"
    NODE_REPORTED = "reported"
    MAINTENANCE_ASKED = "asked for"
    MAINTENANCE_DONE = "completed"
    MAINTENANCE_FAILED = "failed"
    MAINTENANCE_GONE = "removed"
    POD_SCHEDULED = "scheduled"
    POD_READY = "ready"
    POD_NOT_READY = "not ready"
    POD_ENDED = "process ended"
    POD_RESTARTED = "restarted"
    POD_EVICTED = "evicted"
    POD_TERMINATING = "terminating"
    POD_DELETED = "deleted"
    WORKLOAD_CHANGED = "spec changed"


TONES: Mapping[What, StatementTone] = {
    What.NODE_CORDONED: "caution",
    What.NODE_UNCORDONED: "good",
    What.NODE_STATE: "caution",
    What.NODE_TAINTS: "caution",
    What.MAINTENANCE_FAILED: "bad",
    What.MAINTENANCE_GONE: "dim",
    What.POD_READY: "good",
    What.POD_NOT_READY: "caution",
    What.POD_ENDED: "bad",
    What.POD_RESTARTED: "caution",
    What.POD_EVICTED: "caution",
    What.POD_TERMINATING: "caution",
    What.POD_DELETED: "dim",
}
"""What a change means to who looks at the drill, where it does not depend on the value."""


@dataclass(frozen=True, slots=True)
class Change:
    """One change of one object."""

    what: What
    to: str
    """The text in the timeline: "cordoned", "state draining", "SysLogsXIDError True" …"""
    was: str | None = None
    evidence: Mapping[str, Any] = field(default_factory=dict)
    value_tone: StatementTone | None = None
    """What the new value means, where that is not the same for every value."""

    @property
    def tone(self) -> StatementTone | None:
        """What it means to who looks at the drill."""
        return self.value_tone or TONES.get(self.what)

    @property
    def brief(self) -> str:
        """The reasons that the cluster gives."""
        return ", ".join(str(self.evidence[key]) for key in ("reason", "message") if self.evidence.get(key))


def changes(was: Projection | None, now: Projection | None) -> list[Change]:
    """All changes from one projection to the next; None means that the object does not exist."""
    if isinstance(now, NodeProjection):
        return list(_node(was, now)) if isinstance(was, NodeProjection) else []
    if isinstance(now, PodProjection):
        return list(_pod(was if isinstance(was, PodProjection) else None, now))
    if isinstance(now, WorkloadProjection):
        if not isinstance(was, WorkloadProjection) or was.generation == now.generation:
            return []
        old, new = (
            f"generation {one.generation}{', with the shim' if one.shim else ''}" for one in (was, now)
        )
        return [Change(What.WORKLOAD_CHANGED, new, was=old)]
    if isinstance(now, ReportProjection):  # a repetition increases the count of the same Event
        if now.count <= (was.count if isinstance(was, ReportProjection) else 0):
            return []
        evidence = {"node": now.node, "reason": now.reason, "message": now.message, "count": now.count}
        return [Change(What.NODE_REPORTED, f"event {now.check}", evidence=evidence)]
    if isinstance(now, MaintenanceProjection):
        return list(_maintenance(was, now))
    if isinstance(was, PodProjection):
        return [Change(What.POD_DELETED, "deleted", evidence=_where(was))]
    if isinstance(was, MaintenanceProjection):
        return [Change(What.MAINTENANCE_GONE, "removed", evidence={"node": was.node})]
    return []


def _node(was: NodeProjection, now: NodeProjection) -> Iterator[Change]:
    yield from _conditions(was, now)
    if was.tracked != now.tracked:
        old, new = (", ".join(map(str, one.tracked)) or "nothing" for one in (was, now))
        yield Change(What.NODE_QUARANTINE, f"in quarantine for {new}", was=old)
    if was.cordoned != now.cordoned:
        by_responder = names.cordoned_by_responder if now.cordoned else names.uncordoned_by_responder
        evidence = {
            "by_responder": by_responder(now.labels, now.annotations),
            "labels": dict(now.labels),
            "annotations": sorted(now.annotations),
        }
        if now.cordoned:
            yield Change(What.NODE_CORDONED, "cordoned", was="schedulable", evidence=evidence)
        else:
            yield Change(What.NODE_UNCORDONED, "uncordoned", was="cordoned", evidence=evidence)
    if was.state != now.state:
        yield Change(
            What.NODE_STATE,
            f"state {now.state or 'none'}",
            was=f"state {was.state or 'none'}",
            value_tone="bad" if now.state in FAILED_STATES else None if now.state else "dim",
        )
    if was.taints != now.taints:
        yield Change(
            What.NODE_TAINTS,
            f"taints {', '.join(now.taints) or 'none'}",
            was=", ".join(was.taints) or "none",
            value_tone=None if now.taints else "dim",
        )


def _conditions(was: NodeProjection, now: NodeProjection) -> Iterator[Change]:
    for name in sorted(was.conditions.keys() | now.conditions.keys()):
        before, after = was.conditions.get(name), now.conditions.get(name)
        told, tells = ([one for one in node.findings if one.check == name] for node in (was, now))
        if before == after and told == tells:
            continue
        status = after[0] if after else "removed"
        evidence: dict[str, Any] = {
            "condition": name,
            "status": status,
            "reason": after[1] if after else "",
            "findings": [str(one) for one in tells],
        }
        before_status = before[0] if before else None
        if before_status != status or told != tells:
            old = f"{name} {before_status}" if before_status else None
            tone = _tone_of_condition(name, status)
            yield Change(What.NODE_CONDITION, f"{name} {status}", was=old, evidence=evidence, value_tone=tone)


def _tone_of_condition(name: str, status: str) -> StatementTone | None:
    """Of a condition's new status: Ready is good, every other one tells of something wrong."""
    if name == "Ready":
        return "good" if status == "True" else "dim" if status == "removed" else "bad"
    return "caution" if status == "True" else None if status == "Unknown" else "dim"


def _pod(was: PodProjection | None, now: PodProjection) -> Iterator[Change]:
    if now.node and not (was and was.node):
        yield Change(What.POD_SCHEDULED, f"scheduled on {now.node}", evidence=_where(now))
    before = {one.name: one for one in (was.containers if was else ())}
    for one, old in ((one, before[one.name]) for one in now.containers if one.name in before):
        restarted = one.restarts > old.restarts
        evidence = {
            "container": one.name,
            "exit_code": one.exit_code,
            "signal": one.signal,
            "reason": one.reason,
            "restarts": one.restarts,
            "holds_gpus": one.name in now.engines,
        }
        if old.running and one.exit_code is not None and (restarted or not one.running):
            end = f"ended by signal {one.signal}" if one.signal else f"ended with {one.exit_code}"
            yield Change(What.POD_ENDED, end, evidence=evidence)
        if restarted:
            yield Change(What.POD_RESTARTED, f"restarted ({one.restarts})", evidence=evidence)
    if was and now.evicted and not was.evicted:
        yield Change(What.POD_EVICTED, "evicted", evidence=_where(now))
    if was and now.terminating and not was.terminating:
        yield Change(What.POD_TERMINATING, "terminating", evidence=_where(now))
    if now.ready != (was.ready if was else False) and not now.terminating:
        what = What.POD_READY if now.ready else What.POD_NOT_READY
        yield Change(what, what.value, evidence=_where(now))


def _where(pod: PodProjection) -> dict[str, Any]:
    return {"node": pod.node, "uid": pod.uid, "gpus": list(pod.devices)}


def _maintenance(was: Projection | None, now: MaintenanceProjection) -> Iterator[Change]:
    evidence = {"node": now.node}
    if was is None:
        yield Change(What.MAINTENANCE_ASKED, "asked for", evidence=evidence)
    if now.done and now.done != (was.done if isinstance(was, MaintenanceProjection) else ""):
        what = What.MAINTENANCE_DONE if now.done == "True" else What.MAINTENANCE_FAILED
        yield Change(what, what.value, evidence=evidence)
