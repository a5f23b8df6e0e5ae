"""What changed between two projections of one object, as text for the timeline of a drill. Pure.

One update may have several transitions; their order is fixed: cause before consequence (a container's end before the
pod's unreadiness, the cordon before the state label).

Of a node, its kubelet and many others may write what they like, as often as they like: one update takes at most
MOST_CONDITIONS changes of conditions, that of the check that finds drills' faults before all others, and texts and
lists have their bounds. The work is in proportion to what the projections hold.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import accumulate, islice
from typing import Any

from offbus.declared import StatementTone
from offbus_steps.nvsentinel import names
from offbus_steps.nvsentinel.findings import by_check
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


MOST_CONDITIONS = 16
"""Changes of conditions that one update tells; one more says how many there are beside them."""
MOST_MARKS = 32
"""Labels or annotations of a responder that a cordon tells; NVSentinel sets fewer than ten."""
LONGEST_TEXT = 1024
"""Characters of a list in words: as many as NVSentinel puts into a condition's message."""
LONGEST_NAME = 128
"""Characters of the name of a condition, of its status and of its reason."""


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
        told = {"reason": _short(now.reason), "message": _short(now.message, LONGEST_TEXT)}
        evidence = {"node": _short(now.node), **told, "count": now.count}
        return [Change(What.NODE_REPORTED, f"event {_short(now.check)}", evidence=evidence)]
    if isinstance(now, MaintenanceProjection):
        return list(_maintenance(was, now))
    if isinstance(was, PodProjection):
        return [Change(What.POD_DELETED, "deleted", evidence=_where(was))]
    if isinstance(was, MaintenanceProjection):
        return [Change(What.MAINTENANCE_GONE, "removed", evidence={"node": _short(was.node)})]
    return []


def _node(was: NodeProjection, now: NodeProjection) -> Iterator[Change]:
    yield from _conditions(was, now)
    if was.tracked != now.tracked:
        old, new = (_listed(one.tracked) or "nothing" for one in (was, now))
        yield Change(What.NODE_QUARANTINE, f"in quarantine for {new}", was=old)
    if was.cordoned != now.cordoned:
        by_responder = names.cordoned_by_responder if now.cordoned else names.uncordoned_by_responder
        evidence = {
            "by_responder": by_responder(now.labels, now.annotations),
            "labels": dict(islice(sorted(now.labels.items()), MOST_MARKS)),
            "annotations": sorted(now.annotations)[:MOST_MARKS],
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
            f"taints {_listed(now.taints) or 'none'}",
            was=_listed(was.taints) or "none",
            value_tone=None if now.taints else "dim",
        )


def _conditions(was: NodeProjection, now: NodeProjection) -> Iterator[Change]:
    told, tells = by_check(was.findings), by_check(now.findings)

    def status(node: NodeProjection, name: str) -> str | None:
        return node.conditions[name][0] if name in node.conditions else None

    names_known = sorted(was.conditions.keys() | now.conditions.keys(), key=_drills_first)
    changed = [
        name
        for name in names_known
        if status(was, name) != status(now, name) or told.get(name) != tells.get(name)
    ]
    for name in changed[:MOST_CONDITIONS]:
        before, after, shown = status(was, name), status(now, name) or "removed", _short(name)
        evidence = {
            "condition": shown,
            "status": _short(after),
            "reason": _short(now.conditions[name][1]) if name in now.conditions else "",
            "findings": _within(list(map(str, tells.get(name, ())))),
        }
        old = f"{shown} {_short(before)}" if before else None
        tone = _tone_of_condition(name, after)
        yield Change(
            What.NODE_CONDITION, f"{shown} {_short(after)}", was=old, evidence=evidence, value_tone=tone
        )
    if len(changed) > MOST_CONDITIONS:
        evidence = {"condition": "", "status": "", "reason": "", "findings": []}
        more = f"{len(changed) - MOST_CONDITIONS} more conditions changed"
        yield Change(What.NODE_CONDITION, more, evidence=evidence)


def _drills_first(check: str) -> tuple[bool, str]:
    return check != names.XID_CHECK, check


def _short(text: str, limit: int = LONGEST_NAME) -> str:
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def _listed(items: Iterable[object]) -> str:
    return _short(", ".join(map(str, items)), LONGEST_TEXT)


def _within(texts: list[str]) -> list[str]:
    """The first of these that fit into LONGEST_TEXT, and how many there are beside them."""
    ends = accumulate(map(len, texts))
    fit = [text for text, end in zip(texts, ends, strict=True) if end <= LONGEST_TEXT]
    return fit if len(fit) == len(texts) else [*fit, f"{len(texts) - len(fit)} more"]


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
            "reason": _short(one.reason),
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
    return {"node": pod.node, "uid": pod.uid, "gpus": _within(list(pod.devices))}


def _maintenance(was: Projection | None, now: MaintenanceProjection) -> Iterator[Change]:
    evidence = {"node": _short(now.node)}
    if was is None:
        yield Change(What.MAINTENANCE_ASKED, "asked for", evidence=evidence)
    if now.done and now.done != (was.done if isinstance(was, MaintenanceProjection) else ""):
        what = What.MAINTENANCE_DONE if now.done == "True" else What.MAINTENANCE_FAILED
        yield Change(what, what.value, evidence=evidence)
