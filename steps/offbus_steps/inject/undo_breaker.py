"""Looks at the responder's circuit breaker after everything of a drill was undone: one that has tripped is residue.

It may trip on a drill's own all-clear (`offbus_steps.nvsentinel.circuit_breaker`), and then the responder is deaf to
real faults. Resetting it is a human's decision: somebody else's nodes may have tripped it. In a cluster that ends with
the run (`Cluster.ends_with_run`) it is told, and is no residue: nobody else has that responder. Changes nothing.
"""

from datetime import timedelta
from typing import ClassVar

from pydantic import Field

from offbus.undo import Undo, UndoContext, UndoResult
from offbus_steps.access import Access
from offbus_steps.cluster.cluster import cluster_of
from offbus_steps.nvsentinel.access import DEPLOYED_ACCESS
from offbus_steps.nvsentinel.circuit_breaker import breakers
from offbus_steps.object_names import NAMESPACE

__all__ = ["CheckBreaker"]


class CheckBreaker(Undo):
    """See the module."""

    timeout: ClassVar[timedelta] = timedelta(seconds=30)
    access: ClassVar[frozenset[Access]] = DEPLOYED_ACCESS

    namespaces: tuple[str, ...] = Field(
        description="The namespaces of the responders whose breakers were not tripped before the fault."
    )

    def describe(self) -> str:
        return "check that the responder's circuit breaker has not tripped"

    def refusal(self, run: str) -> str | None:
        """What is no namespace."""
        return next(
            (f"the namespace {one!r}" for one in self.namespaces if not NAMESPACE.fullmatch(one)), None
        )

    async def undo(self, ctx: UndoContext) -> UndoResult:
        cluster = cluster_of(ctx)
        found = [one for space in self.namespaces for one in await breakers(cluster.port.objects, space)]
        tripped = next((one for one in found if one.is_tripped), None)
        if tripped is None:
            return UndoResult.nothing("it has not tripped")
        if cluster.ends_with_run:
            ctx.recorder.needs_attention(
                f"{tripped.tripped}; it ends with the run's own sandbox, in a cluster that lives on it would not"
            )
            return UndoResult.nothing("it has tripped, and ends with the run's own sandbox")
        way_out = cluster.take_down or tripped.reset
        return UndoResult.conflict(
            f"{tripped.tripped}, and it was not tripped before. Look at its other nodes, then: {way_out}"
        )
