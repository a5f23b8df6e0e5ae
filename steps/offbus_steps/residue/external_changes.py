"""Tells external changes in a cluster's fingerprint from what the run may have done. Pure.

During a drill, others change the cluster, too: a controller labels a node, somebody cordons another one, a release
changes a workload, a health monitor finds something, a node joins or leaves. None of that is this run's residue, and
`offbus recover` could not fix it. A run makes and changes the objects that its records name
(offbus_steps.residue.others_objects), of these only names of its own (offbus_steps.workloads.shim_fields), and makes a
responder change the responder's (offbus_steps.nvsentinel.names) on the nodes of its faults, for these faults
(offbus_steps.nvsentinel.cause); all else is an external change. So is what a node's agent says, or its silence, where
the run injected nothing, unless a fault there has the run's id. When it is not certain, a difference counts as ours: a
missing pod, marks of which nobody knows whose they are, anything of a responder's when it is not known where the run
injected faults. That our own patches change nothing else is checked where they are sent
(offbus_steps.residue.patching).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Protocol, runtime_checkable

from offbus_steps.nvsentinel import names
from offbus_steps.nvsentinel.cause import Cause, Share
from offbus_steps.nvsentinel.findings import Finding, tracked_findings
from offbus_steps.object_names import is_fault_of
from offbus_steps.residue.others_objects import (
    LEFT_BY_RUN,
    OURS,
    PODS,
    REST,
    Touched,
    change_of_label,
    change_of_pods,
    change_of_workload,
)
from offbus_steps.residue.shown_values import OURS_PREFIX
from offbus_steps.watch.node_history import Seen

__all__ = [
    "AGENT",
    "BREAKER",
    "CONDITION",
    "CORDON",
    "LEFT_BY_RUN",
    "META",
    "OURS",
    "PAGE",
    "PODS",
    "REST",
    "TAINTS",
    "NodeFault",
    "RecordsCause",
    "change_of_breaker",
    "external_change",
]

CORDON, TAINTS = "spec.unschedulable", "spec.taints"
BREAKER = "circuit breaker tripped"
META, CONDITION = "metadata.", "condition "
AGENT, PAGE = "Agent/", "page"
NO_FAULT = "no fault of this run was on that node"


@runtime_checkable
class RecordsCause(Protocol):
    """The record of a fault to which a responder may react on its node."""

    node: str
    fault: str
    cause: Cause | None


@runtime_checkable
class RecordsBreakers(Protocol):
    """The record of a fault that may trip a responder's circuit breaker."""

    namespaces: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NodeFault:
    """A fault that the run injected on a node."""

    node: str
    cause: Cause | None
    """None when its record does not say (offbus 0.1.0): then what is there may be ours."""
    seen: Seen
    """What was seen on the node since."""
    complete: bool
    """Whether it was watched from before the injection."""


def change_of_breaker(item: str, after: Mapping[str, Any], recorded: Sequence[object] | None) -> str | None:
    """Why a difference in whether a responder's circuit breaker has tripped is external; None when it may be ours."""
    if item not in after:
        return "no drill resets it"
    looked = [one for one in recorded or () if isinstance(one, RecordsBreakers)]
    if recorded is None or any(
        item.startswith(f"ConfigMap/{name}/") for one in looked for name in one.namespaces
    ):
        return None
    return "no fault of this run was there for that responder"


def external_change(
    item: str,
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    faults: Sequence[NodeFault] | None,
    touched: Touched | None = None,
) -> str | None:
    """Why a difference in an item of `fingerprint.fingerprint` is external; None when it may be ours.

    `faults`: all that the run injected where a responder may see them; None when they are not known. `touched`: what
    it made or changed; None when that is not known.
    """
    if item.startswith(AGENT) or (item.startswith("Node/") and item.endswith(f" {PAGE}")):
        return _of_agent(item, before, after, touched)
    if item.startswith("Node/"):
        return _of_node(item, before, after, faults)
    if item.startswith(PODS):
        return change_of_pods(item, before, after, touched)
    if item.endswith(LEFT_BY_RUN):
        return change_of_label(item, touched)
    return change_of_workload(item, before, after, touched) if item.endswith((OURS, REST)) else None


