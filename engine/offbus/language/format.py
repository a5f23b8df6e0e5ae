"""The keys of a scenario file, version 1, and the bounds of each one's value, as pydantic models; declared only here.

They validate (`shape`), and they make the JSON Schema for editors (`jsonschema`). What keys mean beyond their shape is
in `check`. Everything is strict: "true" is not a boolean, 3.0 is not an integer.
"""

from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from offbus.durations import ZERO, Duration
from offbus.language.matrix import LARGEST, MOST_CELLS

__all__ = [
    "FORMAT",
    "ID",
    "LONGEST_NAME",
    "NAME",
    "EnvironmentModel",
    "HeaderModel",
    "InputModel",
    "MatrixModel",
    "RetryModel",
    "StepModel",
    "StopModel",
]

FORMAT = 1
"""The version of the format that this offbus reads."""

ID = r"^[a-z][a-z0-9_]*$"
"""Ids of steps and names of inputs: they occur in expressions."""

NAME = r"^[a-z0-9][a-z0-9._-]*$"
"""Names of scenarios: they occur in names of folders, and in labels."""
LONGEST_NAME = 63
"""Characters, as in a label's value."""

_POSITIVE: dict[str, Any] = {"not": {"type": "string", "pattern": ZERO}}

_Id = Annotated[str, StringConstraints(pattern=ID, max_length=64)]
_Text = Annotated[str, StringConstraints(min_length=1)]
_Expression = Annotated[str, StringConstraints(min_length=1, max_length=4096)]


class _Shape(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, defer_build=True)


class InputModel(_Shape):
    """A typed value that `--set` and the matrix override."""

    type: Literal["string", "integer", "number", "boolean", "duration", "secret"] = Field(
        description="Type of the value; a secret is given by where it is, such as from_env:NAME."
    )
    default: str | int | float | bool | None = Field(
        None, description="Value when none is set; without one it must be set."
    )
    enum: list[str | int | float | bool] | None = Field(
        None, min_length=1, max_length=1024, description="The only values that are allowed."
    )
    description: str | None = Field(None, description="What it is for.")


class RetryModel(_Shape):
    """How often a step is tried; the step's timeout covers all attempts."""

    attempts: int = Field(1, ge=1, le=100, description="Attempts in all, the first included.")
    backoff: Duration = Field(
        timedelta(seconds=1), description='Pause before the next attempt, such as "5s".'
    )
    on: list[Literal["failed", "errored"]] | None = Field(
        None,
        min_length=1,
        description="Outcomes that are tried again; `failed` covers an unmet `expect`. Default: both, but no `expect`.",
    )


class StepModel(_Shape):
    """One node of the DAG."""

    id: _Id = Field(description="Unique name of the step; expressions and `needs` use it.")
    uses: _Text = Field(description="Step type; `offbus steps` lists them.")
    with_: dict[str, Any] = Field(
        default_factory=dict,
        alias="with",
        description="Params of the step type; may hold ${{ expressions }}.",
        json_schema_extra={"default": {}},
    )
    needs: list[_Text] | None = Field(
        None,
        description="Steps that must have passed first. Default: the last non-background step above. []: at once.",
    )
    background: bool = Field(
        False, description="Runs beside the steps below until the last of them has ended."
    )
    always: bool = Field(False, description="Runs after a failure or timeout too, before the undo.")
    keep_going: bool = Field(False, description="If it fails, only the steps that need it are skipped.")
    when: _Expression | None = Field(None, description="CEL condition; the step is skipped when it is false.")
    timeout: Duration | None = Field(
        None,
        description='For all attempts together, such as "5m". Default: the step type\'s.',
        json_schema_extra=_POSITIVE,
    )
    retry: RetryModel | None = Field(
        None, description="Try again when the step fails in a way that may pass."
    )
    expect: list[_Expression] = Field(
        default_factory=list,
        description="CEL conditions on the step's outputs that must be true.",
        json_schema_extra={"default": []},
    )


class StopModel(_Shape):
    """When a run must not continue: it is stopped, undone, and ends with exit status 3."""

    expr: _Expression = Field(
        description="CEL condition on metrics and inputs; it is evaluated whenever one of its metrics is measured."
    )
    for_: Duration = Field(
        timedelta(0), alias="for", description="How long it must hold without a break; left out: at once."
    )


class MatrixModel(BaseModel):
    """Axes, each an input with its values, and what else is beside them: one run for each combination."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=True, defer_build=True)
    __pydantic_extra__: dict[str, Annotated[list[Any], Field(min_length=1)]]

    include: list[dict[str, Any]] = Field(
        [], description="Further cells: the inputs that each sets; the others have their defaults."
    )
    exclude: list[dict[str, Any]] = Field(
        [], description="Combinations that are left out: all that have every value of an entry."
    )
    fail_fast: bool = Field(False, description="Play no further cell after one that did not pass.")
    max_parallel: int = Field(
        1, ge=1, le=64, description="How many cells run at once; those of one environment still run in turn."
    )
    max_cells: int = Field(MOST_CELLS, ge=1, le=LARGEST, description="How many cells there may be.")


class EnvironmentModel(BaseModel):
    """What the run acts on; the environment's own options are beside `uses`."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=True, defer_build=True)

    uses: _Text = Field(description="Environment type, such as local.")


class HeaderModel(_Shape):
    """A scenario file, all but the contents of its steps, which are validated one by one."""

    offbus: Literal[1] = Field(description="Version of this format.")
    name: Annotated[str, StringConstraints(pattern=NAME, max_length=LONGEST_NAME)] = Field(
        description="Short name; run folders and labels carry it."
    )
    summary: str = Field("", description="One sentence: what happens, and what must come of it.")
    inputs: dict[str, InputModel] = Field(
        {}, description="Typed values; --set and the matrix override their defaults."
    )
    matrix: MatrixModel | None = Field(
        None, description="Inputs with several values: the scenario is run for each combination."
    )
    environment: EnvironmentModel | None = Field(None, description="Default: local. --env overrides it.")
    guards: dict[str, Any] | None = Field(
        None, description="Limits that hold before and during the run; the environment's own."
    )
    timeout: Duration = Field(
        timedelta(minutes=30),
        description="For opening the environment and all steps together.",
        json_schema_extra=_POSITIVE,
    )
    undo_timeout: Duration = Field(
        timedelta(minutes=5),
        description="For `always` steps and the undo; its own budget.",
        json_schema_extra=_POSITIVE,
    )
    stop_when: list[StopModel] = Field(
        [],
        description="Conditions that stop the run while its steps are played, such as a success rate too low.",
    )
    steps: list[Any] = Field(min_length=1, description="The nodes of the DAG, in order.")
    expect: list[_Expression] = Field([], description="CEL conditions that must be true at the end.")
    outputs: dict[str, _Expression] = Field(
        {},
        description="What a scenario may read that inlines this one: name -> steps.ID.outputs.NAME.",
    )
