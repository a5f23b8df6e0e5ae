"""Collects evidence about a target into the run's folder, before anything that the run did is undone.

It is recorded with the deployment and runs among the first undos, together with the disarming: later ones restart and
delete the pods whose logs show what happened. It undoes nothing itself, changes nothing in the cluster, and never fails
a run: what could not be collected is reported. A recovery on another machine has no folder to write to, and does
nothing: the folder in the record is never written to, unless it is that of the run that is undone.
"""

from datetime import timedelta
from pathlib import Path
from typing import ClassVar

from anyio import move_on_after
from pydantic import Field

from offbus.undo import Phase, Undo, UndoContext, UndoResult
from offbus_steps.access import Access
from offbus_steps.cluster.cluster import cluster_of
from offbus_steps.deploy.collect import Collected, collect
from offbus_steps.workloads.target import Target

__all__ = ["CollectEvidence"]

WITHIN_S = 20.0
"""The undos that restore wait for it."""


class CollectEvidence(Undo):
    """Write logs, events and manifests of a target below the run's folder."""

    phase: ClassVar[Phase] = Phase.DISARM
    timeout: ClassVar[timedelta] = timedelta(seconds=WITHIN_S + 5)
    access: ClassVar[frozenset[Access]] = frozenset()
    """None for the reaper: it does not have the run's folder."""

    target: Target = Field(description="The workload.")
    folder: str = Field(description="The run's folder, on the machine that ran it.")

    def describe(self) -> str:
        return f"collect logs, events and manifests of {self.target}"

    def refusal(self, run: str) -> str | None:
        """What can be no target: its names become paths of files."""
        return self.target.unnamed

    async def undo(self, ctx: UndoContext) -> UndoResult:
        folder = Path(ctx.run_dir)
        if not ctx.run_dir or Path(self.folder) != folder:  # both were real paths when they were opened
            return UndoResult.nothing("the run's folder is on another machine, or was moved")
        done = Collected(missing=[f"no answer within {WITHIN_S:g} s"])
        try:
            with move_on_after(WITHIN_S):
                done = await collect(cluster_of(ctx), self.target, folder, ctx.masking)
        except OSError as err:
            done = Collected(missing=[f"{err.filename}: {err.strerror}"])
        return UndoResult.nothing(
            f"{len(done.files)} files collected", files=done.files, missing=done.missing
        )
