"""The containers of the Deployments that are scaled up, their command lines, and the configuration files they mount.

What a responder is configured to do is read from here, and every value says where it stood (`Setting.source`): the
object and the key. Pure.
"""

import json
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import yaml

from offbus_steps.nvsentinel.names import USUAL_NAMESPACE
from offbus_steps.port import Object, Ref
from offbus_steps.workloads.quantity import count

__all__ = [
    "DEFAULT",
    "STANDIN_PROFILE",
    "ConfigFile",
    "Container",
    "Setting",
    "containers_in",
    "files_in",
]

STANDIN = "offbus_sandbox.responder"
"""The stand-in's module, in its command line."""
STANDIN_PROFILE = Ref("ConfigMap", "standin-responder", USUAL_NAMESPACE)
"""Where the stand-in says what it plays (offbus_steps.nvsentinel.standin); `longest_way_s` is how long it may take."""
DEFAULT = "the documented default"
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Setting(Generic[T]):
    """A value of a responder's configuration."""

    value: T
    source: str = DEFAULT
    """The object and key where it stands."""


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """One file of a ConfigMap."""

    of: Ref
    name: str
    text: str

    def parsed(self) -> Any:
        """Its content, by the ending of its name: JSON, TOML, else YAML. Raises ValueError when it cannot be read."""
        try:
            if self.name.endswith(".json"):
                return json.loads(self.text)
            return tomllib.loads(self.text) if self.name.endswith(".toml") else yaml.safe_load(self.text)
        except (yaml.YAMLError, RecursionError) as err:
            raise ValueError(str(err)) from err

    def table(self, *path: str) -> Mapping[str, Any]:
        """The table at a path; empty when there is none, or the file cannot be read."""
        try:
            found = self.parsed()
        except ValueError:
            return {}
        for key in path:
            found = found.get(key) if isinstance(found, Mapping) else None
        return found if isinstance(found, Mapping) else {}

    def __str__(self) -> str:
        return f"{self.of} {self.name}"


@dataclass(frozen=True, slots=True)
class Container:
    """A container of a Deployment."""

    of: Ref
    spec: Mapping[str, Any]
    files: Mapping[str, ConfigFile] = field(default_factory=dict)
    """By their names."""

    @property
    def name(self) -> str:
        """In its pod."""
        return str(self.spec.get("name", ""))

    @property
    def words(self) -> list[str]:
        """Its command line, as far as the manifest has it."""
        return [str(one) for one in (*(self.spec.get("command") or ()), *(self.spec.get("args") or ()))]

    @property
    def is_standin(self) -> bool:
        """Whether it is the controller of the stand-in responder."""
        return STANDIN in self.words and "controller" in self.words

    def flag(self, name: str) -> Setting[str] | None:
        """The last value of a flag, as Go's flag package takes it ("-name" alone is true); None when it is not set."""
        found = None
        for word in self.words:
            key, has_value, value = word.partition("=")
            if key in (f"--{name}", f"-{name}"):
                found = Setting(value if has_value else "true", f"{self.of} --{name}")
        return found

    def is_set(self, name: str, *, default: bool = False) -> Setting[bool]:
        """A flag that is true or false."""
        told = self.flag(name)
        return (
            Setting(default)
            if told is None
            else Setting(told.value.lower() in ("true", "t", "1"), told.source)
        )

    def env(self, name: str) -> str:
        """The value of an environment variable that the manifest sets; "" for others."""
        found = (one.get("value") for one in self.spec.get("env") or () if one.get("name") == name)
        return str(next(found, "") or "")


def files_in(maps: Iterable[Object]) -> dict[Ref, dict[str, ConfigFile]]:
    """The files of all ConfigMaps, by their names."""
    found: dict[Ref, dict[str, ConfigFile]] = {}
    for one in maps:
        ref = Ref.of({**one, "kind": "ConfigMap"})
        found[ref] = {key: ConfigFile(ref, key, str(text)) for key, text in (one.get("data") or {}).items()}
    return found


def containers_in(
    deployments: Iterable[Object], files: Mapping[Ref, Mapping[str, ConfigFile]]
) -> Iterator[Container]:
    """The containers of the Deployments that are scaled up."""
    for one in deployments:
        spec = one.get("spec") or {}
        if not count(spec, "replicas", 1):
            continue
        ref, pod = Ref.of({**one, "kind": "Deployment"}), (spec.get("template") or {}).get("spec") or {}
        mounted: dict[str, ConfigFile] = {}
        for volume in pod.get("volumes") or ():
            if name := (volume.get("configMap") or {}).get("name"):
                mounted |= files.get(Ref("ConfigMap", name, ref.namespace), {})
        for container in pod.get("containers") or ():
            yield Container(ref, container, mounted)
