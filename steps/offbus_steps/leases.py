"""Keeps the leases of a run's faults alive; a lease that was lost stops the run.

The runner sends a ttl, never a time; the agent's clock decides. Each fault has one task that renews it every third of
its ttl. When the agent says that the lease lapsed, or could not be reached for a whole ttl, the fault is not what the
run believes any more: the run is aborted (its undo disarms what is left). `check` is called before each effect.
"""

import anyio

from offbus.environment import RunHandle
from offbus.errors import StepError
from offbus_steps.background import Background
from offbus_steps.node_agent import AgentRefused, FaultGone, FaultLapsed, NodeAgents
from offbus_steps.port import Unavailable

__all__ = ["Leases"]


class Leases:
    """The leases of one run."""

    def __init__(self, agents: NodeAgents, run: RunHandle, tasks: Background) -> None:
        self._agents = agents
        self._run = run
        self._tasks = tasks
        self._held: dict[str, anyio.CancelScope] = {}
        self._lost: list[str] = []

    def hold(self, node: str, fault: str, ttl_s: float) -> None:
        """Renew a fault's lease until `release`."""
        scope = self._held[fault] = anyio.CancelScope()
        self._tasks.start(self._keep, scope, node, fault, ttl_s, name=f"lease {fault}")

    def release(self, fault: str) -> None:
        """Renew no more: the fault is being disarmed."""
        scope = self._held.pop(fault, None)
        if scope is not None:
            scope.cancel()

    def check(self) -> None:
        """Raises StepError when a lease was lost: nothing more may be changed."""
        if self._lost:
            raise StepError(self._lost[0], hint="the node healed itself; run the drill again")

    async def _keep(self, scope: anyio.CancelScope, node: str, fault: str, ttl_s: float) -> None:
        with scope:
            reached = anyio.current_time()
            while True:
                await anyio.sleep(ttl_s / 3)
                try:
                    await self._agents.renew(node, fault, ttl_s)
                    reached = anyio.current_time()
                except (FaultLapsed, FaultGone) as err:
                    return self._lose(node, fault, err.message)
                except (AgentRefused, Unavailable) as err:
                    if anyio.current_time() - reached > ttl_s:
                        return self._lose(node, fault, err.message)

    def _lose(self, node: str, fault: str, why: str) -> None:
        reason = f"the lease of fault {fault} on {node} was lost: {why}"
        self._lost.append(reason)
        self._run.observed(
            lane="lease", subject=node, was="held", to="lost", evidence={"fault": fault, "why": why}
        )
        self._run.abort(reason)
