"""What would really be done to a node that a responder holds to be broken: read from what is deployed, never assumed.

Two parts do it. A *requester* asks for maintenance by a resource (NVSentinel's fault-remediation, or the stand-in's
controller); a *doer* carries it out (NVSentinel's janitor with its provider; the stand-in's only pretends). They are
known by the containers and the configuration that their manifests give them, not by their objects' names
(NVIDIA/NVSentinel, charts fault-remediation, janitor and janitor-provider; deploy/responder). What cannot be told
counts as real: a guard that cannot be enforced is refused. Nothing here changes anything.
"""

import json
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from offbus_steps.port import Object, Objects, Ref

__all__ = ["Deployed", "Doer", "Requester", "deployed", "deployed_in"]

PRETENDING_PROVIDERS = frozenset({"kind", "kwok"})
"""`csp.provider` of janitor-provider with which no machine is rebooted; the chart's default is `kind`."""
KINDS_OF_ACTION: Mapping[str, tuple[str, ...]] = {
    "RESTART_VM": ("RebootNode",),
    "RESTART_BM": ("RebootNode",),
    "COMPONENT_RESET": ("GPUReset", "RebootNode"),  # RESTART_VM where the metadata does not know the GPU
}
"""What NVSentinel asks for where its configuration does not say otherwise."""
CONTROLLERS = {
    "RebootNode": "rebootNodeController",
    "TerminateNode": "terminateNodeController",
    "GPUReset": "gpuResetController",
}
"""Of the janitor, in its config.yaml: the kinds that it carries out."""
DRY = frozenset({"--dry-run", "-dry-run", "--dry-run=true", "-dry-run=true"})
"""Go's flag package takes all of these for true."""
STANDIN = "offbus_sandbox.responder"


@dataclass(frozen=True, slots=True)
class Requester:
    """Who asks for maintenance."""

    name: str
    dry_run: bool = False
    pretended: bool = False
    """Its own janitor only pretends, and its deployed configuration says so."""
    asks_for: Mapping[str, str] | None = None
    """Action -> kind, where its configuration lists them."""

    def kinds(self, action: str) -> tuple[str, ...]:
        """What it makes for an action."""
        if self.dry_run:
            return ()
        if self.asks_for is not None:
            return (self.asks_for[action],) if action in self.asks_for else ()
        return KINDS_OF_ACTION.get(action, ())


@dataclass(frozen=True, slots=True)
class Doer:
    """Who carries maintenance out."""

    name: str
    pretends: frozenset[str] = frozenset()
    """Kinds that it does not really do."""
    unreadable: str = ""
    """Why its configuration cannot be told."""

    def real(self, kind: str) -> str:
        """Why it would really do it; empty when it would not."""
        if self.unreadable:
            return f"what {self.name} would do cannot be told: {self.unreadable}"
        return "" if kind in self.pretends else f"{self.name} would really carry out the {kind}"


@dataclass(frozen=True, slots=True)
class Deployed:
    """The responders of a cluster, as far as maintenance goes."""

    requesters: tuple[Requester, ...] = ()
    doers: tuple[Doer, ...] = ()

    def real(self, action: str) -> list[str]:
        """Why an action would really be done to a node, or cannot be ruled out; nothing when it would not."""
        if not self.requesters:
            return ["no responder that offbus knows is deployed, so what would be done cannot be told"]
        return list(dict.fromkeys(why for one in self.requesters for why in self._of(one, action)))

    def _of(self, requester: Requester, action: str) -> Iterator[str]:
        for kind in requester.kinds(action):
            doers = self.doers if kind in CONTROLLERS else ()
            yield from filter(None, (doer.real(kind) for doer in doers))
            if not doers and not requester.pretended:
                yield f"{requester.name} would ask for a {kind}, and who carries that out cannot be told"


@dataclass(frozen=True, slots=True)
class _Containers:
    """The containers of the Deployments that are scaled up, and the ConfigMaps that they mount."""

    deployments: Iterable[Object]
    maps: Mapping[Ref, Mapping[str, str]] = field(default_factory=dict)

    def __iter__(self) -> Iterator["_Container"]:
        for one in self.deployments:
            spec = one.get("spec") or {}
            pod = (spec.get("template") or {}).get("spec") or {}
            if spec.get("replicas", 1):
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
        """Its command line, as far as the manifest says it."""
        return [*(self.spec.get("command") or ()), *(self.spec.get("args") or ())]


async def deployed(objects: Objects) -> Deployed:
    """Ask the cluster. Raises PortError."""
    deployments = (await objects.list("Deployment")).items
    maps = (await objects.list("ConfigMap")).items
    return deployed_in(deployments, maps)


def deployed_in(deployments: Iterable[Object], maps: Iterable[Object]) -> Deployed:
    """Read it off all Deployments and ConfigMaps. Pure."""
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
        pretended = _standin_janitor(container.files) == "simulate"
        return Requester(f"the stand-in responder ({container.of})", pretended=pretended)
    return None


def _standin_janitor(files: Mapping[str, str]) -> str:
    """What the stand-in's configuration says of its janitor; empty when it does not."""
    try:
        return str(json.loads(files["config.json"])["janitor"])
    except (KeyError, ValueError, TypeError):
        return ""


def _actions(files: Mapping[str, str]) -> dict[str, str] | None:
    """Action -> kind, as fault-remediation's `maintenance.actions` lists them; None where it cannot be read."""
    try:
        found = dict(_kinds_in(tomllib.loads(files["config.toml"])))
    except (KeyError, tomllib.TOMLDecodeError):
        return None
    return found or None


def _kinds_in(table: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Every table that names a kind, by its key: the actions' depth differs between NVSentinel's versions."""
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
    """Off, waiting for a human (`manualMode`), or a provider that reboots nothing; resets need no provider."""
    own = config.get(CONTROLLERS[kind]) or {}
    manual = bool(own.get("manualMode", (config.get("global") or {}).get("manualMode", False)))
    return own.get("enabled") is False or manual or (kind != "GPUReset" and provider in PRETENDING_PROVIDERS)


def _env(container: _Container, name: str) -> str:
    found = (one.get("value") for one in container.spec.get("env") or () if one.get("name") == name)
    return str(next(found, "") or "")
