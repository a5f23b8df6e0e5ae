"""What a recording says of an object, redacted: the few fields that a responder changes; nothing that names anybody.

Kept as they are: what Kubernetes and NVSentinel themselves name (types and reasons of conditions, reasons of events,
states, recommended actions, error codes, PCI addresses, kinds of entities), counts and times. Replaced by a pseudonym,
the same for the same thing in the whole recording: nodes (unless they may be named), pods, maintenance resources, GPUs'
UUIDs, and the names of taints and conditions that have another owner's domain. Left out: images, environments,
commands, messages, labels and annotations of other owners; of the responder's own, values that are no word of its own
(reasons, times, names); what does not look as its field should. Pure, but for the pseudonyms.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from sys import intern
from typing import Any

from offbus_steps.nvsentinel import names
from offbus_steps.nvsentinel.findings import (
    Finding,
    event_finding,
    findings_of,
    quarantine_events,
    report_finding,
)
from offbus_steps.port import Object, Ref
from offbus_steps.recordings.access import RESOURCES
from offbus_steps.recordings.fields import (
    ANNOTATION,
    CONDITION,
    CORDONED,
    EVENT,
    EVICTED,
    EXISTS,
    FINDINGS,
    LABEL,
    LEFT_OUT,
    OTHERS,
    PHASE,
    RESPONDER,
    TAINT,
    TERMINATING,
    findings_text,
)
from offbus_steps.recordings.format import LONGEST_VALUE, Value
from offbus_steps.workloads.pods import is_terminating
from offbus_steps.workloads.quantity import count

__all__ = ["View", "Views"]

WORD = re.compile(r"[A-Za-z][A-Za-z0-9]{0,62}")
"""What Kubernetes calls a CamelCase word: types, reasons."""
KEY = re.compile(r"(?:[a-z0-9.-]{0,190}\.)?(?:kubernetes|k8s|nvidia)\.(?:io|com)/[A-Za-z0-9._-]{1,63}")
"""Of those whose names are nobody's secret."""
MARK = re.compile(r"[A-Za-z0-9./_-]{1,200}")
STATE = re.compile(r"[a-z]+(?:-[a-z]+){0,5}")
CODE = re.compile(r"[A-Za-z0-9_.]{1,64}")
ENTITY = re.compile(r"[A-Z][A-Z0-9_]{0,30}")
ADDRESS = re.compile(r"[0-9A-Fa-fxX:.]{1,32}")
"""A PCI address, a link, a register."""
ENDED = frozenset({"Failed", "Succeeded"})
OWN_WORDS: Mapping[str, re.Pattern[str]] = {
    names.STATE_LABEL: STATE,
    names.CORDON_BY: re.compile(names.SERVICE),
    names.UNCORDON_BY: re.compile(names.SERVICE),
    **dict.fromkeys(
        (names.CORDONED_ANNOTATION, names.CORDON_PRE_EXISTING, names.MANUALLY_UNCORDONED),
        re.compile("True|False"),
    ),
}
"""The responder's marks whose values are told, and the values."""


@dataclass(frozen=True, slots=True)
class View:
    """An object, as far as it is told."""

    ref: Ref
    subject: str
    """ "Pod/pod-3"; of an Event, what it is about."""
    node: str
    """The node that it is about."""
    fields: Mapping[str, Value]
    """Without those that are not there."""


