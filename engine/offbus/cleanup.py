"""The `cleanup` step type: undo named steps now, not only at the end of the run.

That the steps are ancestors is checked when the scenario is loaded (`offbus.language.check.params`). What fails here is
tried again at the end, and is residue if it fails then too. It must not undo anything itself: the engine does.
"""

from collections.abc import Sequence
from typing import Any, Protocol, cast

from pydantic import Field

from offbus.step import Kind, Outputs, Params, StepType

__all__ = ["CLEANUP", "CleanupOutputs", "CleanupParams"]


class CleanupParams(Params):
    """Which steps to undo."""

    steps: list[str] = Field(
        min_length=1, description="Ids of the steps to undo; each must be an ancestor of this step."
    )


class CleanupOutputs(Outputs):
    """What came of it."""

    restored: int = Field(0, description="Undos that put back what was before.")
    nothing: int = Field(0, description="Undos that found nothing to do.")


class _UndoesNow(Protocol):
    """The engine's own context, which can do more than a step type's."""

    async def undo_now(self, steps: Sequence[str]) -> CleanupOutputs:
        """Stop these steps if they run, then undo them. Raises StepError if an undo failed or met a conflict."""


async def _cleanup(ctx: Any, params: CleanupParams) -> CleanupOutputs:
    """Stop the named steps if they still run, and undo what they did, now."""
    return await cast("_UndoesNow", ctx).undo_now(params.steps)


CLEANUP = StepType(
    name="cleanup",
    kind=Kind.ACTION,
    summary="Undo what named steps did, now.",
    params=CleanupParams,
    outputs=CleanupOutputs,
    run=_cleanup,
    examples=("{id: heal, uses: cleanup, with: {steps: [inject]}}",),
)
