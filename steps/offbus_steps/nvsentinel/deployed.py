"""What would really be done to a node that a responder considers broken: read from what is deployed, never assumed.

Two parts do it. A *requester* asks for maintenance by a resource (NVSentinel's fault-remediation, or the stand-in's
controller); a *doer* carries it out (NVSentinel's janitor with its provider; the stand-in's only pretends). They are
recognised by their manifests' containers and configuration, not by their objects' names (NVIDIA/NVSentinel, charts
fault-remediation, janitor and janitor-provider; deploy/responder). What cannot be determined counts as real: a guard
that cannot be enforced refuses. Changes nothing.
"""

import json
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from offbus_steps.port import Object, Objects, Ref
from offbus_steps.workloads.quantity import count

__all__ = ["Deployed", "Doer", "Requester", "deployed", "deployed_in"]

PRETENDING_PROVIDERS = frozenset({"kind", "kwok"})
"""Values of `csp.provider` of janitor-provider that reboot no machine; the chart's default is `kind`."""
KINDS_OF_ACTION: Mapping[str, tuple[str, ...]] = {
    "RESTART_VM": ("RebootNode",),
    "RESTART_BM": ("RebootNode",),
    "COMPONENT_RESET": ("GPUReset", "RebootNode"),  # RESTART_VM where the metadata does not know the GPU
}
"""What NVSentinel requests unless its configuration says otherwise."""
CONTROLLERS = {
    "RebootNode": "rebootNodeController",
    "TerminateNode": "terminateNodeController",
    "GPUReset": "gpuResetController",
}
"""The kinds that the janitor carries out, and their keys in its config.yaml."""
DRY = frozenset({"--dry-run", "-dry-run", "--dry-run=true", "-dry-run=true"})
"""Go's flag package accepts all of these as true."""
STANDIN = "offbus_sandbox.responder"


@dataclass(frozen=True, slots=True)
class Requester:
    """A program that requests maintenance."""

    name: str
    dry_run: bool = False
    pretended: bool = False
    """Its own janitor only pretends, and its deployed configuration says so."""
    asks_for: Mapping[str, str] | None = None
    """Action -> kind, where its configuration lists them."""

    def kinds(self, action: str) -> tuple[str, ...]:
        """The maintenance resources that it creates for an action."""
        if self.dry_run:
            return ()
        if self.asks_for is not None:
            return (self.asks_for[action],) if action in self.asks_for else ()
        return KINDS_OF_ACTION.get(action, ())


@dataclass(frozen=True, slots=True)
class Doer:
    """A program that carries out maintenance."""

    name: str
    pretends: frozenset[str] = frozenset()
    """Kinds that it does not really carry out."""
    unreadable: str = ""
    """Why its configuration cannot be read."""

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

    def real(self, action: str) -> list[str]:
        """Why an action would really be done to a node, or cannot be ruled out; nothing when it would not."""
        if not self.requesters:
            return ["no responder that offbus knows is deployed, so what would be done cannot be determined"]
        return list(dict.fromkeys(why for one in self.requesters for why in self._of(one, action)))

    def _of(self, requester: Requester, action: str) -> Iterator[str]:
        for kind in requester.kinds(action):
            doers = self.doers if kind in CONTROLLERS else ()
            yield from filter(None, (doer.real(kind) for doer in doers))
            if not doers and not requester.pretended:
                yield f"{requester.name} would request a {kind}, and what carries that out cannot be determined"


@dataclass(frozen=True, slots=True)
class _Containers:
    """The containers of the Deployments that are scaled up, and the ConfigMaps that they mount."""

    deployments: Iterable[Object]
    maps: Mapping[Ref, Mapping[str, str]] = field(default_factory=dict)

    def __iter__(self) -> Iterator["_Container"]:
        for one in self.deployments:
            spec = one.get("spec") or {}
            pod = (spec.get("template") or {}).get("spec") or {}
            if count(spec, "replicas", 1):
                for container in pod.get("containers") or ():
                    yield _Container(Ref.of({**one, "kind": "Deployment"}), container, self._files(one, pod))

    def _files(self, deployment: Object, pod: Mapping[str, Any]) -> dict[str, str]:
        """File name -> content, of every ConfigMap that the pod mounts."""
        names = [(volume.get("configMap") or {}).get("name") for volume in pod.get("volumes") or ()]
        space = deployment["metadata"].get("namespace", "")
        return {
            key: text
            for name in names
            if name
            for key, text in self.maps.get(Ref("ConfigMap", name, space), {}).items()
        }


