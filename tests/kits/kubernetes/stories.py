"""What a finished drill tells, without what differs from place to place: names of pods and nodes, numbers, times.

Two runs tell the same story when the same kinds of things happened in the same lanes, and each cause came before its
consequence in both. Left out is what depends on how busy the machine is, and on where other pods are (`WEATHER`).
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from typing import Any

__all__ = ["CAUSES", "is_weather", "kinds", "out_of_order", "outcome"]

Entry = Mapping[str, Any]
WEATHER = (
    r"pod: BYSTANDER ((not )?ready|evicted)",
    r"pod: VICTIM (not ready|restarted \(#\))",  # unless the drain is faster than its kubelet
    r"requests: TARGET (failing|answering)",
    r"run: \w+ environment opened",
    r"fault: FAULT faulted a process that was not found in a pod of the target",  # it had ended when it was looked for
)
NAMES = (
    (r"Pod/[\w-]+/", ""),
    (r"\bNode/", ""),
    (r"; set otherwise: .*", ""),  # each place has its own reasons
    (r"maintenance-[\w.-]+", "MAINTENANCE"),
    (r"Event/\S+", "Event"),
    (r"DynamoGraphDeployment/\S+", "TARGET"),
    (r"(scheduled) on \S+", r"\1"),
    (r"(ended) (with|by signal) \d+", r"\1"),
    (r"GPU-[0-9a-f-]+", "GPU"),
    (r"\d+", "#"),
)
CAUSES: tuple[tuple[str, ...], ...] = (
    (
        "workload: TARGET created",
        "workload: TARGET shim wanted",
        "step: prepare passed",
        "fault: NODE (VICTIM) declared",
        "fault: NODE (VICTIM) shows on kernel",
        "node: NODE SysLogsXIDError True",
        "node: NODE cordoned",
        "node: NODE state draining",
        "node: NODE state drain-succeeded",
        "node: NODE state remediating",
        "node: NODE SysLogsXIDError False",
        "node: NODE uncordoned",
        "undo: clear the consequences of FAULT on NODE restored",
        "undo: restore # fields of TARGET restored",
        "workload: TARGET deleted",
    ),
    ("node: NODE cordoned", "step: cordon passed", "step: drain started"),
    ("node: NODE state quarantined", "node: NODE state draining"),
    ("node: NODE state remediating", "node: NODE state remediation-succeeded"),
    ("node: NODE cordoned", "pod: VICTIM evicted", "pod: VICTIM deleted"),
    ("pod: VICTIM evicted", "node: NODE state drain-succeeded"),
    ("node: NODE state drain-succeeded", "responder: RebootNode/MAINTENANCE asked for"),
    ("responder: RebootNode/MAINTENANCE asked for", "responder: RebootNode/MAINTENANCE completed"),
    ("responder: RebootNode/MAINTENANCE asked for", "node: NODE SysLogsXIDError False"),
    ("fault: NODE (VICTIM) declared", "pod: VICTIM ended", "pod: VICTIM deleted"),
    ("pod: VICTIM ended", "pod: VICTIM restarted (#)"),
    ("fault: FAULT armed", "fault: FAULT disarmed", "undo: disarm fault FAULT on NODE restored"),
    (
        "fault: NODE (VICTIM) declared",
        "requests: TARGET first good answer after the fault",
        "step: works passed",
    ),
)
"""Chains of cause and consequence, by first occurrence. What a drill does not tell is left out of them.

Kinds are watched apart, so a cause and its consequence on objects of two kinds stand in a chain only where the
responder waits in between: both may arrive at once.
"""


def outcome(report: Mapping[str, Any]) -> dict[str, Any]:
    """What a run came to."""
    return {
        "verdict": report["verdict"],
        "exit": report["exit"],
        "residue": report["residue"],
        "steps": {step["id"]: step["outcome"] for step in report["steps"]},
        "expectations": {one["text"]: one["result"] for one in report["expectations"]},
        "faults": [(fault["proven"], sorted(fault["planes"])) for fault in report["faults"]],
        "undos": sorted((undo["type"], undo["result"]) for undo in report["undos"]),
        "metrics": sorted(report["metrics"]),
    }


def kinds(report: Mapping[str, Any]) -> set[str]:
    """Every kind of thing that happened, as "lane: subject what"."""
    return {kind for kind in told(report) if not is_weather(kind)}


def is_weather(kind: str) -> bool:
    """Whether it may happen in one place and not in the other."""
    return any(re.fullmatch(one, kind) for one in WEATHER)


def out_of_order(report: Mapping[str, Any], chains: Iterable[tuple[str, ...]] = CAUSES) -> list[str]:
    """Pairs of a chain whose first occurrences are not in its order; none is what is wanted."""
    first: dict[str, int] = {}
    for paths, kind in enumerate(told(report)):
        first.setdefault(kind, paths)
    found = []
    for chain in chains:
        there = [kind for kind in chain if kind in first]
        found += [f"{b} before {a}" for a, b in pairwise(there) if first[a] > first[b]]
    return found


def told(report: Mapping[str, Any]) -> Iterator[str]:
    """The timeline, in words that do not depend on the place."""
    injected = next(step for step in report["steps"] if step["id"] == "inject")["outputs"]
    victims = set(injected["fault"]["holders"].values())
    names = {injected["fault"]["id"]: "FAULT", **dict.fromkeys(victims, "VICTIM"), injected["node"]: "NODE"}
    names |= dict.fromkeys(pods_of(report) - victims, "BYSTANDER")
    for entry in report["timeline"]:
        yield anonymous(f"{entry['lane']}: {entry['subject']} {entry['what']}", names)


def pods_of(report: Mapping[str, Any]) -> set[str]:
    """Names of all pods in the timeline."""
    subjects = (str(one["subject"]) for one in report["timeline"] if one["lane"] == "pod")
    return {subject.rpartition("/")[2] for subject in subjects}


def anonymous(text: str, names: Mapping[str, str]) -> str:
    """A line without names and numbers."""
    for name, role in names.items():
        text = re.sub(rf"(?<![\w-]){re.escape(name)}(?![\w-])", role, text)
    for pattern, instead in NAMES:
        text = re.sub(pattern, instead, text)
    return text
