"""How the deployed responder is configured: dry run, circuit breaker, deduplication.

NVSentinel's parts are recognised by their containers and the ConfigMaps of their namespace (reference/nvsentinel.md,
sections 2.3, 3 and 7); what its configuration does not say is reported as its documented default. Pure, but for the
listing.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from offbus.environment import PreflightCheck
from offbus_steps.port import Object, Objects
from offbus_steps.workloads.gpus import allocatable_gpus
from offbus_steps.workloads.quantity import count

__all__ = [
    "STANDIN_NAME",
    "TRIPPED",
    "USUAL_NAMESPACE",
    "breaker_is_tripped",
    "checks_of",
    "part_of",
    "responder_checks",
]

TOPIC = "responder"
PARTS = ("fault-quarantine", "node-drainer", "fault-remediation")
STANDIN = "offbus_sandbox.responder"
STANDIN_NAME = "the stand-in responder"
USUAL_NAMESPACE = "nvsentinel"
BREAKER = "circuit-breaker"
TRIPPED = "TRIPPED"
DEFAULT_PERCENTAGE = 50
DEDUP = "dedup"


async def breaker_is_tripped(objects: Objects) -> bool:
    """Whether the responder's circuit breaker has tripped, so that it cordons no node. Raises PortError."""
    found = (part_of(one) for one in (await objects.list("Deployment")).items)
    spaces = {part[1] for part in found if part} | {USUAL_NAMESPACE}
    maps = (await objects.list("ConfigMap")).items
    return _breaker_state(one for one in maps if one["metadata"].get("namespace") in spaces) == TRIPPED


async def responder_checks(objects: Objects) -> list[PreflightCheck]:
    """Check it in a cluster. Raises PortError."""
    deployments = (await objects.list("Deployment")).items
    maps = (await objects.list("ConfigMap")).items
    nodes = (await objects.list("Node")).items
    return list(checks_of(deployments, maps, nodes))


def checks_of(
    deployments: Iterable[Object], maps: Iterable[Object], nodes: Iterable[Object]
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
    yield from _breaker(own, nodes)
    yield from _dedup(own)


def part_of(deployment: Object) -> tuple[str, str, list[str]] | None:
    """Which part of a responder a Deployment that is scaled up is: name, namespace, command line."""
    spec = deployment.get("spec") or {}
    pod = (spec.get("template") or {}).get("spec") or {}
    if not count(spec, "replicas", 1):
        return None
    space = str(deployment["metadata"].get("namespace", ""))
    for container in pod.get("containers") or ():
        words = [str(one) for one in (*(container.get("command") or ()), *(container.get("args") or ()))]
        if container.get("name") in PARTS:
            return f"NVSentinel's {container['name']}", space, words
        if STANDIN in words and "controller" in words:
            return STANDIN_NAME, space, words
    return None


def _breaker_state(maps: Iterable[Object]) -> str:
    """What the circuit breaker's ConfigMap says; "" when there is none."""
    return next((str(_data(one).get("status", "")) for one in maps if one["metadata"]["name"] == BREAKER), "")


def _breaker(maps: list[Object], nodes: Iterable[Object]) -> Iterator[PreflightCheck]:
    state = _breaker_state(maps)
    if state == TRIPPED:
        hint = (
            f"find the cause, then reset it: set `status` of ConfigMap {BREAKER} (see NVSentinel's runbook)"
        )
        yield PreflightCheck(
            TOPIC, "its circuit breaker is TRIPPED: it does not cordon any more nodes", "warning", hint
        )
    elif state:
        yield PreflightCheck(TOPIC, f"its circuit breaker is not tripped ({state})")
    percentage = _number(maps, r"percentage\"?\s*[:=]\s*(\d+)")
    gpu_nodes = sum(1 for one in nodes if allocatable_gpus(one))
    if gpu_nodes and 100 / gpu_nodes >= (percentage or DEFAULT_PERCENTAGE):
        known = f"{percentage} %" if percentage else f"{DEFAULT_PERCENTAGE} %, the documented default"
        yield PreflightCheck(
            TOPIC, f"one cordon of {gpu_nodes} GPU nodes trips its circuit breaker ({known})", "warning"
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


def _number(maps: list[Object], pattern: str) -> int:
    for one in maps:
        for text in _data(one).values():
            if match := re.search(pattern, text):
                return int(match.group(1))
    return 0


def _data(config: Object) -> Mapping[str, Any]:
    return config.get("data") or {}
