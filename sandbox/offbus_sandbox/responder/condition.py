"""How health events change a node condition: pure functions over the condition's dict.

Format and rules: NVSentinel platform-connectors `K8sConnector`. A fault adds or replaces its entry; a healthy
event drops the entries that it clears; without entries the condition is healthy. Over 1024 characters
the entries lose their raw text, then the whole is truncated. Must not: talk to the cluster.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from offbus_sandbox.responder.health_event import HealthEvent, entry_text, parse_entry
from offbus_steps.nvsentinel import names
from offbus_steps.nvsentinel.findings import NO_FAILURES, split_entries

__all__ = ["faults_of", "kube_time", "updated_conditions"]

MAX_MESSAGE = 1024
"""NVSentinel: `maxNodeConditionMessageLength`."""


def kube_time(moment: datetime) -> str:
    """A time as Kubernetes writes it: UTC, whole seconds."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def faults_of(node: Mapping[str, Any]) -> Sequence[HealthEvent]:
    """Every fault in the node's conditions; text that is not an entry is skipped."""
    name = node["metadata"]["name"]
    found: list[HealthEvent] = []
    for condition in node.get("status", {}).get("conditions", []):
        if condition.get("status") == names.TRUE and str(condition.get("reason", "")).endswith(
            names.UNHEALTHY_SUFFIX
        ):
            entries = split_entries(str(condition.get("message", "")))
            parsed = [parse_entry(entry, node=name, check=condition["type"]) for entry in entries]
            found += [fault for fault in parsed if fault is not None]
    return found


def updated_conditions(
    conditions: Iterable[Mapping[str, Any]], event: HealthEvent, now: datetime
) -> list[dict[str, Any]]:
    """The node's conditions after the event: the others unchanged, the check's own last."""
    others = [dict(c) for c in conditions]
    old = next((c for c in others if c["type"] == event.checkName), {})
    return [*(c for c in others if c is not old), _after(old, event, kube_time(now))]


def _after(old: Mapping[str, Any], event: HealthEvent, now: str) -> dict[str, Any]:
    entries = _entries_after(old, event)
    status = names.TRUE if entries else "False"
    changed = old.get("status") != status
    return {
        "type": event.checkName,
        "status": status,
        "reason": f"{event.checkName}{names.UNHEALTHY_SUFFIX if entries else names.HEALTHY_SUFFIX}",
        "message": _fit(entries) if entries else NO_FAILURES,
        "lastHeartbeatTime": now,
        "lastTransitionTime": now if changed else old.get("lastTransitionTime", now),
    }


def _entries_after(old: Mapping[str, Any], event: HealthEvent) -> list[str]:
    if event.isHealthy and not event.entitiesImpacted and not event.errorCode:
        return []  # it clears the whole check
    was = split_entries(old.get("message", "")) if old.get("status") == names.TRUE else ()
    remaining = []
    for entry in was:
        fault = parse_entry(entry, node=event.nodeName, check=event.checkName)
        gone = fault is not None and (event.clears(fault) if event.isHealthy else fault.key == event.key)
        if not gone:
            remaining.append(entry)
    return remaining if event.isHealthy else [*remaining, entry_text(event).rstrip(";")]


def _fit(entries: Sequence[str]) -> str:
    text = "".join(f"{entry};" for entry in entries)
    if len(text) <= MAX_MESSAGE:
        return text
    faults = [(entry, parse_entry(entry, node="", check="")) for entry in entries]
    text = "".join(entry_text(fault, compact=True) if fault else f"{entry};" for entry, fault in faults)
    return text if len(text) <= MAX_MESSAGE else f"{text[: MAX_MESSAGE - 3]}..."
