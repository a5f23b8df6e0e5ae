"""Looks at the responder's circuit breaker after everything of a drill was undone: one that has tripped is residue.

It may trip on a drill's own all-clear (`offbus_steps.nvsentinel.circuit_breaker`), and then the responder is deaf to
real faults. Resetting it is a human's decision: somebody else's nodes may have tripped it. Changes nothing.
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
        objects = cluster_of(ctx).port.objects
        for one in [found for namespace in self.namespaces for found in await breakers(objects, namespace)]:
            if one.is_tripped:
                return UndoResult.conflict(
                    f"{one.tripped}, and it was not tripped before. Look at its other nodes, then: {one.reset}"
                )
        return UndoResult.nothing("it has not tripped")
