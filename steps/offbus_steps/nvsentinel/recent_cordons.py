"""Which nodes a responder has cordoned lately, as far as their marks tell: what its circuit breaker counts.

Less than the responder knows when somebody removed the marks, more when a cordon was older than its end. Pure.
"""

import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta

from offbus_steps.nvsentinel import names
from offbus_steps.port import Object

__all__ = ["gpu_nodes", "recently_cordoned"]


def gpu_nodes(nodes: Iterable[Object]) -> list[Object]:
    """The nodes that NVSentinel watches and counts (fault-quarantine: `gpuNodeLabel`, by default this label)."""
    return [one for one in nodes if (one["metadata"].get("labels") or {}).get(names.GPU_PRESENT) == "true"]


def recently_cordoned(nodes: Iterable[Object], window: timedelta, now: datetime) -> dict[str, str]:
    """The nodes that a responder has cordoned within the window, or may have, and by which mark that is seen.

    A mark that says when a cordon ended counts, too: its beginning is not known any more.
    """
    found: dict[str, str] = {}
    for node in nodes:
        for at, mark in _times(node):
            if now - at < window:
                found.setdefault(node["metadata"]["name"], mark)
    return found


def _times(node: Object) -> Iterator[tuple[datetime, str]]:
    meta = node["metadata"]
    for label in (names.CORDON_TIMESTAMP, names.UNCORDON_TIMESTAMP):
        told = str((meta.get("labels") or {}).get(label, ""))
        if told and (at := _parsed(told, names.LABEL_TIME)):
            yield at, f"label {label}: {told}"
    if names.CORDONED_ANNOTATION in (meta.get("annotations") or {}):
        for event in _events(str(meta["annotations"].get(names.QUARANTINE_EVENTS, ""))):
            yield event, f"annotation {names.QUARANTINE_EVENTS}"
    for one in (node.get("status") or {}).get("conditions") or ():
        if names.is_responder_condition(one) and (at := _parsed(str(one.get("lastTransitionTime") or ""))):
            yield at, f"condition {one['type']} since {one['lastTransitionTime']}"


def _events(text: str) -> Iterator[datetime]:
    try:
        listed = json.loads(text)
        for one in listed if isinstance(listed, list) else [listed]:
            yield datetime.fromtimestamp(float(one["generatedTimestamp"]["seconds"]), UTC)
    except (ValueError, RecursionError, KeyError, TypeError, OverflowError, OSError):
        return


def _parsed(text: str, form: str = "") -> datetime | None:
    try:
        at = datetime.strptime(text, form) if form else datetime.fromisoformat(text)  # noqa: DTZ007  UTC, next line
    except ValueError:
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)
