"""The responder's circuit breaker: as it is configured, as it stands, and which nodes it counts.

NVSentinel's rule (reference/nvsentinel-observed.md, "Circuit breaker"; charts/fault-quarantine): it is asked before
every event, healthy ones too, and trips once the different nodes that were cordoned within the window reach
ceil(GPU nodes x percentage / 100). From then on the responder takes no event of any node, no real fault and no clear
either, until the state (ConfigMap `circuit-breaker`, key `status`) is reset *and* the program is restarted. On or off
is a flag of fault-quarantine, the limits are in its config.toml, older versions have flags for them; the stand-in's are
in its config.json, and what that leaves to its profile in the ConfigMap that it publishes, which is all there is of a
stand-in on `local`.

Its own count is in its memory; what can be seen of it from outside says `recent_cordons`, its rule `breaker_rule`.
Pure, but for the listing.
"""

import json
import shlex
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from offbus.durations import format_duration, parse_duration
from offbus_steps.nvsentinel import breaker_rule, names
from offbus_steps.nvsentinel.breaker_rule import PERCENTAGE, TRIPPED, WINDOW
from offbus_steps.nvsentinel.containers import (
    STANDIN_PROFILE,
    ConfigFile,
    Container,
    Setting,
    containers_in,
    files_in,
)
from offbus_steps.nvsentinel.installation import installed
from offbus_steps.nvsentinel.parts import Part
from offbus_steps.nvsentinel.recent_cordons import gpu_nodes, never_quarantined, recently_cordoned
from offbus_steps.port import Object, Objects, Ref

__all__ = [
    "CircuitBreaker",
    "breaker_is_tripped",
    "breakers",
    "breakers_in",
    "objections",
    "reset_of",
    "tripped_states",
]

LOCAL_RESET = "offbus local down (with --name for a sandbox other than `default`)"
"""Ends the responder's processes, and the datastore with its state. No object tells the name of its sandbox."""
SHORTEST, LONGEST = timedelta(0), timedelta(days=365)


@dataclass(frozen=True, slots=True)
class CircuitBreaker:
    """The breaker of one responder."""

    responder: str
    enabled: Setting[bool]
    percentage: Setting[float]
    window: Setting[timedelta]
    state: Ref
    """The ConfigMap with its `status`."""
    status: str = ""
    """"" as long as it has not written any."""
    program: Ref | None = None
    """The Deployment to restart after a reset."""
    is_local: bool = False
    """Its program is a process of the environment `local`."""
    never_quarantined: frozenset[str] = frozenset()
    """Nodes whose all-clear ended no quarantine, as far as its datastore tells (`recent_cordons`)."""

    @property
    def is_tripped(self) -> bool:
        """Whether it has tripped: the responder answers nothing."""
        return self.enabled.value and self.status == TRIPPED

    def limit(self, nodes: int) -> int:
        """The number of cordoned nodes, of so many GPU nodes, that trips it."""
        return breaker_rule.limit(nodes, self.percentage.value)

    def counted(self, watched: Iterable[Object], now: datetime) -> dict[str, str]:
        """Which of the GPU nodes it counts now, or may count, and by which mark that is seen."""
        return recently_cordoned(watched, self.window.value, now, self.never_quarantined)

    def rule(self, nodes: int) -> str:
        """The rule in words, with where its numbers stand."""
        window = format_duration(self.window.value)
        numbers = f"{self.percentage.value:g} %: {self.percentage.source}; {window}: {self.window.source}"
        return f"{self.limit(nodes)} of {nodes} GPU nodes cordoned within {window} trip it ({numbers})"

    @property
    def tripped(self) -> str:
        """That it is tripped, in words."""
        where = f"{self.state} status"
        return f"the circuit breaker of {self.responder} is {TRIPPED} ({where}): it answers no fault until it is reset"

    @property
    def way_out(self) -> str:
        """What lets a drill run again."""
        if self.is_tripped:
            return f"find out why it tripped, then: {self.reset}"
        return f"wait {format_duration(self.window.value)} after the last cordon, or use a node that is counted already"

    @property
    def reset(self) -> str:
        """How it is reset."""
        return LOCAL_RESET if self.is_local else reset_of(self.state, self.program)


def reset_of(state: Ref, program: Ref | None = None) -> str:
    """The command that resets a breaker: its state, and a restart of its program (by default fault-quarantine)."""
    patch = json.dumps({"data": {"status": breaker_rule.CLOSED}})
    program = program or Ref("Deployment", Part.FAULT_QUARANTINE, state.namespace)
    patching = ["kubectl", "-n", state.namespace, "patch", "configmap", state.name, "-p", patch]
    restart = ["kubectl", "-n", program.namespace, "rollout", "restart", "deployment", program.name]
    return f"{shlex.join(patching)} && {shlex.join(restart)}"


async def breaker_is_tripped(objects: Objects, namespace: str) -> bool:
    """Whether a responder's circuit breaker has tripped, so that it cordons no node. Raises PortError."""
    return any(one.is_tripped for one in await breakers(objects, namespace))


