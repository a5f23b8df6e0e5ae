"""Why a human must act, as a responder says it about a fault: journaled when it is seen, each reason once.

It recommends an action that no maintenance answers and that the catalogue did not expect, it could not drain or repair
the node, or a repair failed. What it says of other faults on that node is not this drill's (`watch.consequences`). What
the catalogue expects, the injecting step says itself.
"""

from collections.abc import Iterator

from offbus.recorder import Recorder
from offbus_steps.nvsentinel import names
from offbus_steps.nvsentinel.cause import Cause
from offbus_steps.watch.consequences import Quarantine, Repair
from offbus_steps.watch.event_log import Observations, Update
from offbus_steps.watch.transitions import What

__all__ = ["Attention"]

STUCK = {
    names.NodeState.DRAIN_FAILED: "drain",
    names.NodeState.REMEDIATION_FAILED: "repair",
}
"""States of a node in which the responder goes no further, and what it could not do."""

MOST_REASONS = 64
"""That are told of one fault: a node's kubelet may recommend anything, as often as it likes."""


class Attention:
    """Follows one fault; a check of the observer (`Observer.check`)."""

    def __init__(
        self, run: Recorder, log: Observations, node: str, cause: Cause, mark: int, expected: str
    ) -> None:
        """`expected`: the action that the catalogue expects, which is told already."""
        self._run, self._log, self._node, self._cause = run, log, node, cause
        self._read, self._expected = mark, expected
        self._quarantine = Quarantine(node, cause, log, mark)
        self._repair = Repair(node, cause, log, mark)
        self._repairs: set[object] = set()
        self._told: set[str] = set()

    def __call__(self) -> None:
        """Look at what is new."""
        for update in self._log.updates(self._read):
            self._read = update.order + 1
            for reason in self._reasons(update):
                if reason not in self._told and len(self._told) < MOST_REASONS:
                    self._told.add(reason)
                    self._run.needs_attention(reason)

    def _reasons(self, update: Update) -> Iterator[str]:
        asked = self._repair(update)
        if asked is not None:
            self._repairs.add(asked.ref)
        if any(
            one.what is What.MAINTENANCE_FAILED and one.ref in self._repairs for one in update.transitions
        ):
            yield f"{update.ref} of {self._node} failed"
        now = self._quarantine.look(update)
        if now is None:
            return
        for found in self._cause.mine((*now.findings, *now.tracked)):
            if found.action in names.HUMAN_ACTIONS and found.action != self._expected:
                yield f"the responder recommends {found.action} for {found} on {self._node}"
        changed = any(one.what is What.NODE_STATE for one in update.transitions)
        for state, what in STUCK.items():
            if changed and now.state == state and self._quarantine.ours:
                yield f"the responder could not {what} {self._node}: {state}"
