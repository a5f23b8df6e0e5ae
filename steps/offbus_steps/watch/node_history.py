"""What was found on each node in the course of a log, and what it was in quarantine for: also what is gone by now.

A quarantine that was lifted leaves labels without a finding. Whose they are, only what was seen before can say. The log
is read once, as it grows, so that asking again is cheap while thousands of nodes change. The same for pods: which were
on a node, of those that changed while they were watched, and which were evicted.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from offbus_steps.nvsentinel.findings import Finding, applied_taints
from offbus_steps.port import Ref
from offbus_steps.watch.event_log import Observations, Update
from offbus_steps.watch.projections import NodeProjection, PodProjection

__all__ = ["NodeHistory", "Seen"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen on a node after a mark."""

    findings: tuple[Finding, ...] = ()
    """In its conditions."""
    tracked: tuple[Finding, ...] = ()
    """In the list of its quarantine."""
    taints: frozenset[str] = frozenset()
    """Taints that the responder applied, as "key=value:effect"."""


@dataclass(slots=True)
class _Node:
    findings: dict[Finding, int] = field(default_factory=dict)
    tracked: dict[Finding, int] = field(default_factory=dict)
    taints: dict[str, int] = field(default_factory=dict)
    pods: set[Ref] = field(default_factory=set)


class NodeHistory:
    """The history of all nodes in a log."""

    def __init__(self, log: Observations) -> None:
        self._log = log
        self._read = 0
        self._nodes: dict[str, _Node] = defaultdict(_Node)
        self._evicted: set[Ref] = set()

    def since(self, node: str, mark: int) -> Seen:
        """What was seen on a node after the mark."""
        self._catch_up()
        known = self._nodes[node]
        return Seen(
            tuple(_after(known.findings, mark)),
            tuple(_after(known.tracked, mark)),
            frozenset(_after(known.taints, mark)),
        )

    def pods(self, nodes: Collection[str]) -> frozenset[Ref]:
        """Pods that changed, or are gone, and were on one of these nodes; and all that were evicted."""
        self._catch_up()
        return frozenset(self._evicted.union(*(self._nodes[node].pods for node in nodes)))

    def _catch_up(self) -> None:
        for update in self._log.updates(self._read):
            self._read = update.order + 1
            now = update.now
            if isinstance(now, NodeProjection) and (now.findings or now.annotations):
                seen = self._nodes[now.ref.name]
                seen.findings.update(dict.fromkeys(now.findings, update.order))
                seen.tracked.update(dict.fromkeys(now.tracked, update.order))
                seen.taints.update(dict.fromkeys(applied_taints(now.annotations), update.order))
            else:
                self._see_pod(update)

    def _see_pod(self, update: Update) -> None:
        for one in (update.was, update.now):
            if isinstance(one, PodProjection):
                self._evicted.update([one.ref] if one.evicted else ())
                if one.node:
                    self._nodes[one.node].pods.add(one.ref)


def _after(seen: dict[T, int], mark: int) -> Iterable[T]:
    return (one for one, order in seen.items() if order >= mark)
