"""The step type `scenario`: another file's steps, in the run's graph as if they were written there.

Nothing runs it: the language puts the file's steps in the graph (`offbus.language.check.parts`). It is a step type so
that editors, docs and `offbus steps` know it as they know the others.
"""

from typing import Any

from pydantic import Field

from offbus.step import Kind, Outputs, Params, StepType

__all__ = ["SCENARIO", "ScenarioParams"]


class ScenarioParams(Params):
    """Which file, and what its inputs are."""

    file: str = Field(
        min_length=1,
        description="A scenario file of the same repository, relative to this one, without ${{ }}.",
    )
    inputs: dict[str, Any] = Field({}, description="Values of its inputs; may hold ${{ expressions }}.")


class ScenarioOutputs(Outputs):
    """What the file lists under `outputs`."""


async def _scenario(ctx: Any, params: ScenarioParams) -> ScenarioOutputs:
    """The steps of another file, with ids that begin with this step's: `drill.break`.

    Steps that need this one need all of that file's last steps, and read what it lists under `outputs`.
    """
    raise AssertionError(f"{ctx.step} {params.file}: the language replaces this step by those of the file")


SCENARIO = StepType(
    name="scenario",
    kind=Kind.ACTION,
    summary="The steps of another file.",
    params=ScenarioParams,
    outputs=ScenarioOutputs,
    run=_scenario,
    examples=("{id: drill, uses: scenario, with: {file: parts/break.yaml, inputs: {size: 4}}}",),
)
