"""What would really be done to a node that a responder considers broken: read from what is deployed, never assumed.

Two parts do it. A *requester* asks for maintenance by a resource (NVSentinel's fault-remediation, or the stand-in's
controller); a *doer* carries it out (NVSentinel's janitor with its provider; the stand-in's only pretends). They are
recognised by their manifests' containers and configuration, not by their objects' names (NVIDIA/NVSentinel, charts
fault-remediation, janitor and janitor-provider; deploy/responder). What cannot be determined counts as real: a guard
that cannot be enforced refuses. Changes nothing.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from offbus_steps.nvsentinel import names
from offbus_steps.nvsentinel.containers import ConfigFile, Container, Setting, containers_in, files_in
from offbus_steps.nvsentinel.installation import installed
from offbus_steps.nvsentinel.parts import Part
from offbus_steps.port import Object, Objects

__all__ = ["Deployed", "Doer", "Requester", "deployed", "deployed_in"]

PRETENDING_PROVIDERS = frozenset({"kind", "kwok"})
"""Values of `csp.provider` of janitor-provider that reboot no machine; the chart's default is `kind`. For TerminateNode
`kind` really removes the node's container."""
KINDS_OF_ACTION: Mapping[str, tuple[str, ...]] = {
    "RESTART_VM": (names.REBOOT,),
    "RESTART_BM": (names.REBOOT,),
    "COMPONENT_RESET": (names.RESET, names.REBOOT),  # RESTART_VM where the metadata does not know the GPU
    "REPLACE_VM": (names.TERMINATE,),
}
"""What NVSentinel requests unless its configuration says otherwise."""
CONTROLLERS = {
    names.REBOOT: "rebootNodeController",
    names.TERMINATE: "terminateNodeController",
    names.RESET: "gpuResetController",
}
"""The kinds that the janitor carries out, and their keys in its config.yaml."""


@dataclass(frozen=True, slots=True)
class Requester:
    """A program that requests maintenance."""

    name: str
    dry_run: bool = False
    pretended: bool = False
    """Its own janitor only pretends, and its deployed configuration says so."""
    asks_for: Mapping[str, Setting[str]] | None = None
    """Action -> kind, where its configuration lists them."""

    def kinds(self, action: str) -> tuple[str, ...]:
        """The maintenance resources that it creates for an action."""
        if self.dry_run:
            return ()
        if self.asks_for is not None:
            return (self.asks_for[action].value,) if action in self.asks_for else ()
        return KINDS_OF_ACTION.get(action, ())

    def told(self, action: str) -> str:
        """What it requests for an action, and where that stands; empty where its configuration does not list them."""
        if self.dry_run or self.asks_for is None:
            return ""
        found = self.asks_for.get(action)
        return (
            f"requests a {found.value} ({found.source})" if found else "requests nothing: no mapping lists it"
        )


@dataclass(frozen=True, slots=True)
class Doer:
    """A program that carries out maintenance."""

    name: str
    pretends: frozenset[str] = frozenset()
    """Kinds that it does not really carry out."""
    unreadable: str = ""
    """Why its configuration cannot be read."""
    provider: str = ""
    """Where it stands who reboots and terminates machines for it."""

    @property
    def described(self) -> str:
        """What it really carries out, and what it only pretends to."""
        if self.unreadable:
            return f"what {self.name} would do cannot be determined: {self.unreadable}"
        groups = {
            "really carries out": [kind for kind in CONTROLLERS if kind not in self.pretends],
            "does not really carry out": [kind for kind in CONTROLLERS if kind in self.pretends],
        }
        told = ", ".join(f"{what} {' and '.join(kinds)}" for what, kinds in groups.items() if kinds)
        return f"{self.name} {told} (provider: {self.provider})"

    def real(self, kind: str) -> str:
        """Why it would really carry it out; empty when it would not."""
        if self.unreadable:
            return f"what {self.name} would do cannot be determined: {self.unreadable}"
        return "" if kind in self.pretends else f"{self.name} would really carry out the {kind}"


