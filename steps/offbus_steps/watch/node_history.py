"""What was found on each node in the course of a log, and what it was in quarantine for: also what is gone by now.

A quarantine that was lifted leaves labels without a finding. Whose they are, only what was seen before can say. The log
is read once, as it grows, so that asking again is cheap while thousands of nodes change.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from offbus_steps.nvsentinel.findings import Finding, applied_taints
from offbus_steps.watch.event_log import Observations
from offbus_steps.watch.projections import NodeProjection

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


class NodeHistory:
    """The history of all nodes in a log."""

    def __init__(self, log: Observations) -> None:
        self._log = log
        self._read = 0
        self._nodes: dict[str, _Node] = defaultdict(_Node)

    def since(self, node: str, mark: int) -> Seen:
        """What was seen on a node after the mark."""
        for update in self._log.updates(self._read):
            self._read = update.order + 1
            now = update.now
            if isinstance(now, NodeProjection) and (now.findings or now.annotations):
                seen = self._nodes[now.ref.name]
                seen.findings.update(dict.fromkeys(now.findings, update.order))
                seen.tracked.update(dict.fromkeys(now.tracked, update.order))
                seen.taints.update(dict.fromkeys(applied_taints(now.annotations), update.order))
        known = self._nodes[node]
        return Seen(
            tuple(_after(known.findings, mark)),
            tuple(_after(known.tracked, mark)),
            frozenset(_after(known.taints, mark)),
        )


def _after(seen: dict[T, int], mark: int) -> Iterable[T]:
    return (one for one, order in seen.items() if order >= mark)
