"""Splits a recording into quarantines: the stages of a responder's answer to one fault on one node, each with its line.

A quarantine begins with the first sign of a responder on a node that shows none: its condition, its annotation, its
state label, or a maintenance resource of its own. A cordon before that is the quarantine's if it is a moment older, and
else somebody's own. It goes on until condition, annotation and state label are all gone, or until it was released and
another sign begins the next one: a condition may outlive it. Of each stage the first time counts. Pure.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from offbus_steps.nvsentinel import names
from offbus_steps.nvsentinel.course import Stage
from offbus_steps.recordings.fields import (
    ANNOTATION,
    CONDITION,
    CORDONED,
    EVICTED,
    EXISTS,
    FINDINGS,
    LABEL,
    RESPONDER,
    actions_in,
    entities_in,
    is_unhealthy,
)
from offbus_steps.recordings.format import Change, Recording

__all__ = ["Moment", "Quarantine", "quarantines"]

MOST_ACTIONS = 16
"""Different ones that are told of a quarantine: NVSentinel has eight."""
OWN_CORDON_S = 5.0
"""How much earlier than the first other sign a responder's cordon may be seen (0.2 s was)."""
STATES = {str(one): Stage(one) for one in names.NodeState if one != names.NodeState.QUARANTINED}
ANNOTATED, STATE = ANNOTATION + names.QUARANTINE_EVENTS, LABEL + names.STATE_LABEL
BY_HAND, PRE_EXISTING = ANNOTATION + names.MANUALLY_UNCORDONED, ANNOTATION + names.CORDON_PRE_EXISTING
SIGNS = frozenset({Stage.CONDITION, Stage.QUARANTINE, Stage.REQUESTED, *STATES.values()})


@dataclass(frozen=True, slots=True)
class Moment:
    """When something was seen."""

    at: float
    line: int


@dataclass(slots=True)
class Quarantine:
    """What was seen of one of them."""

    node: str
    begun: Moment
    stages: dict[Stage, Moment] = field(default_factory=dict)
    before: set[Stage] = field(default_factory=set)
    """What was so already when it began, so that it says nothing about this one."""
    partial: bool = False
    """Whether it had begun before the recording did."""
    actions: list[str] = field(default_factory=list)
    """What the responder recommends, in the order in which it was seen."""
    entities: int = 0
    """Of the finding with the most of them."""
    until: float = 0.0
    """When the recording of it ended: the next one of the node began, or the recording was over."""
    over: bool = False
    """Whether no sign of it is left."""


@dataclass(slots=True)
class _Node:
    unhealthy: set[str] = field(default_factory=set)
    annotated: bool = False
    state: bool = False
    cordon: Moment | None = None
    """Of a cordon that holds and belongs to no quarantine."""
    cordoned: bool = False
    newest: Quarantine | None = None


def quarantines(recording: Recording) -> list[Quarantine]:
    """All quarantines, in the order in which they began."""
    nodes: dict[str, _Node] = {}
    found: list[Quarantine] = []
    for line, change in recording.changes:
        if not change.node:
            continue
        node = nodes.setdefault(change.node, _Node())
        moment = Moment(change.at, line)
        for stage in _stages(node, change, moment):
            _take(node, stage, change, moment, found)
        _learn(node, change)
    for one in found:
        one.until = one.until or recording.ended_at
    return found


def _stages(node: _Node, change: Change, moment: Moment) -> Iterator[Stage]:
    """The stages that a change is; what the node shows is brought up to date."""
    kind, _, _ = change.subject.partition("/")
    if kind == "Node":
        yield from _stages_of_node(node, change, moment)
    elif kind == "Pod" and change.field == EVICTED and change.to:
        yield Stage.EVICTION
    elif kind == names.VALIDATION_KIND and change.field == EXISTS and change.to:
        yield Stage.VALIDATING
    elif kind in names.COMPLETE_CONDITION or kind == names.TERMINATE:
        if change.field == EXISTS and change.to == RESPONDER:
            yield Stage.REQUESTED
        done, result = CONDITION + names.COMPLETE_CONDITION.get(kind, ""), str(change.to).partition(" ")[0]
        if change.field == done and result in ("True", "False"):
            yield Stage.REPAIRED if result == "True" else Stage.REPAIR_FAILED


def _stages_of_node(node: _Node, change: Change, moment: Moment) -> Iterator[Stage]:
    name, to = change.field, change.to
    if name == CORDONED:
        node.cordoned, node.cordon = bool(to), moment if to else None
        yield Stage.CORDON if to else Stage.UNCORDON
    elif name.startswith(CONDITION) and is_unhealthy(to):
        node.unhealthy.add(name)
        yield Stage.CONDITION
    elif name in node.unhealthy:
        node.unhealthy.discard(name)
        if not node.unhealthy:
            yield Stage.HEALTHY
    elif name == ANNOTATED:
        node.annotated = to is not None
        yield from [Stage.QUARANTINE] if to is not None else _released(node)
    elif name == STATE:
        node.state = to is not None
        yield from [STATES[str(to)]] if str(to) in STATES else _released(node)
    elif name == BY_HAND and to == names.TRUE:
        yield Stage.CANCELLED


def _released(node: _Node) -> Iterator[Stage]:
    if not (node.annotated or node.state):
        yield Stage.RELEASED


def _take(node: _Node, stage: Stage, change: Change, moment: Moment, found: list[Quarantine]) -> None:
    now = node.newest
    ended = now is None or now.over or Stage.RELEASED in now.stages
    if ended and stage in SIGNS:
        if now is not None:
            now.until = moment.at
        now = node.newest = _begun(node, stage, change, moment)
        found.append(now)
    if now is None:
        return
    if change.initial:
        now.before.add(stage)
    elif stage not in now.before:
        now.stages.setdefault(stage, moment)
    if stage is Stage.CORDON:
        node.cordon = None
    now.over = not (node.unhealthy or node.annotated or node.state)


def _begun(node: _Node, stage: Stage, change: Change, moment: Moment) -> Quarantine:
    one = Quarantine(change.node, moment, partial=change.initial)
    if node.unhealthy and stage is not Stage.CONDITION:
        one.before.add(Stage.CONDITION)
    if node.cordoned:
        own = node.cordon if node.cordon and moment.at - node.cordon.at <= OWN_CORDON_S else None
        if own is not None and not change.initial:
            one.stages[Stage.CORDON], one.begun = own, own
        else:
            one.before.add(Stage.CORDON)
    return one


def _learn(node: _Node, change: Change) -> None:
    """What the responder says about its newest quarantine."""
    now = node.newest
    if now is None or not isinstance(change.to, str):
        return
    if change.field == ANNOTATED or change.field.startswith(FINDINGS):
        found = dict.fromkeys([*now.actions, *actions_in(change.to)])
        now.actions = list(found)[:MOST_ACTIONS]
        now.entities = max(now.entities, entities_in(change.to))
    if change.field == PRE_EXISTING and change.to == names.TRUE:
        now.stages.pop(Stage.CORDON, None)
        now.before.add(Stage.CORDON)
