"""Which step types, environments, undo types, functions and commands are installed, and loading one of them.

They are entry points (groups below); ours are registered exactly as a third party's. Finding them reads the
`entry_points.txt` of each distribution on `sys.path` and imports nothing: `importlib.metadata` does the same, but costs
43 ms to import (measured), which is more than a third of what `offbus --help` may take. What is in zip
files is not seen.

A plug-in that cannot be loaded is one clear `PluginError` that names its package. It is never skipped in silence,
and it affects only what uses it.
"""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from offbus.errors import CouldNotRun
from offbus.references import resolve

if TYPE_CHECKING:
    from offbus.environment import EnvironmentType
    from offbus.function import Function
    from offbus.step import StepType
    from offbus.undo import Undo

__all__ = [
    "COMMANDS",
    "ENVIRONMENTS",
    "FUNCTIONS",
    "STEPS",
    "UNDOS",
    "Plugin",
    "PluginError",
    "Registry",
    "installed",
]

STEPS = "offbus.steps"
ENVIRONMENTS = "offbus.environments"
UNDOS = "offbus.undos"
FUNCTIONS = "offbus.functions"
COMMANDS = "offbus.commands"
_GROUPS = (STEPS, ENVIRONMENTS, UNDOS, FUNCTIONS, COMMANDS)


class PluginError(CouldNotRun):
    """Raised when a plug-in does not exist, cannot be imported, or is not what its entry point says."""


@dataclass(frozen=True, slots=True)
class Plugin:
    """One entry point."""

    group: str
    name: str
    target: str
    """ "package.module:ATTRIBUTE"."""
    package: str
    """The distribution that provides it."""
    version: str

    def load(self) -> Any:
        """Import it. Raises PluginError naming the package, whatever its import raises."""
        try:
            return resolve(self.target)
        except (
            Exception
        ) as err:  # an import runs the package's code: whatever it raises is the package's fault
            raise PluginError(
                f"{self.group} {self.name!r} of package {self.package} {self.version} cannot be loaded: "
                f"{type(err).__name__}: {err}",
                hint=f"it is {self.target}; fix or uninstall {self.package}",
            ) from err


