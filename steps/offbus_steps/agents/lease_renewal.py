"""Renews the leases of a run's faults; a lost lease stops the run.

The runner sends a ttl, never a time; the agent's clock decides. Each fault has one task that renews it every third of
its ttl. When the agent says that the lease expired, or could not be reached for a whole ttl, the fault's state is no
longer known: the run is aborted (its undo disarms what is left). `check` is called before each effect, and looks at the
runner's own clock too: a process that was suspended for longer than a lease must notice before it acts, not when its
next renewal is answered. Clocks here are the runner's CLOCK_BOOTTIME, which counts suspended time.
"""

from collections.abc import Callable
from dataclasses import dataclass

import anyio

from offbus.environment import RunHandle
from offbus.errors import StepError
from offbus_steps.agents.client import AgentRefused, FaultExpired, FaultGone, NodeAgents
from offbus_steps.background_tasks import Background
from offbus_steps.node_clock import now_ns
from offbus_steps.port import Unavailable

__all__ = ["Leases"]

NS = 1_000_000_000


@dataclass(slots=True)
class _Lease:
    """One held lease. `ends_ns` is on the runner's clock and never later than the agent's expiry: it counts from when
    the request was sent, and the agent's from when it got it."""

    node: str
    fault: str
    ttl_s: float
    ends_ns: int
    scope: anyio.CancelScope


class Leases:
    """The leases of one run."""

    def __init__(
        self, agents: NodeAgents, run: RunHandle, tasks: Background, *, clock: Callable[[], int] = now_ns
    ) -> None:
        self._agents = agents
        self._run = run
        self._tasks = tasks
        self._clock = clock
        self._held: dict[str, _Lease] = {}
        self._ever_held: set[str] = set()
        self._lost: dict[str, str] = {}

    def hold(self, node: str, fault: str, ttl_s: float, asked_ns: int) -> None:
        """Renew a fault's lease until `release`; `asked_ns` is when the request was sent."""
        lease = _Lease(node, fault, ttl_s, asked_ns + int(ttl_s * NS), anyio.CancelScope())
        self._held[fault] = lease
        self._ever_held.add(fault)
        self._tasks.start(self._keep, lease, name=f"lease {fault}")

    def release(self, fault: str) -> None:
        """Stop renewing: the fault is being disarmed."""
        lease = self._held.pop(fault, None)
        if lease is not None:
            lease.scope.cancel()

    def check(self) -> None:
        """Raises StepError when a lease was lost: then nothing more may be changed."""
        now = self._clock()
        for lease in self._held.values():
            if lease.ends_ns <= now:
                self._lose(lease.node, lease.fault, f"it was not renewed within {lease.ttl_s:g} s")
        if self._lost:
            raise StepError(
                next(iter(self._lost.values())), hint="the node healed itself; run the drill again"
            )

    def expired(self, node: str, fault: str) -> None:
        """The agent reported that a fault had expired: lost, if this process held its lease (a recovery never does)."""
        if fault in self._ever_held:
            self._lose(node, fault, "it had expired before it was disarmed")

    async def _keep(self, lease: _Lease) -> None:
        with lease.scope:
            while True:
                await anyio.sleep(lease.ttl_s / 3)
                asked = self._clock()
                try:
                    await self._agents.renew(lease.node, lease.fault, lease.ttl_s)
                    lease.ends_ns = asked + int(lease.ttl_s * NS)
                except (FaultExpired, FaultGone) as err:
                    return self._lose(lease.node, lease.fault, err.message)
                except (AgentRefused, Unavailable) as err:
                    if lease.ends_ns <= self._clock():
                        return self._lose(lease.node, lease.fault, err.message)

    def _lose(self, node: str, fault: str, why: str) -> None:
        if fault in self._lost:
            return
        reason = self._lost[fault] = f"the lease of fault {fault} on {node} was lost: {why}"
        self._run.observed(
            lane="lease",
            subject=node,
            was="held",
            to="lost",
            evidence={"fault": fault, "why": why},
            tone="bad",
            brief=why,
        )
        self._run.abort(reason)
