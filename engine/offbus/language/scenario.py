"""A scenario that was found valid: what the runner takes. Frozen; what is known before the run is resolved."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from offbus.environment import EnvironmentType
from offbus.findings.model import Finding, Position
from offbus.language.matrix import Cell
from offbus.secret import SecretSource
from offbus.step import StepType

if TYPE_CHECKING:
    from offbus.language.cel.expressions import Expression, Guarded
    from offbus.language.cel.templates import ParamsTemplate

__all__ = ["EnvironmentSpec", "Expectation", "Retry", "Scenario", "Step", "StopCondition"]


@dataclass(frozen=True, slots=True)
class Retry:
    """How often a step is tried, the first attempt included, and the pause before each further one."""

    attempts: int = 1
    backoff: timedelta = timedelta(0)
    on: frozenset[str] = frozenset(("failed", "errored"))
    """The outcomes that are tried again."""
    expect: bool = False
    """Whether a step whose `expect` is not met has failed, and is tried again."""


@dataclass(frozen=True, slots=True)
class Expectation:
    """A condition that must be true, as the file spells it; of a file that is inlined, the step before it."""

    text: str
    expression: "Expression | Guarded"
    position: Position


@dataclass(frozen=True, slots=True)
class StopCondition:
    """A condition over inputs and metrics that stops the run when it has held for `hold` without a break."""

    text: str
    expression: "Expression"
    hold: timedelta
    position: Position


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A step, ready to be run."""

    id: str
    uses: str
    type: StepType
    needs: tuple[str, ...]
    """With the default filled in."""
    background: bool
    always: bool
    keep_going: bool
    when: "Expression | Guarded | None"
    timeout: timedelta
    """For all attempts; the step type's default filled in."""
    retry: Retry
    params: "ParamsTemplate"
    expect: tuple[Expectation, ...]
    position: Position


@dataclass(frozen=True, slots=True)
class EnvironmentSpec:
    """What the run acts on, with options that its type has validated."""

    type: EnvironmentType
    options: BaseModel


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A valid scenario."""

    name: str
    summary: str
    format: int
    inputs: Mapping[str, Any]
    """Every input with its value: default, or what was set."""
    environment: EnvironmentSpec
    env_name: str
    guards: BaseModel | None
    """The environment's guards model, with its defaults where the file says nothing."""
    timeout: timedelta
    undo_timeout: timedelta
    steps: tuple[Step, ...]
    """In file order; the plan order is `offbus.dag.build({s.id: s.needs ...}).order`."""
    expect: tuple[Expectation, ...]
    path: Path
    digest: str
    """sha256 of the file, hexadecimal; with files that it inlines, of the digests of all."""
    cell: Cell | None = None
    """Of the file's matrix."""
    files: str = ""
    """Of a cell, a digest of the files that its steps read (offbus.step.Reads), as they are when it is loaded; of those
    whose names only the run will know, nothing."""
    stop_when: tuple[StopCondition, ...] = ()
    secrets: Mapping[str, SecretSource] = field(default_factory=dict)
    """Where the values of secret inputs are."""
    warnings: tuple[Finding, ...] = ()
    """What does not stop the scenario."""

    @property
    def title(self) -> str:
        """Its name, with the cell: `drill[size=4]`."""
        return self.name if self.cell is None else f"{self.name}[{self.cell.label}]"

    @property
    def slug(self) -> str:
        """Its name in the names of folders, with the cell's id."""
        return self.name if self.cell is None else f"{self.name}.{self.cell.id}"

    def load_runs(self) -> None:
        """Import what runs each of its steps: none is found missing in the middle of a run. Raises CouldNotRun."""
        for step_type in {step.type.name: step.type for step in self.steps}.values():
            step_type.load_run()