class Registry:
    """What is registered, by group and name. The installed plug-ins by default (`installed()`); tests pass their own.

    Loading is cached per registry.
    """

    def __init__(
        self, plugins: Mapping[tuple[str, str], Plugin], loaded: Mapping[tuple[str, str], Any] | None = None
    ) -> None:
        self._plugins = plugins
        self._loaded: dict[tuple[str, str], Any] = dict(loaded or {})
        self._of_undos: dict[type[Undo], Plugin] = {}

    @classmethod
    def of(
        cls,
        *,
        steps: "Mapping[str, StepType] | None" = None,
        environments: "Mapping[str, EnvironmentType] | None" = None,
        undos: "Mapping[str, type[Undo]] | None" = None,
        functions: "Mapping[str, Function] | None" = None,
    ) -> "Registry":
        """A registry of types that are already here, without any that are installed."""
        loaded: dict[tuple[str, str], Any] = {}
        given: tuple[tuple[str, Mapping[str, Any] | None], ...]
        given = ((STEPS, steps), (ENVIRONMENTS, environments), (UNDOS, undos), (FUNCTIONS, functions))
        for group, table in given:
            loaded |= {(group, name): value for name, value in (table or {}).items()}
        plugins = {key: Plugin(key[0], key[1], "", "(given)", "0") for key in loaded}
        return cls(plugins, loaded)

    def with_steps(self, steps: "Mapping[str, StepType]") -> "Registry":
        """Everything of this one, and these step types beside it: a program's own, for a scenario that it makes."""
        given = Registry.of(steps=steps)
        return Registry({**self._plugins, **given._plugins}, {**self._loaded, **given._loaded})

    def of_package(self, package: str) -> "Registry":
        """What one distribution provides."""
        return Registry({key: one for key, one in self._plugins.items() if one.package == package})

    def names(self, group: str) -> tuple[str, ...]:
        """The names in a group, sorted."""
        return tuple(sorted(name for of, name in self._plugins if of == group))

    def plugin(self, group: str, name: str) -> Plugin | None:
        """Where a name comes from, without loading it."""
        return self._plugins.get((group, name))

    def step_type(self, name: str) -> "StepType":
        """The step type of that name. Raises PluginError."""
        from offbus.step import StepType

        found: StepType = self._checked(STEPS, name, StepType)
        return found

    def environment_type(self, name: str) -> "EnvironmentType":
        """The environment type of that name. Raises PluginError."""
        from offbus.environment import EnvironmentType

        found: EnvironmentType = self._checked(ENVIRONMENTS, name, EnvironmentType)
        return found

    def function(self, name: str) -> "Function":
        """The function of expressions of that name. Raises PluginError."""
        from offbus.function import Function

        found: Function = self._checked(FUNCTIONS, name, Function)
        return found

    def undo_type(self, name: str) -> "type[Undo]":
        """The undo type of that name. Raises PluginError."""
        from offbus.undo import Undo

        found = self._load(UNDOS, name)
        if not (isinstance(found, type) and issubclass(found, Undo)):
            raise self._wrong(UNDOS, name, "a subclass of offbus.undo.Undo", found)
        return found

    def plugin_of_undo(self, undo: "type[Undo]") -> Plugin | None:
        """Under which name an undo type is registered; None when it is not, so that nobody could load it again."""
        if undo not in self._of_undos:
            target = f"{undo.__module__}:{undo.__qualname__}"
            for (group, name), plugin in self._plugins.items():
                if group == UNDOS and (plugin.target == target or self._loaded.get((group, name)) is undo):
                    self._of_undos[undo] = plugin
                    break
        return self._of_undos.get(undo)

    def command(self, name: str) -> Any:
        """The click command of that name. Raises PluginError."""
        return self._load(COMMANDS, name)

    def _checked(self, group: str, name: str, kind: type[Any]) -> Any:
        found = self._load(group, name)
        if not isinstance(found, kind):
            raise self._wrong(group, name, f"a {kind.__module__}.{kind.__name__}", found)
        if found.name != name:
            raise self._wrong(group, name, f"named {name!r}", found.name)
        return found

    def _load(self, group: str, name: str) -> Any:
        key = (group, name)
        if key not in self._loaded:
            plugin = self._plugins.get(key)
            if plugin is None:
                raise PluginError(f"no installed package registers {name!r} under {group}")
            self._loaded[key] = plugin.load()
        return self._loaded[key]

    def _wrong(self, group: str, name: str, wanted: str, found: Any) -> PluginError:
        plugin = self._plugins[group, name]
        return PluginError(
            f"{group} {name!r} of package {plugin.package} {plugin.version} is not {wanted}, but {found!r}"[
                :500
            ],
            hint=f"it is {plugin.target}; fix or uninstall {plugin.package}",
        )


@cache
def installed() -> Registry:
    """Everything that is installed. The first distribution on `sys.path` wins, as it does for imports."""
    plugins: dict[tuple[str, str], Plugin] = {}
    seen: set[str] = set()
    for path in _metadata_folders():
        package, _, version = path.name.removesuffix(".dist-info").partition("-")
        if package in seen:
            continue
        seen.add(package)
        for plugin in _read(path / "entry_points.txt", package, version):
            plugins.setdefault((plugin.group, plugin.name), plugin)
    return Registry(plugins)


def _metadata_folders() -> Iterator[Path]:
    """The `NAME-VERSION.dist-info` folders, in the order of `sys.path`."""
    for entry in dict.fromkeys(sys.path):
        folder = Path(entry or ".")
        if folder.is_dir():
            yield from sorted(path for path in folder.iterdir() if path.name.endswith(".dist-info"))


def _read(path: Path, package: str, version: str) -> Iterator[Plugin]:
    """The entry points of our groups in one `entry_points.txt` (an INI file; packaging.python.org, entry points)."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return
    except (OSError, UnicodeDecodeError) as err:
        raise PluginError(f"the entry points of package {package} cannot be read: {err}") from err
    group = ""
    for line in map(str.strip, text.splitlines()):
        if line.startswith("[") and line.endswith("]"):
            group = line[1:-1].strip()
        elif group in _GROUPS and line and line[0] not in "#;":
            name, _, target = (part.strip() for part in line.partition("="))
            yield Plugin(group, name, target.partition("[")[0].strip(), package.replace("_", "-"), version)