async def tripped_states(objects: Objects, namespace: str) -> list[Ref]:
    """The ConfigMaps of a responder's namespace that say that its breaker has tripped. Raises PortError."""
    files = files_in((await objects.list("ConfigMap", namespace=namespace)).items)
    state = Ref("ConfigMap", names.BREAKER, namespace)
    status = files.get(state, {}).get("status")
    return [state] if status and status.text == TRIPPED else []


async def breakers(objects: Objects, namespace: str) -> list[CircuitBreaker]:
    """Those of the responder in a namespace. Raises PortError."""
    found = await installed(objects, namespace)
    return breakers_in(found.deployments, found.maps)


def breakers_in(deployments: Iterable[Object], maps: Iterable[Object]) -> list[CircuitBreaker]:
    """Those of the responders in the Deployments and ConfigMaps of a namespace.

    A state that belongs to no responder that is known counts as that of an NVSentinel with the documented defaults.
    """
    maps = tuple(maps)
    files, never = files_in(maps), never_quarantined(maps)
    published = files.get(STANDIN_PROFILE, {}).get("circuit_breaker")
    told = {key: Setting(value, f"{published}.{key}") for key, value in _json(published).items()}
    found = [one for container in containers_in(deployments, files) for one in _of(container, told)]
    if not found and published:
        found = [_standin(published.of, told, None)]
    if not found:
        state = Ref("ConfigMap", names.BREAKER, names.USUAL_NAMESPACE)
        unknown = CircuitBreaker("the responder", Setting(True), Setting(PERCENTAGE), Setting(WINDOW), state)
        found = [unknown] if state in files else []
    states = ((one, files.get(one.state, {}).get("status")) for one in found)
    return [replace(one, status=told.text if told else "", never_quarantined=never) for one, told in states]


def _of(container: Container, published: Mapping[str, Setting[Any]]) -> Iterator[CircuitBreaker]:
    if container.name == Part.FAULT_QUARANTINE:
        yield _nvsentinel(container)
    elif container.is_standin:
        file = container.files.get("config.json")
        given = file.table("circuit_breaker") if file else {}
        told = {key: Setting(value, f"{file} circuit_breaker.{key}") for key, value in given.items()}
        yield _standin(container.of, {**published, **told}, container.of)


def _nvsentinel(container: Container) -> CircuitBreaker:
    file = container.files.get("config.toml")
    given = file.table("circuitBreaker") if file else {}

    def told(key: str) -> Setting[Any] | None:
        if key in given:
            return Setting(given[key], f"{file} circuitBreaker.{key}")
        return container.flag(f"circuit-breaker-{key}")

    return CircuitBreaker(
        f"NVSentinel ({container.of})",
        container.is_set("circuit-breaker-enabled", default=True),
        _percentage(told("percentage")),
        _window(told("duration")),
        Ref("ConfigMap", names.BREAKER, container.of.namespace),
        program=container.of,
    )


def _standin(of: Ref, told: Mapping[str, Setting[Any]], program: Ref | None) -> CircuitBreaker:
    enabled, seconds = told.get("enabled", Setting(False, f"{of}: by default")), told.get("duration_s")
    return CircuitBreaker(
        f"the stand-in responder ({of})",
        Setting(enabled.value is True, enabled.source),
        _percentage(told.get("percentage")),
        _window(seconds and Setting(f"{seconds.value}s", seconds.source)),
        Ref("ConfigMap", names.BREAKER, str(told.get("namespace", Setting(names.USUAL_NAMESPACE)).value)),
        program=program,
        is_local=program is None,
    )


def _json(file: ConfigFile | None) -> Mapping[str, Any]:
    try:
        found = json.loads(file.text) if file else {}
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, Mapping) else {}


def _percentage(told: Setting[Any] | None) -> Setting[float]:
    """The share; the default for what is none."""
    try:
        share = float(str(told.value)[:32]) if told else -1.0
    except ValueError:
        share = -1.0
    return Setting(share, told.source) if told and 0 <= share <= 100 else Setting(PERCENTAGE)


def _window(told: Setting[Any] | None) -> Setting[timedelta]:
    try:
        window = parse_duration(str(told.value)[:64]) if told else LONGEST
    except ValueError:
        window = LONGEST
    return Setting(window, told.source) if told and SHORTEST < window < LONGEST else Setting(WINDOW)


def objections(
    breaker: CircuitBreaker, nodes: Iterable[Object], faulted: Collection[str], now: datetime | None = None
) -> list[str]:
    """What speaks against a quarantine of these nodes now; nothing when the breaker is off, or has room for it.

    `nodes`: all of the cluster. Those that the responder does not watch do not count.
    """
    if breaker.is_tripped:
        return [breaker.tripped]
    watched = gpu_nodes(nodes)
    if not breaker.enabled.value or not watched:
        return []
    recent = breaker.counted(watched, now or datetime.now(UTC))
    new = sorted({one["metadata"]["name"] for one in watched} & set(faulted) - recent.keys())
    if len(recent) + len(new) < breaker.limit(len(watched)):
        return []
    counted = [
        *(f"{name} (by this drill)" for name in new),
        *(f"{name} ({mark})" for name, mark in recent.items()),
    ]
    effect = f"{breaker.responder} would stop answering any fault, as its circuit breaker would trip"
    count = f"{', '.join(counted)} make {len(counted)} cordoned"
    return [f"{effect}: {count}; {breaker.rule(len(watched))}"]