@dataclass(frozen=True, slots=True)
class _Container:
    of: Ref
    spec: Mapping[str, Any]
    files: Mapping[str, str]

    @property
    def name(self) -> str:
        return str(self.spec.get("name", ""))

    @property
    def words(self) -> list[str]:
        """Its command line, as far as the manifest has it."""
        return [*(self.spec.get("command") or ()), *(self.spec.get("args") or ())]


async def deployed(objects: Objects) -> Deployed:
    """Find the responders in a cluster. Raises PortError."""
    deployments = (await objects.list("Deployment")).items
    maps = (await objects.list("ConfigMap")).items
    return deployed_in(deployments, maps)


def deployed_in(deployments: Iterable[Object], maps: Iterable[Object]) -> Deployed:
    """Find the responders in all Deployments and ConfigMaps. Pure."""
    data = {Ref.of({**one, "kind": "ConfigMap"}): one.get("data") or {} for one in maps}
    containers = list(_Containers(deployments, data))
    requesters = [found for one in containers if (found := _requester(one)) is not None]
    provider = next((_env(one, "CSP") or "kind" for one in containers if one.name == "janitor-provider"), "")
    doers = [_janitor(one, provider) for one in containers if one.name == "janitor"]
    return Deployed(tuple(requesters), tuple(doers))


def _requester(container: _Container) -> Requester | None:
    if container.name == "fault-remediation":
        name = f"NVSentinel's fault-remediation ({container.of})"
        return Requester(name, dry_run=bool(DRY & set(container.words)), asks_for=_actions(container.files))
    if STANDIN in container.words and "controller" in container.words:
        try:
            pretended = json.loads(container.files["config.json"])["janitor"] == "simulate"
        except (KeyError, ValueError, RecursionError, TypeError):
            pretended = False
        return Requester(f"the stand-in responder ({container.of})", pretended=pretended)
    return None


def _actions(files: Mapping[str, str]) -> dict[str, str] | None:
    """Action -> kind, as fault-remediation's `maintenance.actions` lists them; None where it cannot be read."""
    try:
        found = dict(_kinds_in(tomllib.loads(files["config.toml"])))
    except (KeyError, tomllib.TOMLDecodeError):
        return None
    return found or None


def _kinds_in(table: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The key and kind of every table with a kind: the actions' depth differs between NVSentinel's versions."""
    for key, value in table.items():
        if isinstance(value, Mapping):
            if "kind" in value:
                yield key, str(value["kind"])
            yield from _kinds_in(value)


def _janitor(container: _Container, provider: str) -> Doer:
    name = f"NVSentinel's janitor ({container.of}, provider {provider or 'unknown'})"
    try:
        config = yaml.safe_load(container.files["config.yaml"])
        pretends = {kind for kind in CONTROLLERS if _pretends(config, kind, provider)}
    except KeyError:
        return Doer(name, unreadable="it mounts no config.yaml")
    except (yaml.YAMLError, AttributeError, TypeError):
        return Doer(name, unreadable="its config.yaml cannot be read")
    return Doer(name, frozenset(pretends))


def _pretends(config: Mapping[str, Any], kind: str, provider: str) -> bool:
    """Whether a kind is off, in `manualMode`, or done by a provider that reboots nothing; resets need no provider."""
    own = config.get(CONTROLLERS[kind]) or {}
    manual = bool(own.get("manualMode", (config.get("global") or {}).get("manualMode", False)))
    return own.get("enabled") is False or manual or (kind != "GPUReset" and provider in PRETENDING_PROVIDERS)


def _env(container: _Container, name: str) -> str:
    found = (one.get("value") for one in container.spec.get("env") or () if one.get("name") == name)
    return str(next(found, "") or "")
