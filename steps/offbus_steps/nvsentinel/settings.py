"""How the deployed responder is configured, in checks of `offbus plan`; each names the object and key that it read.

NVSentinel's parts are recognised by their containers, and their configuration by what these mount
(`offbus_steps.nvsentinel.containers`); what it does not say is reported as the documented default. Dry run, the
circuit breaker, the event pipeline, the drain mode, validation and what carries out maintenance have modules of their
own. Pure, but for the listing.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from offbus.preflight import PreflightCheck
from offbus_steps.nvsentinel.circuit_breaker import CircuitBreaker, breakers_in
from offbus_steps.nvsentinel.containers import (
    STANDIN_PROFILE,
    Container,
    Setting,
    containers_in,
    files_in,
)
from offbus_steps.nvsentinel.deployed import deployed_in
from offbus_steps.nvsentinel.drain_mode import drainers_in
from offbus_steps.nvsentinel.dry_run import ACTING_HINT, acting, parts_in, parts_of
from offbus_steps.nvsentinel.event_pipeline import pipeline_checks
from offbus_steps.nvsentinel.installation import installed, told_by_standin
from offbus_steps.nvsentinel.parts import ACTING
from offbus_steps.nvsentinel.recent_cordons import gpu_nodes
from offbus_steps.nvsentinel.standin import STANDIN_NAME, Standin, published
from offbus_steps.nvsentinel.validation_stage import validation_stages
from offbus_steps.port import Forbidden, Object, Objects

__all__ = [
    "STANDIN_NAME",
    "answering_standin",
    "checks_of",
    "dry_run_checks",
    "part_of",
    "responder_checks",
    "standin_checks",
]

TOPIC = "responder"


async def responder_checks(objects: Objects, namespace: str) -> list[PreflightCheck]:
    """Check the one in this namespace of a cluster. Raises PortError."""
    found = await installed(objects, namespace)
    if found.unknown:
        return [PreflightCheck(TOPIC, found.unknown, "warning")]
    nodes = (await objects.list("Node")).items
    return list(checks_of(found.deployments, found.maps, nodes))


async def dry_run_checks(objects: Objects, namespace: str) -> list[PreflightCheck]:
    """For a drill that counts on a dry run: what would really act. Raises PortError."""
    parts = await parts_of(objects, namespace)
    return [PreflightCheck(TOPIC, why, "error", ACTING_HINT) for why in acting(parts)]


def checks_of(
    deployments: Sequence[Object], maps: Sequence[Object], nodes: Sequence[Object]
) -> Iterator[PreflightCheck]:
    """Check it in the Deployments and ConfigMaps of its namespace, and all nodes."""
    files = files_in(maps)
    parts = [one for one in containers_in(deployments, files) if one.name in ACTING or one.is_standin]
    if not parts:
        yield PreflightCheck(TOPIC, "none is deployed: nothing will cordon, drain or remediate", "warning")
        return
    for one in parts:
        yield from _standin(one, published(files)) if one.is_standin else _part(one)
    yield from _rules(deployments, maps, nodes)
    if any(not one.is_standin for one in parts):
        spaces = {one.of.namespace for one in parts}
        yield from pipeline_checks(TOPIC, (own for of, own in files.items() if of.namespace in spaces))
    for drainer in drainers_in(parts):
        for rule in drainer.rules:
            yield PreflightCheck(TOPIC, f"{drainer.name} drains {rule}")
    for doer in deployed_in(deployments, maps).doers:
        yield PreflightCheck(TOPIC, doer.described)


def standin_checks(maps: Sequence[Object], nodes: Sequence[Object]) -> Iterator[PreflightCheck]:
    """Check a stand-in that no Deployment runs, by what it publishes of itself among these ConfigMaps (`local`)."""
    yield from _told(STANDIN_NAME, published(files_in(maps)), {})
    yield from _rules((), maps, nodes)


def _rules(
    deployments: Sequence[Object], maps: Sequence[Object], nodes: Sequence[Object]
) -> Iterator[PreflightCheck]:
    """Dry run, validation and breaker, of whatever is deployed."""
    for part in parts_in(deployments, maps):
        if part.dry.value:
            text = f"{part.name} is in dry run ({part.dry.source}): it sets marks, and changes nothing"
            steps = " and ".join(part.stops)
            hint = f"{steps} cannot pass in a dry run: use await_detection and await_quarantine, or leave them out"
            yield PreflightCheck(TOPIC, text, "warning", hint)
    for stage in validation_stages(deployments, maps):
        if stage.enabled.value:
            what = "it validates a repaired node before it uncordons it"
            text = f"{what} ({stage.enabled.source}): minutes more"
            yield PreflightCheck(TOPIC, text, "warning", "give await_uncordon a timeout with room for it")
    for breaker in breakers_in(deployments, maps):
        yield from _breaker(breaker, nodes)


async def answering_standin(objects: Objects, namespace: str) -> Standin | None:
    """What the stand-in says of itself; None where NVSentinel is deployed, no stand-in is known, or it cannot be read.

    Raises PortError.
    """
    try:
        parts = filter(None, map(part_of, (await installed(objects, namespace)).deployments))
        if any(name != STANDIN_NAME for name, _ in parts):
            return None
        told = await told_by_standin(objects)
    except Forbidden:
        return None
    return None if told is None else Standin.of(told)


def part_of(deployment: Object) -> tuple[str, str] | None:
    """Which part of a responder a Deployment that is scaled up is: name, namespace."""
    parts = (one for one in containers_in([deployment], {}) if one.name in ACTING or one.is_standin)
    return next(((_name(one), one.of.namespace) for one in parts), None)


def _name(part: Container) -> str:
    return STANDIN_NAME if part.is_standin else f"NVSentinel's {part.name}"


def _part(part: Container) -> Iterator[PreflightCheck]:
    yield PreflightCheck(TOPIC, f"{_name(part)} in {part.of.namespace}")


def _standin(part: Container, told: Standin) -> Iterator[PreflightCheck]:
    """What its configuration does not say follows from its profile: then what it has published counts."""
    file = part.files.get("config.json")
    given = {key: Setting(value, f"{file} {key}") for key, value in (file.table() if file else {}).items()}
    yield from _told(f"{_name(part)} in {part.of.namespace}", told, given)


def _told(name: str, told: Standin, given: Mapping[str, Setting[Any]]) -> Iterator[PreflightCheck]:
    plays = f": {told} ({STANDIN_PROFILE} settings)" if told.profile else ""
    yield PreflightCheck(TOPIC, f"{name}{plays}")
    own = {key: Setting(value, f"{STANDIN_PROFILE} settings.{key}") for key, value in told.settings.items()}
    window = {**own, **given}.get("dedup_window_s", Setting(180, "by default"))
    if window.value != 0:
        within = f"its deduplication window ({window.value} s: {window.source})"
        yield PreflightCheck(TOPIC, f"it ignores the same XID on the same GPU within {within}")


def _breaker(breaker: CircuitBreaker, nodes: Sequence[Object]) -> Iterator[PreflightCheck]:
    if not breaker.enabled.value:
        yield PreflightCheck(TOPIC, f"its circuit breaker is off ({breaker.enabled.source})")
    elif breaker.is_tripped:
        yield PreflightCheck(TOPIC, breaker.tripped, "warning", breaker.way_out)
    else:
        watched = gpu_nodes(nodes)
        known = f"its circuit breaker is {breaker.status or 'closed'} ({breaker.state} status)"
        yield PreflightCheck(TOPIC, f"{known}: {breaker.rule(len(watched))}")
        recent = breaker.counted(watched, datetime.now(UTC))
        if watched and len(recent) + 1 >= breaker.limit(len(watched)):
            counted = f", as {', '.join(recent)} count already" if recent else ""
            text = f"the next node that it cordons trips its circuit breaker{counted}"
            yield PreflightCheck(TOPIC, text, "warning")
