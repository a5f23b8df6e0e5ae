"""What a responder says it found on a node: one finding for each health event, from everywhere it writes them.

    a node condition    `<check>=True`, reason `<check>IsNotHealthy`; its message has an entry for each event
                        (`ErrorCode:79 PCI:0000:3b:00 GPU_UUID:GPU-… text Recommended Action=RESTART_BM;`)
    an Event            of the node, type and reason as the condition's; its message is one entry
    an annotation       `quarantineHealthEvent`: the events for which the node is quarantined, as JSON

Sources: NVSentinel, platform-connectors' K8sConnector and fault-quarantine's healthEventsAnnotation; reference pages
nvsentinel.md, section 2.2, and nvsentinel-observed.md (the annotation is `[]` for a moment; actions are numbers; older
releases write a single object). All of it is text that others can write, so reading never raises, and takes time in
proportion to what is read, which is bounded: what is not of this shape is a finding without facts, or none. Of one
node MOST_FINDINGS are read (`node_findings`, `tracked_findings`), those of the check that finds drills' faults before
all others, so that no flood hides them; what was left out then is told by one that has `more`. Whose finding it is, is
another question (`offbus_steps.nvsentinel.cause`). Pure.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from offbus_agent.kernel_log.line import MARK
from offbus_steps.nvsentinel import names

__all__ = [
    "CUT",
    "LONGEST_MESSAGE",
    "MOST_FACTS",
    "MOST_FINDINGS",
    "NO_FAILURES",
    "Finding",
    "all_findings",
    "applied_taints",
    "by_check",
    "entry_finding",
    "entry_head",
    "event_finding",
    "findings_of",
    "node_findings",
    "quarantine_events",
    "report_fault",
    "report_finding",
    "split_entries",
    "taint_text",
    "told_message",
    "tracked_findings",
]

NO_FAILURES = "No Health Failures"
"""A healthy condition's message."""
CUT = "..."
"""Ends a message that was longer than `maxNodeConditionMessageLength` (1024); what followed is not known."""
LONGEST_MESSAGE = 8192
"""Characters of a message that are read; NVSentinel's have at most 1024, others' Events may have a million."""
MOST_FINDINGS = 64
"""Of one node, in its conditions or in the list of its quarantine; one entry of NVSentinel's takes 60 of 1024."""
MOST_FACTS = 64
"""Codes and entities of one finding; NVSentinel's about a GPU or a link have fewer than ten."""
ENTITY_WORD = re.compile(r"([A-Z][A-Z0-9_]*):(\S+) *")
CODE_WORD = re.compile(r"(ErrorCode):(\S+) *")
DRILLS_LINE = re.compile(rf"(?:MESSAGE=)?{MARK}(\S+) [;.]")
"""How a drill's kernel line begins where a responder repeats it: sdjournal puts the field's name before it, and
NVSentinel writes `.` for `;` (nvsentinel-observed.md)."""
ACTION = re.compile(r"Recommended Action=([A-Z_]+)$")


@dataclass(frozen=True, slots=True)
class Finding:
    """One health event, as far as what was read shows it."""

    check: str
    """The check that found it, such as SysLogsXIDError."""
    codes: tuple[str, ...] = ()
    entities: tuple[tuple[str, str], ...] = ()
    """(type, value), such as ("PCI", "0000:3b:00")."""
    action: str = ""
    """The recommended action's name; "" where it is not known."""
    id: str = ""
    """The event's id in the responder's database; only the annotation has it."""
    cut: bool = False
    """Whether its last word may lack its end."""
    more: bool = False
    """Whether it stands for those that were not read: of its check or, as drills' is read first, of any other."""

    @property
    def key(self) -> tuple[str, tuple[str, ...], frozenset[tuple[str, str]]]:
        """What makes it the same finding wherever it is written."""
        return self.check, self.codes, frozenset(self.entities)

    def __str__(self) -> str:
        if self.more:
            return f"more than {MOST_FINDINGS} findings"
        about = " ".join(f"{kind}:{value}" for kind, value in self.entities)
        return " ".join(part for part in (self.check, ",".join(self.codes), about) if part)


def findings_of(condition: Mapping[str, Any]) -> tuple[Finding, ...]:
    """The findings of a node condition, to the bound; none unless it marks the node as unhealthy now."""
    return _bounded(all_findings(condition))


def all_findings(condition: Mapping[str, Any]) -> Iterator[Finding]:
    """The findings of a node condition, one for each entry of the part of its message that is read."""
    check = str(condition.get("type", ""))
    if condition.get("status") != names.TRUE or condition.get("reason") != f"{check}{names.UNHEALTHY_SUFFIX}":
        return
    entries = split_entries(told_message(condition.get("message")))
    yield from (entry_finding(check, entry) for entry in entries)
    if not entries:
        yield Finding(check)


def node_findings(conditions: Iterable[Mapping[str, Any]]) -> tuple[Finding, ...]:
    """The findings of all conditions of a node, to the bound: the conditions behind it are not looked at."""
    ordered = sorted(conditions, key=lambda one: one.get("type") != names.XID_CHECK)
    return _bounded(found for one in ordered for found in all_findings(one))


