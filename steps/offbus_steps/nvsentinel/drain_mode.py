"""How a responder drains the pods of a namespace: at once, after a time, or never before they end by themselves.

NVSentinel's node-drainer (charts/node-drainer; docs/configuration/node-drainer.md) goes by the first of
`podDrainPolicies` that selects the pod, or by `userNamespaces`: of those that match Immediate beats DeleteAfterTimeout
beats AllowCompletion; `systemNamespaces` are never drained. The chart's own default is AllowCompletion for all, which
waits without a limit. The stand-in's are in `drain` and `system_namespaces` of its config.json, by default
Immediate for all. Pure.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from offbus_steps.nvsentinel.containers import ConfigFile, Container, Setting
from offbus_steps.nvsentinel.drain_rules import SYSTEM_PATTERN, DrainMode
from offbus_steps.nvsentinel.parts import Part
from offbus_steps.nvsentinel.standin import STANDIN_NAME
from offbus_steps.port import Invalid
from offbus_steps.workloads.labels import Labels, parse_selector

__all__ = ["CUSTOM", "Drainer", "drainers_in"]

CUSTOM = "a custom resource"
"""`customDrain`: somebody else's controller drains."""
PRECEDENCE = tuple(DrainMode)


@dataclass(frozen=True, slots=True)
class Rule:
    """Which pods are drained in which mode."""

    mode: Setting[str]
    namespace: str = "*"
    selector: str = ""

    def matches(self, namespace: str, labels: Labels) -> bool:
        """Whether it is about such a pod; one with a selector that cannot be read is about none."""
        try:
            return fnmatchcase(namespace, self.namespace) and parse_selector(self.selector)(labels)
        except Invalid:
            return False

    def __str__(self) -> str:
        labels = f", {self.selector}" if self.selector else ""
        return f"namespace {self.namespace}{labels}: {self.mode.value} ({self.mode.source})"


@dataclass(frozen=True, slots=True)
class Drainer:
    """The part of a responder that drains."""

    name: str
    rules: tuple[Rule, ...]
    first: bool = False
    """The first rule that matches counts, not the quickest."""
    system: str = SYSTEM_PATTERN

    def mode(self, namespace: str, labels: Labels) -> Setting[str] | None:
        """How such a pod is drained; None: not at all."""
        try:
            if re.search(self.system, namespace):
                return None
        except re.error:
            pass
        found = [rule.mode for rule in self.rules if rule.matches(namespace, labels)]
        if self.first or not all(one.value in PRECEDENCE for one in found):
            return next(iter(found), None)
        return min(found, key=lambda one: PRECEDENCE.index(one.value), default=None)


def drainers_in(containers: Iterable[Container]) -> Iterator[Drainer]:
    """Those among these containers."""
    for one in containers:
        if one.name == Part.NODE_DRAINER:
            yield _node_drainer(one)
        elif one.is_standin:
            yield _standin(one)


def _node_drainer(container: Container) -> Drainer:
    name, file = f"NVSentinel's {Part.NODE_DRAINER} ({container.of})", container.files.get("config.toml")
    given = file.table() if file else {}
    system = str(given.get("systemNamespaces", SYSTEM_PATTERN))
    custom = file.table("customDrain") if file else {}
    if custom.get("enabled") is True and not custom.get("nodeSelector"):
        mode = Setting(CUSTOM, f"{file} customDrain.kind: {custom.get('kind')}")
        return Drainer(name, (Rule(mode),), system=system)
    if policies := tuple(_rules(file, "podDrainPolicies")):
        return Drainer(name, policies, first=True, system=system)
    told = tuple(_rules(file, "userNamespaces"))
    return Drainer(name, told or (Rule(Setting(DrainMode.ALLOW_COMPLETION)),), system=system)


def _standin(container: Container) -> Drainer:
    file = container.files.get("config.json")
    given = file.table() if file else {}
    rules = tuple(_rules(file, "drain")) if "drain" in given else (Rule(Setting(DrainMode.IMMEDIATE)),)
    system = str(given.get("system_namespaces", SYSTEM_PATTERN))
    return Drainer(f"{STANDIN_NAME} ({container.of})", rules, system=system)


def _rules(file: ConfigFile | None, key: str) -> Iterator[Rule]:
    listed = file.table().get(key) if file else None
    for number, one in enumerate(listed if isinstance(listed, list) else ()):
        if isinstance(one, Mapping) and "mode" in one:
            mode = Setting(str(one["mode"]), f"{file} {key}[{number}].mode")
            by_pod = key == "podDrainPolicies"  # its `name` is only a name
            namespace = str(one.get("namespace" if by_pod else "name") or "*")
            yield Rule(mode, namespace, str(one.get("podSelector") or "") if by_pod else "")
