"""The course that a responder takes: its stages, their order in each situation, and how long each takes after another.

A *stage* is one change that a watch of the cluster can see. A *course* is the data of one release: for each *situation*
(what the responder recommends, or how it is set) the transitions between stages, with the seconds that were seen or
read, and where. Two stages that a responder reaches by independent ways (condition and cordon) have a transition whose
`low_s` is negative: either may be the first.

What was seen once is not a law, so a transition is compared with a tolerance: down to half of `low_s`, up to one and a
half times `high_s` and a second more. Of stages that are one object's, order is exact; those of two objects are told by
two watches, whose order is known to half a second.

To add a release: another `Course` in `COURSES`. Sources: reference pages nvsentinel-observed.md (main of 2026-08-21,
the real components; "seen") and nvsentinel.md (its source and documents; "read"). Pure data, cheap to import.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Literal

from offbus_steps.nvsentinel.names import HUMAN_ACTIONS

__all__ = ["COURSES", "ENDING", "OBSERVED", "Course", "Situation", "Stage", "Transition"]

Basis = Literal["seen", "read"]


class Stage(StrEnum):
    """What a watch can see of a responder's answer to one fault on one node."""

    FAULT = "fault"
    """The fault itself; no watch sees it, so whoever made it says when."""
    CONDITION = "condition"
    """The node's condition says that it is unhealthy."""
    CORDON = "cordon"
    QUARANTINE = "quarantine"
    """The annotation `quarantineHealthEvent` is there."""
    DRAINING = "draining"
    EVICTION = "eviction"
    """The first pod of the node is evicted."""
    DRAIN_SUCCEEDED = "drain-succeeded"
    DRAIN_FAILED = "drain-failed"
    REMEDIATING = "remediating"
    REQUESTED = "maintenance requested"
    """A RebootNode, GPUReset or TerminateNode was created."""
    REMEDIATION_SUCCEEDED = "remediation-succeeded"
    REMEDIATION_FAILED = "remediation-failed"
    REPAIRED = "maintenance done"
    REPAIR_FAILED = "maintenance failed"
    HEALTHY = "condition cleared"
    VALIDATING = "validation requested"
    """A ValidationRequest was created."""
    UNCORDON = "uncordon"
    RELEASED = "marks gone"
    """Neither the annotation nor the state label is there any more."""
    CANCELLED = "cancelled by hand"
    """Somebody uncordoned the node, and the responder has taken it."""


ENDING = frozenset({Stage.HEALTHY, Stage.UNCORDON, Stage.RELEASED, Stage.CANCELLED})
"""Stages that may come at any time, since somebody cleared the fault or the node: what had not come is not due then."""
OF_TWO_WATCHES_S = 0.5
MARGIN, GRACE_S = 0.5, 1.0
"""Of what was seen: the share, and the seconds, by which a later time may differ."""
PODS = frozenset({Stage.EVICTION})
RESOURCES = frozenset({Stage.REQUESTED, Stage.REPAIRED, Stage.REPAIR_FAILED})


@dataclass(frozen=True, slots=True)
class Transition:
    """One stage after another."""

    after: Stage
    stage: Stage
    low_s: float
    high_s: float | None
    """None: nobody can say, or others decide."""
    basis: Basis
    source: str
    required: bool = True
    """Whether `after` is always followed by `stage`, unless the quarantine ends before."""

    @property
    def may_precede(self) -> bool:
        """Whether the two come by independent ways."""
        return self.low_s < 0

    @property
    def earliest_s(self) -> float:
        """Earlier is a difference."""
        return self.low_s - GRACE_S if self.may_precede else self.low_s * (1 - MARGIN) - self.precision_s

    @property
    def latest_s(self) -> float | None:
        """Later is a difference."""
        return None if self.high_s is None else self.high_s * (1 + MARGIN) + GRACE_S

    @property
    def precision_s(self) -> float:
        """How exactly their order is known."""
        kinds = {_object_of(self.after), _object_of(self.stage)}
        return OF_TWO_WATCHES_S if len(kinds) > 1 else 0.0

    def faster(self, factor: float) -> "Transition":
        """The same of a responder whose delays are that many times shorter."""
        return replace(self, low_s=self.low_s / factor, high_s=self.high_s and self.high_s / factor)


