"""Which nodes a responder has cordoned lately, as far as their marks tell: what its circuit breaker counts.

Less than the responder knows when somebody removed the marks, more when a cordon was older than its end. After a drill
has put a node's labels back, the all-clear is the only mark of its cordon; a monitor that starts on a new node sets
one, too. Where the responder's datastore can be read (the stand-in's ConfigMaps), it tells the two apart; where it
cannot (NVSentinel's database), both count. Pure.
"""

import json
from collections.abc import Collection, Iterable, Iterator
from datetime import UTC, datetime, timedelta

from offbus_steps.nvsentinel import names
from offbus_steps.port import Object

__all__ = ["EVENTS_LABEL", "EVENTS_PREFIX", "gpu_nodes", "never_quarantined", "recently_cordoned"]

EVENTS_LABEL, EVENTS_PREFIX = ("offbus.dev/responder", "health-events"), "health-events-"
"""Of the ConfigMaps in which a stand-in keeps a node's health events; the node's name follows the prefix."""


def gpu_nodes(nodes: Iterable[Object]) -> list[Object]:
    """The nodes that NVSentinel watches and counts (fault-quarantine: `gpuNodeLabel`, by default this label)."""
    return [one for one in nodes if (one["metadata"].get("labels") or {}).get(names.GPU_PRESENT) == "true"]


def never_quarantined(maps: Iterable[Object]) -> frozenset[str]:
    """The nodes of which a stand-in's datastore has events, none of which has ever quarantined them.

    `maps`: the ConfigMaps of the responder's namespace. A document's `nodequarantined` is set by what quarantined, or
    ended that; it stays when the marks are removed. One that cannot be read may have quarantined.
    """
    key, value = EVENTS_LABEL
    return frozenset(
        one["metadata"]["name"].removeprefix(EVENTS_PREFIX)
        for one in maps
        if (one["metadata"].get("labels") or {}).get(key) == value
        and (documents := one.get("data") or {})
        and not any(map(_may_have_quarantined, documents.values()))
    )


def _may_have_quarantined(document: object) -> bool:
    try:
        found = json.loads(str(document))
    except (ValueError, RecursionError):
        return True
    return not isinstance(found, dict) or found.get("nodequarantined") is not None


def recently_cordoned(
    nodes: Iterable[Object], window: timedelta, now: datetime, never: Collection[str] = ()
) -> dict[str, str]:
    """The nodes that a responder has cordoned within the window, or may have, and by which mark that is seen.

    A mark that says when a cordon ended counts, too: its beginning is not known any more. An all-clear does not on a
    node that was `never` quarantined.
    """
    found: dict[str, str] = {}
    for node in nodes:
        for at, mark in _times(node, cleared=node["metadata"]["name"] not in never):
            if now - at < window:
                found.setdefault(node["metadata"]["name"], mark)
    return found


def _times(node: Object, *, cleared: bool) -> Iterator[tuple[datetime, str]]:
    """The marks' times; `cleared`: an all-clear may have ended a cordon."""
    meta = node["metadata"]
    for label in (names.CORDON_TIMESTAMP, names.UNCORDON_TIMESTAMP):
        told = str((meta.get("labels") or {}).get(label, ""))
        if told and (at := _parsed(told, names.LABEL_TIME)):
            yield at, f"label {label}: {told}"
    if names.CORDONED_ANNOTATION in (meta.get("annotations") or {}):
        for event in _events(str(meta["annotations"].get(names.QUARANTINE_EVENTS, ""))):
            yield event, f"annotation {names.QUARANTINE_EVENTS}"
    for one in (node.get("status") or {}).get("conditions") or ():
        counts = names.is_responder_condition(one) and (cleared or not names.is_healthy_condition(one))
        if counts and (at := _parsed(str(one.get("lastTransitionTime") or ""))):
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
