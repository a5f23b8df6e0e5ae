"""The entry point: from a file's name to a `Scenario`, or to every finding at once."""

from collections.abc import Mapping
from pathlib import Path

from offbus.findings.codes import Code
from offbus.findings.invalid_scenario import InvalidScenario
from offbus.findings.model import Finding, Position
from offbus.language.check import scenario as check
from offbus.language.gc_pause import collecting_less
from offbus.language.scenario import Scenario
from offbus.language.syntax import source
from offbus.language.syntax.positions import Positions
from offbus.plugins import Registry, installed

__all__ = ["load_scenario"]


def load_scenario(
    path: str | Path,
    *,
    sets: Mapping[str, str] | None = None,
    env: str | None = None,
    env_sets: Mapping[str, str] | None = None,
    registry: Registry | None = None,
) -> Scenario:
    """Read, validate and resolve a scenario.

    `sets` are values of inputs, parsed by the input's type; `env` replaces the file's environment, `env_sets` its
    options; `registry` holds the step types and environments (default: what is installed).

    Raises InvalidScenario with all findings, UsageError if the file cannot be read.
    """
    overrides = check.Overrides(sets or {}, env, env_sets or {})
    with collecting_less():
        return _load(Path(path), overrides, registry if registry is not None else installed())


def _load(path: Path, overrides: check.Overrides, registry: Registry) -> Scenario:
    """A function of its own, so that the tree is gone before the garbage collector looks again."""
    read = source.read(path)
    positions = Positions(read, list(read.findings))
    scenario = None
    if read.root is not None and read.root.kind == "mapping":
        scenario = check.check(read.root, positions, registry, overrides)
    elif not positions.findings:
        positions.findings.append(_no_mapping(read))
    if scenario is None:
        raise InvalidScenario(str(path), [*positions.findings, *positions.warnings])
    return scenario


def _no_mapping(read: source.Source) -> Finding:
    what = "the file is empty" if read.root is None else "the file is not a mapping"
    where = Position(str(read.path), 1, 1, 1, 2)
    return Finding(
        code=Code.NO_MAPPING,
        message=f"{what}, so it is not a scenario",
        where=where,
        hint="begin it with offbus: 1",
        frame=read.lines[0],
    )