@dataclass(frozen=True, slots=True)
class Situation:
    """What the responder does about faults of one kind."""

    name: str
    actions: frozenset[str]
    """The recommended actions for which it is; empty for a dry run, whatever is recommended."""
    transitions: tuple[Transition, ...]

    @property
    def stages(self) -> frozenset[Stage]:
        """The stages that belong to it; any other one is a difference."""
        both = ((one.after, one.stage) for one in self.transitions)
        return frozenset({Stage.CANCELLED}.union(*both))


@dataclass(frozen=True, slots=True)
class Course:
    """How one release goes about its faults."""

    name: str
    about: str
    situations: tuple[Situation, ...]
    cleared_entities: int
    """How many entities the all-clear names: a fault with more stays in quarantine, although its condition clears."""

    def situation(self, action: str, *, cordons: bool) -> Situation | None:
        """What is expected for a recommended action ("" where it is not known); None when nothing is."""
        wanted = (one for one in self.situations if bool(one.actions) == cordons)
        return next((one for one in wanted if not cordons or action in one.actions), None)

    def faster(self, factor: float) -> "Course":
        """The same with all its times that many times shorter."""
        quick = (
            replace(one, transitions=tuple(each.faster(factor) for each in one.transitions))
            for one in self.situations
        )
        about = self.about if factor == 1 else f"{self.about}; {factor:g} times faster"
        return replace(self, about=about, situations=tuple(quick))


def _object_of(stage: Stage) -> str:
    return "pod" if stage in PODS else "resource" if stage in RESOURCES else "node"


_TIMES = "nvsentinel-observed.md, Times"
_WAYS = "nvsentinel-observed.md, Node and events: condition and cordon come by independent ways"
_DETECTED = (
    Transition(
        Stage.FAULT, Stage.CONDITION, 0.0, 15.0, "seen", f"{_TIMES}: poll up to 15 s (one xid79: 10.1)"
    ),
)
_CORDONED = (
    *_DETECTED,
    Transition(Stage.CONDITION, Stage.CORDON, -0.2, 0.2, "seen", _WAYS),
    Transition(
        Stage.CORDON, Stage.QUARANTINE, -0.2, 0.2, "read", "nvsentinel.md, fault-quarantine: on match"
    ),
    Transition(Stage.CORDON, Stage.DRAINING, 0.1, 0.1, "seen", f"{_TIMES}: cordon to draining"),
    Transition(
        Stage.DRAINING, Stage.EVICTION, 0.0, None, "read", "nvsentinel.md, node-drainer", required=False
    ),
    Transition(
        *(Stage.DRAINING, Stage.DRAIN_SUCCEEDED, 10.0, 70.0, "seen"),
        f"{_TIMES}: about 10 s, its retry interval; evictions carry 60 s of grace",
    ),
)
_CLEARED = (
    Transition(
        Stage.CONDITION,
        Stage.HEALTHY,
        0.0,
        None,
        "seen",
        f"{_TIMES}: nothing clears by itself",
        required=False,
    ),
    Transition(Stage.HEALTHY, Stage.UNCORDON, -0.2, 0.2, "seen", f"{_TIMES}: healthy to uncordon 0.1 s"),
    Transition(
        Stage.UNCORDON, Stage.RELEASED, -0.2, 0.2, "read", "nvsentinel.md, fault-quarantine: on recovery"
    ),
)
_REQUEST = f"{_TIMES}: drained to the resource 0.2 to 0.3 s"
REPAIR = Situation(
    "repair",
    frozenset({"COMPONENT_RESET", "RESTART_VM", "RESTART_BM"}),
    (
        *_CORDONED,
        Transition(Stage.DRAIN_SUCCEEDED, Stage.REMEDIATING, 0.0, 0.3, "seen", _REQUEST),
        Transition(Stage.DRAIN_SUCCEEDED, Stage.REQUESTED, 0.2, 0.3, "seen", _REQUEST),
        Transition(Stage.REMEDIATING, Stage.REQUESTED, 0.0, 0.3, "read", "nvsentinel.md, fault-remediation"),
        Transition(
            *(Stage.REQUESTED, Stage.REMEDIATION_SUCCEEDED, 0.04, 0.2, "seen"),
            f"{_TIMES}: it means that the resource was made",
        ),
        Transition(Stage.REQUESTED, Stage.REPAIRED, 3.0, 9.0, "seen", f"{_TIMES}: RebootNode, provider kind"),
        *_CLEARED,
    ),
)
SUPPORT = Situation(
    "support",
    HUMAN_ACTIONS,
    (
        *_CORDONED,
        Transition(
            *(Stage.DRAIN_SUCCEEDED, Stage.REMEDIATION_FAILED, 0.0, 0.3, "seen"),
            "nvsentinel-observed.md, Node and events: CONTACT_SUPPORT, without remediating",
        ),
        *_CLEARED,
    ),
)
_DRY = "nvsentinel-observed.md, newer releases; nvsentinel.md, fault-quarantine: annotations without a cordon"
DRY_RUN = Situation(
    "dry run",
    frozenset(),
    (
        *_DETECTED,
        Transition(Stage.CONDITION, Stage.QUARANTINE, -0.2, 0.2, "read", _DRY),
        Transition(Stage.QUARANTINE, Stage.DRAINING, 0.0, None, "read", _DRY, required=False),
        Transition(Stage.DRAINING, Stage.DRAIN_SUCCEEDED, 0.0, None, "read", _DRY, required=False),
        Transition(Stage.QUARANTINE, Stage.REMEDIATING, 0.0, None, "read", _DRY, required=False),
        Transition(Stage.QUARANTINE, Stage.REMEDIATION_SUCCEEDED, 0.0, None, "read", _DRY),
        Transition(Stage.CONDITION, Stage.HEALTHY, 0.0, None, "read", _DRY, required=False),
        Transition(Stage.QUARANTINE, Stage.RELEASED, 0.0, None, "read", _DRY, required=False),
    ),
)

