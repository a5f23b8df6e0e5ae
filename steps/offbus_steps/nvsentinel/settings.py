"""How the deployed responder is configured: dry run, circuit breaker, deduplication.

NVSentinel's parts are recognised by their containers and the ConfigMaps of their namespace (reference/nvsentinel.md,
sections 2.3, 3 and 7); what its configuration does not say is reported as its documented default. Pure, but for the
listing.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from offbus.environment import PreflightCheck
from offbus_steps.nvsentinel.circuit_breaker import CircuitBreaker, breakers_in
from offbus_steps.nvsentinel.containers import containers_in
from offbus_steps.nvsentinel.recent_cordons import gpu_nodes, recently_cordoned
from offbus_steps.port import Object, Objects

__all__ = ["STANDIN_NAME", "checks_of", "part_of", "responder_checks"]

TOPIC = "responder"
PARTS = ("fault-quarantine", "node-drainer", "fault-remediation")
STANDIN_NAME = "the stand-in responder"
DEDUP = "dedup"


async def responder_checks(objects: Objects) -> list[PreflightCheck]:
    """Check it in a cluster. Raises PortError."""
    deployments = (await objects.list("Deployment")).items
    maps = (await objects.list("ConfigMap")).items
    nodes = (await objects.list("Node")).items
    return list(checks_of(deployments, maps, nodes))


def checks_of(
    deployments: Sequence[Object], maps: Sequence[Object], nodes: Sequence[Object]
) -> Iterator[PreflightCheck]:
    """Check it in all Deployments, ConfigMaps and nodes."""
    parts = [found for one in deployments if (found := part_of(one))]
    if not parts:
        yield PreflightCheck(TOPIC, "none is deployed: nothing will cordon, drain or remediate", "warning")
        return
    spaces = {space for _, space, _ in parts}
    own = [one for one in maps if one["metadata"].get("namespace") in spaces]
    for name, space, words in parts:
        yield PreflightCheck(TOPIC, f"{name} in {space}")
        if {"--dry-run", "--dry-run=true", "-dry-run=true"} & set(words):
            yield PreflightCheck(
                TOPIC, f"{name} is in dry run: it sets marks, and changes nothing", "warning"
            )
    for breaker in breakers_in(deployments, maps):
        yield from _breaker(breaker, nodes)
    yield from _dedup(own)


def part_of(deployment: Object) -> tuple[str, str, list[str]] | None:
    """Which part of a responder a Deployment that is scaled up is: name, namespace, command line."""
    for container in containers_in([deployment], {}):
        if container.name in PARTS:
            return f"NVSentinel's {container.name}", container.of.namespace, container.words
        if container.is_standin:
            return STANDIN_NAME, container.of.namespace, container.words
    return None


def _breaker(breaker: CircuitBreaker, nodes: Sequence[Object]) -> Iterator[PreflightCheck]:
    if not breaker.enabled.value:
        yield PreflightCheck(TOPIC, f"its circuit breaker is off ({breaker.enabled.source})")
    elif breaker.is_tripped:
        yield PreflightCheck(TOPIC, breaker.tripped, "warning", breaker.way_out)
    else:
        watched = gpu_nodes(nodes)
        known = f"its circuit breaker is {breaker.status or 'closed'} ({breaker.state} status)"
        yield PreflightCheck(TOPIC, f"{known}: {breaker.rule(len(watched))}")
        recent = recently_cordoned(watched, breaker.window.value, datetime.now(UTC))
        if watched and len(recent) + 1 >= breaker.limit(len(watched)):
            counted = f", as {', '.join(recent)} count already" if recent else ""
            yield PreflightCheck(
                TOPIC, f"the next node that it cordons trips its circuit breaker{counted}", "warning"
            )


def _dedup(maps: list[Object]) -> Iterator[PreflightCheck]:
    window = next((found for one in maps for text in _data(one).values() if (found := _window(text))), "")
    known = window or "3m, the documented default"
    yield PreflightCheck(
        TOPIC, f"it ignores the same XID on the same GPU within its deduplication window ({known})"
    )


def _window(text: str) -> str:
    """The deduplication window of a configuration in JSON, YAML or TOML; empty without one."""
    try:
        found = json.loads(text)
        table = found.get(DEDUP) if isinstance(found, Mapping) else None
        return str(table["suppressionWindow"]) if isinstance(table, Mapping) else ""
    except (ValueError, RecursionError, KeyError):
        match = re.search(r"suppressionWindow\"?\s*[:=]\s*\"?([0-9a-z]+)", text)
        return match.group(1) if match else ""


def _data(config: Object) -> Mapping[str, Any]:
    return config.get("data") or {}
