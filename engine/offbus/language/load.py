"""The entry point: from a file's name to its `Scenario`s, or to every finding at once.

A file without a matrix is one scenario, a file with one is a scenario for each cell. The file is read once; each cell
is checked with its own inputs, as what is wrong may depend on them. What is wrong in several cells is one finding.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from offbus.findings.codes import Code
from offbus.findings.invalid_scenario import InvalidScenario
from offbus.findings.model import MOST, Finding, Position, TooManyFindings
from offbus.findings.suggest import closest
from offbus.language.cel.expressions import Compiler
from offbus.language.cel.growth import Budget
from offbus.language.check import scenario as check
from offbus.language.check.given import read_given
from offbus.language.check.parts import Files
from offbus.language.gc_pause import collecting_less
from offbus.language.matrix import Cell, Matrix
from offbus.language.scenario import Scenario
from offbus.language.syntax import source
from offbus.language.syntax.node import Node
from offbus.language.syntax.positions import Positions
from offbus.plugins import Registry, installed

__all__ = ["Loaded", "load_cells", "load_scenario"]

_NAMED = 5
"""Cells that a finding names."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A valid file."""

    scenarios: tuple[Scenario, ...]
    """One, or one for each cell, in the matrix's order."""
    matrix: Matrix | None

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """Those of all its cells, each once."""
        return tuple(dict.fromkeys(warning for one in self.scenarios for warning in one.warnings))


def load_scenario(
    path: str | Path,
    *,
    sets: Mapping[str, str] | None = None,
    inputs: str | Path | None = None,
    environ: Mapping[str, str] | None = None,
    env: str | None = None,
    env_sets: Mapping[str, str] | None = None,
    cell: str | None = None,
    registry: Registry | None = None,
) -> Scenario:
    """Read, validate and resolve a scenario: that of a cell, where the file has a matrix.

    `sets` are values of inputs, parsed by the input's type; `inputs` names a file of them, `environ` has those of the
    environment (default: this process's); see offbus.language.check.given. `env` replaces the file's environment,
    `env_sets` its options; `registry` holds the step types and environments (default: what is installed).

    Raises InvalidScenario with all findings, also where several cells are left to choose from; UsageError if the file
    cannot be read.
    """
    loaded = load_cells(
        path,
        sets=sets,
        inputs=inputs,
        environ=environ,
        env=env,
        env_sets=env_sets,
        cell=cell,
        registry=registry,
    )
    if len(loaded.scenarios) == 1:
        return loaded.scenarios[0]
    text = f"the matrix has {len(loaded.scenarios)} cells, and one is wanted"
    cells = loaded.matrix.cells if loaded.matrix is not None else ()
    raise InvalidScenario(str(path), [_about_cells(Path(path), text, cells)])


def load_cells(
    path: str | Path,
    *,
    sets: Mapping[str, str] | None = None,
    inputs: str | Path | None = None,
    environ: Mapping[str, str] | None = None,
    env: str | None = None,
    env_sets: Mapping[str, str] | None = None,
    cell: str | None = None,
    registry: Registry | None = None,
    data: bytes | None = None,
) -> Loaded:
    """As `load_scenario`, all cells of a matrix; `cell` is the id of the only one that is wanted. `data` are bytes that
    the file does not have yet, to be read instead of its own."""
    with collecting_less():
        file = None if inputs is None else Path(inputs)
        given, wrong = read_given(sets or {}, file, os.environ if environ is None else environ)
        overrides = check.Overrides(given, env, env_sets or {})
        held = source.bytes_of(Path(path)) if data is None else data
        known = registry if registry is not None else installed()
        return _load(Path(path), held, overrides, wrong, cell, known)


def _load(
    path: Path,
    data: bytes,
    overrides: check.Overrides,
    wrong: list[Finding],
    cell: str | None,
    registry: Registry,
) -> Loaded:
    """A function of its own, so that the tree is gone before the garbage collector looks again."""
    read = source.parse(path, data)
    positions = Positions(read, [*read.findings, *wrong])
    if read.root is None or read.root.kind != "mapping":
        raise InvalidScenario(str(read.path), _not_too_many(read, positions.findings) or [_no_mapping(read)])
    try:
        return _meaning(read.path, read.root, positions, overrides, cell, registry)
    except TooManyFindings:
        raise InvalidScenario(str(read.path), _not_too_many(read, positions.findings)) from None