class Views:
    """Makes the views of one recording."""

    def __init__(
        self, known: Callable[[Ref], View | None], *, nodes: frozenset[str] = frozenset(), names: bool = False
    ) -> None:
        """`known`: what was told last of an object; `nodes`: only these, by name; `names`: they may be named."""
        self._known, self._nodes, self._names = known, nodes, names
        self._pseudonyms: dict[tuple[str, str], str] = {}
        self._numbers: Counter[str] = Counter()

    def view(self, obj: Object) -> View | None:
        """The view of an object; None when nothing is told of it."""
        ref = Ref.of(obj)
        if ref.kind == "Node":
            return self._node(ref, obj)
        if ref.kind == "Pod":
            return self._pod(ref, obj)
        return self._resource(ref, obj) if ref.kind in RESOURCES else self._event(ref, obj)

    def forget(self, view: View) -> None:
        """An object is gone: another one of its name is another one."""
        self._pseudonyms.pop((_counted(view.ref.kind), _full_name(view.ref)), None)

    def _node(self, ref: Ref, obj: Object) -> View | None:
        if not self._is_watched(ref.name):
            return None
        meta, spec = obj["metadata"], obj.get("spec") or {}
        fields: dict[str, Value] = {EXISTS: True, CORDONED: bool(spec.get("unschedulable"))}
        for taint in spec.get("taints") or ():
            key, effect = str(taint.get("key")), _told(WORD, taint.get("effect"))
            name = key if KEY.fullmatch(key) else self._pseudonym("taint", key)
            fields[f"{TAINT}{name}:{effect}"] = True
        for one in (obj.get("status") or {}).get("conditions") or ():
            fields |= self._condition(one)
        fields |= self._marks(LABEL, meta.get("labels")) | self._marks(ANNOTATION, meta.get("annotations"))
        node = self._named_node(ref.name)
        return View(ref, f"Node/{node}", node, fields)

    def _pod(self, ref: Ref, obj: Object) -> View | None:
        name = str((obj.get("spec") or {}).get("nodeName") or "")
        if not name or not self._is_watched(name):
            return None
        status = obj.get("status") or {}
        fields: dict[str, Value] = {EXISTS: True}
        for one in status.get("conditions") or ():
            if one.get("type") == "DisruptionTarget" and one.get("status") == "True":
                fields[EVICTED] = _told(WORD, one.get("reason"))
        if is_terminating(obj):
            fields[TERMINATING] = True
        if status.get("phase") in ENDED:
            fields[PHASE] = str(status["phase"])
        return View(ref, f"Pod/{self._pseudonym('pod', _full_name(ref))}", self._named_node(name), fields)

    def _resource(self, ref: Ref, obj: Object) -> View | None:
        spec, status = (
            found if isinstance(found := obj.get(key), dict) else {} for key in ("spec", "status")
        )
        listed = [one.get("name") for one in _tables(spec.get("nodes"))]
        name = str(spec.get("nodeName") or next(iter(listed), None) or "")[:253]
        if self._nodes and name not in self._nodes:
            return None
        by_responder = names.is_maintenance(ref.kind, obj["metadata"].get("labels") or {})
        fields: dict[str, Value] = {EXISTS: RESPONDER if by_responder else OTHERS}
        for one in _tables(status.get("conditions")):
            fields |= self._condition(one)
        if status.get("phase"):
            fields[PHASE] = _told(WORD, status["phase"])
        subject = f"{ref.kind}/{self._pseudonym(_counted(ref.kind), _full_name(ref))}"
        return View(ref, subject, self._named_node(name) if name else "", fields)

    def _event(self, ref: Ref, obj: Object) -> View | None:
        about, reason = obj.get("involvedObject") or {}, _told(WORD, obj.get("reason"))
        kind, name = about.get("kind"), str(about.get("name", ""))
        of = Ref(str(kind), name, "" if kind == "Node" else str(about.get("namespace", "")))
        told = self._known(of) if kind in ("Node", "Pod") else None
        if told is None:
            return None
        times = count(obj, "count", 1)
        text = f"{_told(WORD, obj.get('type'))}, {times} time{'s' if times > 1 else ''}"
        fields: dict[str, Value] = {EVENT + reason: text}
        if names.is_report(obj):
            fields[FINDINGS + reason] = self._findings([report_finding(obj)])
        return View(ref, told.subject, told.node, fields)

    def _condition(self, one: Mapping[str, object]) -> dict[str, Value]:
        kind = str(one.get("type"))
        known = WORD.fullmatch(kind) or KEY.fullmatch(kind)
        name = kind if known else self._pseudonym("condition", kind)
        told: dict[str, Value] = {  # the same few strings on each of thousands of nodes
            intern(CONDITION + name): intern(
                f"{_told(WORD, one.get('status'))} {_told(WORD, one.get('reason') or 'None')}"
            )
        }
        found = findings_of(one) if known else ()
        return told | ({FINDINGS + name: self._findings(found)} if found else {})

    def _marks(self, prefix: str, items: Mapping[str, str] | None) -> dict[str, Value]:
        marks = names.quarantine_marks(items)
        told: dict[str, Value] = {}
        for key, value in marks.items():
            if key == names.QUARANTINE_EVENTS:
                events = map(event_finding, quarantine_events(marks))
                told[prefix + key] = self._findings([one for one in events if one is not None])
            elif MARK.fullmatch(key):
                words = OWN_WORDS.get(key)
                told[prefix + key] = value if words and words.fullmatch(value) else LEFT_OUT
        return told

    def _findings(self, findings: Iterator[Finding] | list[Finding] | tuple[Finding, ...]) -> str:
        return findings_text(map(self._finding, findings))[:LONGEST_VALUE]

    def _finding(self, one: Finding) -> Finding:
        return replace(
            one,
            check=_told(WORD, one.check),
            codes=tuple(_told(CODE, code) for code in one.codes),
            entities=tuple((_told(ENTITY, kind), self._entity(kind, value)) for kind, value in one.entities),
            action=one.action if one.action in names.RecommendedAction.__members__ else "",
        )

    def _entity(self, kind: str, value: str) -> str:
        return self._pseudonym("gpu", value) if kind == "GPU_UUID" else _told(ADDRESS, value)

    def _is_watched(self, node: str) -> bool:
        return not self._nodes or node in self._nodes

    def _named_node(self, name: str) -> str:
        return name if self._names else self._pseudonym("node", name)

    def _pseudonym(self, kind: str, name: str) -> str:
        """The same for the same thing, and of no use to know the thing."""
        if (kind, name) not in self._pseudonyms:
            self._numbers[kind] += 1
            self._pseudonyms[kind, name] = f"{kind}-{self._numbers[kind]}"
        return self._pseudonyms[kind, name]


def _told(shape: re.Pattern[str], value: object) -> str:
    return value if isinstance(value, str) and shape.fullmatch(value) else LEFT_OUT


def _tables(value: object) -> list[Mapping[str, Any]]:
    """The tables of a list, whatever a resource's own controller has written there."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _counted(kind: str) -> str:
    return kind.lower()


def _full_name(ref: Ref) -> str:
    return f"{ref.namespace}/{ref.name}" if ref.namespace else ref.name