def tracked_findings(annotations: Mapping[str, str]) -> tuple[Finding, ...]:
    """What a node is in quarantine for, to the bound."""
    events = quarantine_events(annotations)
    if len(events) > MOST_FINDINGS:
        events.sort(key=lambda one: not isinstance(one, Mapping) or one.get("checkName") != names.XID_CHECK)
    return _bounded(found for found in map(event_finding, events) if found is not None)


def by_check(findings: Iterable[Finding]) -> dict[str, list[Finding]]:
    """Findings by the check that found them."""
    grouped: dict[str, list[Finding]] = {}
    for one in findings:
        grouped.setdefault(one.check, []).append(one)
    return grouped


def report_finding(event: Mapping[str, Any]) -> Finding:
    """The finding of an Event that is a responder's report (`names.is_report`)."""
    return entry_finding(str(event.get("type", "")), _report_entry(event))


def report_fault(event: Mapping[str, Any]) -> str:
    """The id of the fault whose kernel line an Event repeats, right after its facts; "" where it repeats none."""
    _, _, said, _ = entry_head(_report_entry(event))
    line = DRILLS_LINE.match(said)
    return line[1] if line is not None else ""


def _report_entry(event: Mapping[str, Any]) -> str:
    return told_message(event.get("message")).strip().removesuffix(";")


def told_message(message: Any) -> str:
    """What is read of a message; one that is too long ends with CUT."""
    text = str(message or "")
    return text if len(text) <= LONGEST_MESSAGE else text[:LONGEST_MESSAGE] + CUT


def quarantine_events(annotations: Mapping[str, str]) -> list[Any]:
    """The events of the annotation, as JSON values; none when it is absent or cannot be read."""
    return _json_list(annotations.get(names.QUARANTINE_EVENTS))


def applied_taints(annotations: Mapping[str, str]) -> frozenset[str]:
    """The taints that the responder says it has set on the node, as `taint_text`."""
    told = (one for one in _json_list(annotations.get(names.APPLIED_TAINTS)) if isinstance(one, Mapping))
    return frozenset(taint_text({key.lower(): value for key, value in one.items()}) for one in told)


def taint_text(taint: Mapping[str, Any]) -> str:
    """ "key=value:effect"."""
    return f"{taint.get('key', '')}={taint.get('value', '')}:{taint.get('effect', '')}"


def event_finding(event: Any) -> Finding | None:
    """The finding of one event of the annotation; None when it is of no event's shape, or a healthy event."""
    if not isinstance(event, Mapping) or event.get("isHealthy") is True:
        return None
    check, codes, entities = (event.get(key) for key in ("checkName", "errorCode", "entitiesImpacted"))
    if not isinstance(check, str):
        return None
    identity = event.get("id")
    return Finding(
        check=check,
        codes=tuple(one for one in _listed(codes)[:MOST_FACTS] if isinstance(one, str)),
        entities=tuple(_pairs(_listed(entities)[:MOST_FACTS])),
        action=_action(event.get("recommendedAction")),
        id=identity if isinstance(identity, str) else "",
    )


def split_entries(message: str) -> Sequence[str]:
    """The entries of a condition's message, without `;`; none for a healthy or an empty message."""
    if message == NO_FAILURES:
        return ()
    return tuple(part.strip() for part in message.split(";") if part.strip())


def entry_finding(check: str, entry: str) -> Finding:
    """The finding of one entry, without its `;`."""
    codes, entities, _, action = entry_head(entry.removesuffix(CUT))
    return Finding(check, codes, entities, action, cut=entry.endswith(CUT))


def entry_head(entry: str) -> tuple[tuple[str, ...], tuple[tuple[str, str], ...], str, str]:
    """Codes, entities, the raw text after them, and the action's name. Only words before any other text are facts."""
    action = ACTION.search(entry)
    end = len((entry[: action.start()] if action else entry).rstrip())
    codes: list[str] = []
    entities: list[tuple[str, str]] = []
    at = 0
    for _ in range(MOST_FACTS):
        found = ENTITY_WORD.match(entry, at, end) or CODE_WORD.match(entry, at, end)
        if found is None:
            break
        kind, value = found.groups()
        at = found.end()
        if kind == "ErrorCode":
            codes.append(value)
        else:
            entities.append((kind, value))
    return tuple(codes), tuple(entities), entry[at:end], action.group(1) if action else ""


def _bounded(findings: Iterator[Finding]) -> tuple[Finding, ...]:
    found = tuple(islice(findings, MOST_FINDINGS))
    left_out = next(findings, None)
    return found if left_out is None else (*found, Finding(left_out.check, cut=True, more=True))


def _json_list(text: str | None) -> list[Any]:
    """What a list in an annotation holds; a single value in older releases; nothing when it cannot be read."""
    try:
        found = json.loads(text or "[]")
    except (ValueError, RecursionError):
        return []
    return found if isinstance(found, list) else [found]


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _pairs(entities: list[Any]) -> Iterator[tuple[str, str]]:
    for one in entities:
        if isinstance(one, Mapping):
            kind, value = one.get("entityType"), one.get("entityValue")
            if isinstance(kind, str) and isinstance(value, str):
                yield kind, value


def _action(value: Any) -> str:
    """By the enum's number, as NVSentinel writes it, or by its name."""
    if isinstance(value, str):
        return value
    known = (one.name for one in names.RecommendedAction if type(value) is int and one == value)
    return next(known, "")