def _meaning(
    path: Path,
    root: Node,
    positions: Positions,
    overrides: check.Overrides,
    cell: str | None,
    registry: Registry,
) -> Loaded:
    """Raises TooManyFindings when `positions` has as many as are looked for."""
    matrix = check.cells(root, positions, overrides.given)
    cells = _wanted(path, matrix, cell)
    shared = Compiler(registry), Files(path), Budget()
    checked = [_checked(root, positions, registry, overrides._replace(cell=one), shared) for one in cells]
    scenarios = [scenario for scenario, _ in checked if scenario is not None]
    if positions.findings or len(scenarios) < len(cells):
        found = [
            (one, about) for one, (_, findings) in zip(cells, checked, strict=True) for about in findings
        ]
        raise InvalidScenario(
            str(path), [*positions.findings, *_merged(found, len(cells)), *positions.warnings]
        )
    return Loaded(tuple(scenarios), matrix)


def _wanted(path: Path, matrix: Matrix | None, cell: str | None) -> Sequence[Cell | None]:
    """The cells to check; of a file without a matrix, or with one that is wrong, the file as it is."""
    if matrix is None and cell is None:
        return [None]
    known = [] if matrix is None else matrix.cells
    wanted = [one for one in known if cell in (None, one.id)]
    if not wanted:
        near = closest(cell or "", [one.id for one in known])
        raise InvalidScenario(str(path), [_about_cells(path, f"there is no cell {cell!r}", known, near)])
    return wanted


def _checked(
    root: Node,
    positions: Positions,
    registry: Registry,
    overrides: check.Overrides,
    shared: tuple[Compiler, Files, Budget],
) -> tuple[Scenario | None, Sequence[Finding]]:
    own = Positions(positions.source, list(positions.findings))
    try:
        scenario = check.check(root, own, registry, overrides, *shared)
    except TooManyFindings:
        positions.findings[:] = own.findings
        raise
    return scenario, [*own.findings[len(positions.findings) :], *own.warnings]


def _merged(found: Iterable[tuple[Cell | None, Finding]], cells: int) -> list[Finding]:
    """Each finding once; one that not all cells have names those that do."""
    by_finding: dict[Finding, list[Cell | None]] = {}
    for cell, finding in found:
        by_finding.setdefault(finding, []).append(cell)
    return [
        _in_cells(finding, where) if len(where) < cells else finding for finding, where in by_finding.items()
    ]


def _in_cells(finding: Finding, cells: Sequence[Cell | None]) -> Finding:
    ids = [one.id for one in cells if one is not None]
    more = f" and {len(ids) - _NAMED} more" if len(ids) > _NAMED else ""
    return replace(finding, message=f"{finding.message} (cell {', '.join(ids[:_NAMED])}{more})")


def _about_cells(path: Path, message: str, cells: Sequence[Cell], near: str | None = None) -> Finding:
    ids = ", ".join(one.id for one in cells[: 2 * _NAMED])
    more = f" and {len(cells) - 2 * _NAMED} more" if len(cells) > 2 * _NAMED else ""
    return Finding(
        code=Code.UNKNOWN_CELL,
        message=message,
        where=Position(str(path)),
        hint=f"choose one with --cell: {ids}{more}" if cells else "the scenario has no matrix",
        suggestion=near,
    )


def _not_too_many(read: source.Source, findings: Sequence[Finding]) -> list[Finding]:
    """With one more that says so, if there are as many as are looked for."""
    if len(findings) < MOST:
        return list(findings)
    last = len(read.lines)
    where = Position(str(read.path), last, 1, last, 2)
    message = f"this file has more than {MOST} findings; the rest of it was not looked at"
    more = Finding(code=Code.TOO_MANY_FINDINGS, message=message, where=where, hint="fix these first")
    return [*findings[:MOST], more]


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
