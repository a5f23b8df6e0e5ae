"""What counts as a fault's own detection, cordon, drain, repair and uncordon: which entries of the log are its
consequences; steps only wait for them.

Whose a finding is, `offbus_steps.nvsentinel.cause` says; this module adds the node and the order. Each class reads the
updates after the injection's mark, one by one (`Observations.scan`), and answers when it has seen its consequence; what
was there at the mark is nobody's answer to the fault.

A cordon, a state label and a lifted quarantine carry no finding of their own: they count while, or after, the node is
in quarantine for the fault. The list of that quarantine is empty for a moment, so an empty one decides nothing; and a
change that came when the node was in quarantine for others alone was for them, also where the fault is added later.
"""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import ClassVar, TypeVar

from offbus_steps.nvsentinel import names
from offbus_steps.nvsentinel.cause import Cause
from offbus_steps.nvsentinel.findings import Finding
from offbus_steps.port import Ref
from offbus_steps.watch.event_log import Observations, Transition, Update
from offbus_steps.watch.projections import MaintenanceProjection, NodeProjection, ReportProjection
from offbus_steps.watch.transitions import What

__all__ = [
    "Cordon",
    "Detection",
    "Drain",
    "Marked",
    "Quarantine",
    "Repair",
    "Uncordon",
    "Validation",
    "ended",
    "first_of",
]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Detection:
    """The first report of the fault: a new entry of a condition, or an Event where it may be one that is not fatal.

    Of a fatal fault an Event proves nothing: NVSentinel writes them for the others alone. Of the others there is
    nothing else to see, and every node's kubelet may write Events about any node (Kubernetes' Node authorizer allows
    it, NodeRestriction does not look at them), with any source. So one counts only when it repeats the fault's kernel
    line, as NVSentinel's does: the fault's id in it is random, and whoever wrote it has read that node's log.
    """

    node: str
    cause: Cause
    fatal: bool
    """Whether the responder is certain to find it fatal."""
    fault: str
    """The fault's id."""

    def __call__(self, update: Update) -> Transition | None:
        """The transition that reports it."""
        now, was = update.now, update.was
        if isinstance(now, ReportProjection):
            told = not self.fatal and (now.node, now.fault) == (self.node, self.fault)
            return _of_kind(update, What.NODE_REPORTED) if told and self.cause.made(now.finding) else None
        if not isinstance(now, NodeProjection) or now.ref.name != self.node:
            return None
        known = was.findings if isinstance(was, NodeProjection) else ()
        new = {one.check for one in self.cause.mine(now.findings) if one not in known}
        changed = (one for one in update.transitions if one.what is What.NODE_CONDITION)
        return next((one for one in changed if one.change.evidence["condition"] in new), None)


class Quarantine:
    """Follows what a responder has the node in quarantine for."""

    def __init__(self, node: str, cause: Cause, log: Observations, mark: int) -> None:
        self._ref, self._cause = Ref("Node", node), cause
        before = next(log.replay(mark)).node(node)
        self._before = before.tracked if before is not None else ()
        self.ours = False
        """Whether it is for the fault, as far as its newest list that was not empty says."""
        self.others = False
        """Whether it is for something else, too."""

    def look(self, update: Update) -> NodeProjection | None:
        """The node after the update; None when the update is about something else."""
        now = update.now
        if not isinstance(now, NodeProjection) or now.ref != self._ref:
            return None
        if now.tracked:
            new = [one for one in now.tracked if one not in self._before]
            self.ours, self.others = bool(self._cause.mine(new)), bool(self._cause.others(now.tracked))
        elif names.QUARANTINE_EVENTS not in now.annotations:
            self.ours = self.others = False
        return now


class Cordon(Quarantine):
    """The node is in quarantine for the fault, and cordoned: answers with the cordon.

    None in the tuple when the cordon was not made for this fault: it was there before, or is somebody else's.
    """

    _cordon: Transition | None = None

    def __call__(self, update: Update) -> tuple[Transition | None] | None:
        """The cordon."""
        now = self.look(update)
        if now is None:
            return None
        made = _of_kind(update, What.NODE_CORDONED)
        if made is not None:
            self._cordon = made if names.cordoned_by_responder(now.labels, now.annotations) else None
        if not now.cordoned or now.annotations.get(names.CORDON_PRE_EXISTING) == names.TRUE:
            self._cordon = None
        if now.cordoned and self.ours:
            return (self._cordon,)
        if now.tracked:
            self._cordon = None
        return None