@dataclass(frozen=True, slots=True)
class Deployed:
    """The responders of a cluster, in respect of maintenance."""

    requesters: tuple[Requester, ...] = ()
    doers: tuple[Doer, ...] = ()
    unknown: str = ""
    """Why it is not known which responder answers."""

    def real(self, action: str) -> list[str]:
        """Why an action would really be done to a node, or cannot be ruled out; nothing when it would not."""
        if not self.requesters:
            why = self.unknown or "no responder that offbus knows is deployed"
            return [f"{why}, so what would be done cannot be determined"]
        return list(dict.fromkeys(why for one in self.requesters for why in self._of(one, action)))

    def _of(self, requester: Requester, action: str) -> Iterator[str]:
        for kind in requester.kinds(action):
            doers = self.doers if kind in CONTROLLERS else ()
            yield from filter(None, (doer.real(kind) for doer in doers))
            if not doers and not requester.pretended:
                yield f"{requester.name} would request a {kind}, and what carries that out cannot be determined"


async def deployed(objects: Objects, namespace: str) -> Deployed:
    """Find the responder in a namespace. Raises PortError."""
    found = await installed(objects, namespace)
    return replace(deployed_in(found.deployments, found.maps), unknown=found.unknown)


def deployed_in(deployments: Iterable[Object], maps: Iterable[Object]) -> Deployed:
    """Find the responder in the Deployments and ConfigMaps of its namespace. Pure."""
    containers = list(containers_in(deployments, files_in(maps)))
    requesters = [found for one in containers if (found := _requester(one)) is not None]
    providers = [one for one in containers if one.name == Part.JANITOR_PROVIDER]
    named = {one.env("CSP") or "kind" for one in providers}
    where = ", ".join(f"{one.of} env CSP" for one in providers) or "none is deployed"
    # of several that contradict each other, it is not known which one answers
    provider = Setting(named.pop() if len(named) == 1 else "", where)
    doers = [_janitor(one, provider) for one in containers if one.name == Part.JANITOR]
    return Deployed(tuple(requesters), tuple(doers))


def _requester(container: Container) -> Requester | None:
    if container.name == Part.FAULT_REMEDIATION:
        name = f"NVSentinel's fault-remediation ({container.of})"
        return Requester(name, dry_run=container.is_set("dry-run").value, asks_for=_actions(container.files))
    if container.is_standin:
        file = container.files.get("config.json")
        pretended = file is not None and file.table().get("janitor") == "simulate"
        return Requester(f"the stand-in responder ({container.of})", pretended=pretended)
    return None


def _actions(files: Mapping[str, ConfigFile]) -> dict[str, Setting[str]] | None:
    """Action -> kind, as fault-remediation's configuration lists them; None where it cannot be read.

    What it lists for GPUs comes before what it lists for every component.
    """
    file = files.get("config.toml")
    found = list(_kinds_in(file.table(), ())) if file else []
    ranked = sorted(found, key=lambda one: _is_of_component(one[0]))
    return {path[-1]: Setting(kind, f"{file} {'.'.join(path)}.kind") for path, kind in ranked} or None


def _kinds_in(table: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    """The path and kind of every table with a kind: the actions' depth differs between NVSentinel's versions."""
    for key, value in table.items():
        if isinstance(value, Mapping):
            if "kind" in value and not (_is_of_component((*path, key)) and "GPU" not in path):
                yield (*path, key), str(value["kind"])
            yield from _kinds_in(value, (*path, key))


def _is_of_component(path: tuple[str, ...]) -> bool:
    return any(one.lower().startswith("component") and one != "COMPONENT_RESET" for one in path)


def _janitor(container: Container, provider: Setting[str]) -> Doer:
    name = f"NVSentinel's janitor ({container.of}, provider {provider.value or 'unknown'})"
    try:
        config = container.files["config.yaml"].parsed()
        pretends = {kind for kind in CONTROLLERS if _pretends(config, kind, provider.value)}
    except KeyError:
        return Doer(name, unreadable="it mounts no config.yaml")
    except (ValueError, AttributeError, TypeError):
        return Doer(name, unreadable="its config.yaml cannot be read")
    return Doer(name, frozenset(pretends), provider=provider.source)


def _pretends(config: Mapping[str, Any], kind: str, provider: str) -> bool:
    """Whether a kind is off, in `manualMode`, or a reboot by a provider that reboots nothing."""
    own = config.get(CONTROLLERS[kind]) or {}
    manual = bool(own.get("manualMode", (config.get("global") or {}).get("manualMode", False)))
    return (
        own.get("enabled") is False or manual or (kind == names.REBOOT and provider in PRETENDING_PROVIDERS)
    )