OBSERVED = Course(
    "main-2026-08",
    "NVSentinel, main of 2026-08-21, default chart, node-drainer in mode Immediate, provider kind",
    (REPAIR, SUPPORT, DRY_RUN),
    cleared_entities=2,
)
V1_8 = replace(
    OBSERVED, name="v1.8", about="NVSentinel v1.8: nothing is known in which it differs from main-2026-08"
)
_VALIDATION = (
    "nvsentinel-observed.md, newer releases: a ValidationRequest before the uncordon (pull request 1749)"
)


def _validated(situation: Situation) -> Situation:
    """With a stage between a cleared fault and the uncordon, where it is switched on."""
    if Stage.UNCORDON not in situation.stages:
        return situation
    remaining = (
        one for one in situation.transitions if (one.after, one.stage) != (Stage.HEALTHY, Stage.UNCORDON)
    )
    optional = (
        Transition(Stage.HEALTHY, Stage.VALIDATING, 0.0, None, "read", _VALIDATION, required=False),
        Transition(Stage.VALIDATING, Stage.UNCORDON, 0.0, None, "read", _VALIDATION, required=False),
        Transition(Stage.HEALTHY, Stage.UNCORDON, -0.2, None, "read", _VALIDATION),
    )
    return replace(situation, transitions=(*remaining, *optional))


V1_33 = replace(
    OBSERVED,
    name="v1.33",
    about="NVSentinel v1.33, read in its release notes and documents: as main-2026-08, with a validation stage",
    situations=tuple(map(_validated, OBSERVED.situations)),
)
FAST = replace(OBSERVED.faster(20), name="fast")
"""What the stand-in responder of `local` plays unless it is told otherwise."""
COURSES: Mapping[str, Course] = MappingProxyType({one.name: one for one in (OBSERVED, V1_8, V1_33, FAST)})
"""By the names of releases."""