class Marked(Quarantine):
    """The node is marked as in quarantine for the fault, and its state label is one of these."""

    def __init__(
        self, node: str, cause: Cause, log: Observations, mark: int, states: Collection[str]
    ) -> None:
        super().__init__(node, cause, log, mark)
        self._states = states

    def __call__(self, update: Update) -> Transition | None:
        """The change by which it became so."""
        now = self.look(update)
        if now is None or not self.ours or now.state not in self._states:
            return None
        return _of_kind(update, What.NODE_STATE) or _of_kind(update, What.NODE_QUARANTINE)


class Drain(Quarantine):
    """The drain ended while the node was in quarantine for the fault; its transition says how."""

    def __call__(self, update: Update) -> Transition | None:
        """The state label's transition to drained, or to drain-failed."""
        now, was = self.look(update), update.was
        if now is None or not self.ours or not isinstance(was, NodeProjection):
            return None
        ended = names.DRAINED_STATES | {names.NodeState.DRAIN_FAILED}
        changed = now.state in ended and (was.state not in ended or now.state == names.NodeState.DRAIN_FAILED)
        return _of_kind(update, What.NODE_STATE) if changed else None


class Uncordon(Quarantine):
    """The responder lifted its quarantine for the fault and uncordoned the node."""

    _held = False
    _uncordoned: Transition | None = None

    def __call__(self, update: Update) -> Transition | None:
        """The transition to uncordoned."""
        now = self.look(update)
        if now is None:
            return None
        self._held = self._held or self.ours
        made = _of_kind(update, What.NODE_UNCORDONED)
        if now.cordoned:
            self._uncordoned = None
        elif made is not None and self._held:
            self._uncordoned = made
        lifted = names.uncordoned_by_responder(now.labels, now.annotations)
        return self._uncordoned if lifted else None


class Repair(Quarantine):
    """The responder asked for a repair of the fault, or has none.

    The resource and the node are seen in two watches, so either may come first: what was asked for is looked at again
    whenever the node's quarantine changes.
    """

    validates: ClassVar[bool] = False
    """Whether it is a validation that is looked for, after the repair."""

    def __init__(self, node: str, cause: Cause, log: Observations, mark: int) -> None:
        super().__init__(node, cause, log, mark)
        self._asked: list[tuple[MaintenanceProjection, Transition]] = []
        self._tracked: dict[Finding, None] = {}

    def __call__(self, update: Update) -> Transition | None:
        """The transition by which it was asked for; that of the state label when there is no repair."""
        asked, now, made = _of_kind(update, What.MAINTENANCE_ASKED), self.look(update), update.now
        if asked is not None and isinstance(made, MaintenanceProjection):
            right = made.node == self._ref.name and made.validates == self.validates
            self._asked += [(made, asked)] if right else []
        elif now is not None:
            self._tracked |= dict.fromkeys(one for one in now.tracked if one not in self._before)
            refused = _of_kind(update, What.NODE_STATE)
            failed = now.state == names.NodeState.REMEDIATION_FAILED and not self.validates
            if refused is not None and failed and self.ours and not self.others:
                return refused
        if not self._cause.mine(self._tracked):
            return None
        for_us = (one for made, one in self._asked if self._is_ours(made))
        return next(for_us, None)

    def _is_ours(self, made: MaintenanceProjection) -> bool:
        return self._cause.asked_for(made.ref.name, made.node, made.gpus, self._tracked)


class Validation(Repair):
    """The responder asked for a validation of the node, at the end of its quarantine for the fault.

    There is one for the whole quarantine, whatever else it was for.
    """

    validates = True

    def _is_ours(self, made: MaintenanceProjection) -> bool:
        return True


def ended(log: Observations, mark: int, asked: Repair) -> Transition | None:
    """The success of what was asked for, as the responder's own resource says; None when there is none by now.

    An all-clear alone is no repair: where a human must act, what clears a condition is that human, or our undo.
    """
    found = first_of(log.updates(mark), asked)
    done = (one for one in log.since(mark) if one.what is What.MAINTENANCE_DONE)
    return next((one for one in done if found is not None and one.ref == found.ref), None)


def first_of(updates: Iterable[Update], take: Callable[[Update], T | None]) -> T | None:
    """What `Observations.scan` would return by now; None when it would still wait."""
    return next((found for found in map(take, updates) if found is not None), None)


def _of_kind(update: Update, what: What) -> Transition | None:
    return next((one for one in update.transitions if one.what is what), None)