def _of_agent(
    item: str, before: Mapping[str, Any], after: Mapping[str, Any], touched: Touched | None
) -> str | None:
    """Of the faults that an agent knows, its silence, or its page; a fault that shows there alone counts, too."""
    if touched is None or item.partition("/")[2].partition(" ")[0] in touched.nodes:
        return None
    listed = (items.get(item) for items in (before, after))
    told = [str(one) for value in listed if isinstance(value, list) for one in value]
    return None if any(is_fault_of(touched.run, one.partition(" ")[0]) for one in told) else NO_FAULT


def _of_node(
    item: str, before: Mapping[str, Any], after: Mapping[str, Any], faults: Sequence[NodeFault] | None
) -> str | None:
    node, _, what = item.partition(" ")
    was, now = before.get(item), after.get(item)
    if what.startswith(META):
        key = what[what.index("[") + 1 : -1]
        if key.startswith(OURS_PREFIX):
            return None
        if not names.is_ours_to_clear(key):
            return "neither a drill's nor a responder's name"
    elif what.startswith(CONDITION):
        reasons = [str(one[1]) for one in (was, now) if one]
        if not any(one.endswith((names.UNHEALTHY_SUFFIX, names.HEALTHY_SUFFIX)) for one in reasons):
            return "not a responder's condition"
    elif what == CORDON and now is True and not was:
        marks = (after.get(f"{node} {META}{key}[]") or () for key in ("labels", "annotations"))
        if not any(map(names.is_ours_to_clear, chain.from_iterable(marks))):
            return "cordoned, and not by a responder"
    if faults is None:
        return None
    here = [one for one in faults if f"Node/{one.node}" == node]
    if not here:
        return NO_FAULT
    if what.startswith(CONDITION):
        check = what.removeprefix(CONDITION)
        ours = any(one.cause is None or _reports(one.cause, check, was, now) for one in here)
        return None if ours else "found for something else"
    ours = any(one.cause is None or _is_marked(one, one.cause, node, what, before, after) for one in here)
    return None if ours else "for something else"


def _reports(cause: Cause, check: str, was: Any, now: Any) -> bool:
    """Whether a difference in a condition may be the fault's: a finding of it, or one that its clear may have ended.

    Where no finding differs, the difference is in the words of the responder, and may be anybody's.
    """
    old, new = (_findings(check, value) for value in (was, now))
    came, went = [one for one in new if one not in old], [one for one in old if one not in new]
    if not came and not went:
        return check == cause.check
    return bool(
        cause.mine(came) or any(map(cause.may_have_made, came)) or cause.mine(went) or cause.endangered(went)
    )


def _is_marked(
    fault: NodeFault,
    cause: Cause,
    node: str,
    what: str,
    before: Mapping[str, Any],
    after: Mapping[str, Any],
) -> bool:
    """Whether a difference in a responder's mark, the cordon or the taints may be the fault's."""
    marks = f"{node} {META}annotations[]"
    old, new = (tracked_findings(items.get(marks) or {}) for items in (before, after))
    start = f"{node} {CONDITION}"
    reported = (_findings(key[len(start) :], value) for key, value in before.items() if key.startswith(start))
    known = {one.key for one in (*old, *chain.from_iterable(reported))}
    seen = [one for one in (*fault.seen.findings, *fault.seen.tracked) if one.more or one.key not in known]
    listed = [one for one in new if one.more or one not in old]
    share = cause.share(listed, seen, complete=fault.complete)
    if what != TAINTS or not fault.complete:
        return share is not Share.OTHERS
    came = set(after.get(f"{node} {TAINTS}") or ()) - set(before.get(f"{node} {TAINTS}") or ())
    return share is not Share.OTHERS and (not came or bool(came & fault.seen.taints))


def _findings(check: str, value: Any) -> list[Finding]:
    """The findings in the value of a condition's item."""
    try:
        return [
            Finding(check, tuple(codes), tuple(map(tuple, pairs)), cut=bool(cut))
            for codes, pairs, *cut in value[2]
        ]
    except (TypeError, ValueError, LookupError):
        return []
