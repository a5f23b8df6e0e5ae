"""What on a node is a fault's doing, and the node without it: its conditions, quarantine, cordon and taints. Pure.

`NodeMarks` knows the node from before the fault. Everything that is new since then and the fault's own
(`offbus_steps.nvsentinel.cause`) is removed or set back; everything else stays as it is, in the middle of a field too:
one entry of a condition's message, one event of the quarantine's list. A quarantine that is for another fault as well
keeps its cordon, labels and state.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from offbus_steps.nvsentinel import names
from offbus_steps.nvsentinel.cause import Cause, Share
from offbus_steps.nvsentinel.findings import (
    Finding,
    all_findings,
    entry_finding,
    event_finding,
    findings_of,
    node_findings,
    quarantine_events,
    split_entries,
    taint_text,
    tracked_findings,
)
from offbus_steps.port import Object
from offbus_steps.watch.node_history import Seen
from offbus_steps.watch.projections import NodeProjection

__all__ = ["NodeMarks", "differences"]


@dataclass(frozen=True)
class NodeMarks:
    """A node before a fault, and what the fault is recognised by."""

    cause: Cause
    cordoned: bool
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    taints: Sequence[Mapping[str, Any]]
    conditions: Sequence[Mapping[str, Any]]

    @cached_property
    def known(self) -> frozenset[Finding]:
        """The findings of its conditions then; of the check that finds drills' faults all."""
        each = (found for one in self.conditions for found in _read(one))
        return frozenset((*node_findings(self.conditions), *each))

    @cached_property
    def tracked(self) -> frozenset[Finding]:
        """What it was in quarantine for then."""
        return frozenset(tracked_findings(self.annotations))

    def share(self, node: NodeProjection, seen: Seen, *, complete: bool) -> Share:
        """Whose the quarantine is, or the marks that one left; `complete` when `seen` is all since the injection."""
        new = self.fresh(seen)
        return self.cause.share(
            [one for one in node.tracked if one.more or one not in self.tracked], new, complete=complete
        )

    def fresh(self, seen: Seen) -> list[Finding]:
        """What was seen that was not there before."""
        before = self.known | self.tracked
        return [one for one in (*seen.findings, *seen.tracked) if one not in before]

    def reported(self, node: NodeProjection) -> bool:
        """Whether the node's conditions report the fault, or may, among more than is read of them."""
        new = self.cause.mine(one for one in node.findings if one not in self.known)
        return bool(new) or self.cause.left_out(node.findings)

    def marked(self, node: NodeProjection) -> bool:
        """Whether the responder's marks are not as before, or a cordon that may be its own."""
        before = (self.cordoned, dict(self.labels), dict(self.annotations))
        cordoned = node.cordoned and not self.cordoned_by_others(node)
        return (cordoned, dict(node.labels), dict(node.annotations)) != before

    def held(self, node: NodeProjection) -> bool:
        """Whether the responder holds the node, and did not before."""
        held = names.CORDONED_ANNOTATION in node.annotations or bool(node.state)
        return held and names.CORDONED_ANNOTATION not in self.annotations

    def cordoned_by_others(self, node: NodeProjection) -> bool:
        """Whether somebody else cordoned it since: the responder found it so, or has no mark on it."""
        found_so = names.CORDON_PRE_EXISTING in node.annotations.keys() - self.annotations.keys()
        by_responder = names.cordoned_by_responder(node.labels, node.annotations)
        return node.cordoned and not self.cordoned and (found_so or not by_responder)

    def with_metadata(self, now: Object, what: str, share: Share) -> Object:
        """The node with its labels or annotations set back."""
        if share is Share.OTHERS:
            return now
        present = now["metadata"].get(what) or {}
        if share is Share.BOTH:
            wanted = {**present, **self._events_of_others(present)} if what == "annotations" else present
        else:
            others = {key: value for key, value in present.items() if not names.is_ours_to_clear(key)}
            wanted = {**others, **(self.annotations if what == "annotations" else self.labels)}
        return {**now, "metadata": {**now["metadata"], what: wanted}}

    def with_conditions(self, now: Object) -> Object:
        """The node without the fault's entries in its conditions; all-clears may stay."""
        status = now.get("status") or {}
        retained = [remaining for one in status.get("conditions") or () for remaining in self._condition(one)]
        return {**now, "status": {**status, "conditions": retained}}

    def with_spec(self, now: Object, share: Share, *, cordon: bool, taints: frozenset[str]) -> Object:
        """The node with cordon and taints set back; `taints` are those that the responder applied."""
        if share is not Share.OWN:
            return now
        spec = dict(now.get("spec") or {})
        if cordon != bool(spec.get("unschedulable")):
            spec.pop("unschedulable", None)
            spec |= {"unschedulable": True} if cordon else {}
        gone = taints - {taint_text(one) for one in self.taints}
        retained = [one for one in spec.get("taints") or () if taint_text(one) not in gone]
        if retained != list(spec.get("taints") or ()):
            spec.pop("taints")
            spec |= {"taints": retained} if retained else {}
        return {**now, "spec": spec}

    def _events_of_others(self, annotations: Mapping[str, str]) -> dict[str, str]:
        retained = []
        for one in quarantine_events(annotations):
            found = event_finding(one)
            if found is None or found in self.tracked or not self.cause.made(found):
                retained.append(one)
        return {names.QUARANTINE_EVENTS: json.dumps(retained, separators=(",", ":"))}

    def _condition(self, now: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        """A condition without the fault's entries; as it was before, or nothing, when it has no other."""
        own = all_findings(now) if now["type"] == self.cause.check else ()
        mine = set(self.cause.mine(own)) - self.known
        if not mine:
            yield now
            return
        retained = []
        for entry in split_entries(str(now.get("message") or "")):
            found = entry_finding(str(now["type"]), entry)
            if found not in mine and not self.cause.may_have_made(found):
                retained.append(entry)
        if retained:
            yield {**now, "message": "".join(f"{entry};" for entry in retained)}
        else:
            yield from (one for one in self.conditions if one["type"] == now["type"])


def differences(old: Object, new: Object) -> list[str]:
    """Which parts of a node were changed, for messages; without what its kubelet or others changed meanwhile."""
    found = []
    for what in ("annotations", "labels"):
        was, now = (names.quarantine_marks(one["metadata"].get(what)) for one in (old, new))
        found += [f"{what}[{key}]" for key in sorted({*was, *now}) if was.get(key) != now.get(key)]
    for key in ("unschedulable", "taints"):
        if (old.get("spec") or {}).get(key) != (new.get("spec") or {}).get(key):
            found.append(f"spec.{key}")
    before, after = (
        [told for one in (node.get("status") or {}).get("conditions") or () for told in _read(one)]
        for node in (old, new)
    )
    return [*found, "status.conditions"] if before != after else found


def _read(condition: Mapping[str, Any]) -> Iterable[Finding]:
    return all_findings(condition) if condition["type"] == names.XID_CHECK else findings_of(condition)
