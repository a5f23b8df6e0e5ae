"""The client of the node agents for a run: the calls of docs/reference/agent.md, typed, errors translated.

An agent's refusal keeps its code, message and hint. An effect that the agent did not find when it read back is
`EffectNotShown`, which fails the drill instead of ending it with an error. `FaultGone` means that the agent does not
know the fault (any more), `FaultExpired` that its lease ran out, which is final: by the agent's code, as anything on
the way to it may answer 404 or 410. An answer without the shape that its
call has (`offbus_steps.agents.answers`) is `OddAnswer`. Every `/health` measures the node's clock.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import anyio

from offbus.errors import StepError, StepFailed
from offbus.json_values import has_more_values
from offbus.recorder import Recorder
from offbus_steps.agents.answers import (
    ANY,
    CALL,
    CLEARED,
    EVENTS,
    FAULT,
    FAULTS,
    HEALTH,
    LONGEST,
    MOST_VALUES,
    PRELOAD,
    Shape,
    oddity,
    with_lists,
)
from offbus_steps.node_clock import NodeClocks, now_ns
from offbus_steps.port import Agents, PortError, Unavailable

__all__ = [
    "BACK_WITHIN_S",
    "EXPIRED",
    "NOT_SHOWN",
    "AgentRefused",
    "EffectNotShown",
    "FaultExpired",
    "FaultGone",
    "NodeAgents",
    "OddAnswer",
]

LONG_POLL_S = 20
BACK_WITHIN_S = 10.0
"""How long undos and the fingerprint wait for an agent that was killed and is being restarted."""
PAUSE_S = 0.2
"""Before an agent that does not answer is asked again: nothing signals that it is back."""
EXPIRED = frozenset({"expired", "lapsed"})
"""The agent's state for a fault whose lease ran out; agents of 0.1 say `lapsed`."""
NOT_SHOWN = "not_shown"
"""The agent's code for an effect that it did not find when it read back (offbus_agent.planes.planes.FailureCode)."""


class AgentRefused(StepError):
    """Raised when an agent refuses a call; `code` is the agent's own."""

    def __init__(self, message: str, *, code: str, status: int, hint: str | None = None) -> None:
        super().__init__(message, hint=hint, evidence={"code": code, "status": status})
        self.code = code
        self.status = status


class EffectNotShown(StepFailed):
    """Raised when the agent did what was asked, read it back, and it was not there."""


class OddAnswer(AgentRefused):
    """Raised when an agent answers what no agent does: another program answered, or its node is not to be trusted."""


class FaultGone(AgentRefused):
    """Raised when the agent says that it knows no such fault."""


class FaultExpired(AgentRefused):
    """Raised when the agent says that the fault's lease has run out."""


_KINDS: Mapping[tuple[int, str], type[AgentRefused]] = {
    (404, "no_such_fault"): FaultGone,
    **{(410, code): FaultExpired for code in EXPIRED},
}
"""What an agent's status and code together mean (offbus_agent.faults.ownership)."""


@dataclass(frozen=True, slots=True)
class NodeAgents:
    """The agents of all nodes, for one run."""

    agents: Agents
    run: Recorder
    clocks: NodeClocks

    async def ready(self, nodes: Collection[str]) -> Collection[str]:
        """Those of very many nodes whose agents can be asked; none when that cannot be found out."""
        try:
            return await self.agents.ready(nodes)
        except PortError:
            return ()

    async def health(self, node: str) -> dict[str, Any]:
        """`GET /health`."""
        sent = now_ns()
        health = await self._call(node, "GET", "/health", HEALTH)
        self.clocks.learn(
            node, boot_id=health["boot_id"], node_ns=health["now_ns"], sent_ns=sent, back_ns=now_ns()
        )
        return health

    async def back(self, node: str) -> None:
        """Wait until the agent answers, whatever the answer; BACK_WITHIN_S at most."""
        with anyio.move_on_after(BACK_WITHIN_S):
            while True:
                try:
                    await self.agents.request(node, "GET", "/health")
                except Unavailable:
                    await anyio.sleep(PAUSE_S)
                else:
                    return

    async def create(self, node: str, fault: Mapping[str, Any]) -> dict[str, Any]:
        """`POST /faults`: one request for all planes."""
        return with_lists(await self._call(node, "POST", "/faults", FAULT, {**self._owner(), **fault}))

    async def fault(self, node: str, fault: str) -> dict[str, Any]:
        """`GET /faults/{id}`."""
        return with_lists(await self._call(node, "GET", f"/faults/{fault}", FAULT))

    async def faults(self, node: str) -> list[dict[str, Any]]:
        """`GET /faults`."""
        listed: list[dict[str, Any]] = (await self._call(node, "GET", "/faults", FAULTS))["faults"]
        return listed

    async def renew(self, node: str, fault: str, ttl_s: float) -> dict[str, Any]:
        """`POST /faults/{id}/renew`. Raises FaultExpired."""
        body = {**self._owner(), "ttl_s": ttl_s}
        return await self._call(node, "POST", f"/faults/{fault}/renew", ANY, body)

    async def act(self, node: str, fault: str, action: str) -> dict[str, Any]:
        """`POST /faults/{id}/{disarm,recover,clear}`."""
        path, clears = f"/faults/{fault}/{action}", action == "clear"
        answer = await self._call(node, "POST", path, CLEARED if clears else FAULT, self._owner())
        return answer if clears else with_lists(answer)

    async def events(self, node: str, fault: str, since: int) -> dict[str, Any]:
        """`GET /faults/{id}/events`, a long poll: `{next, events}`; empty when nothing happened in time."""
        path = f"/faults/{fault}/events?since={since}&wait_s={LONG_POLL_S}"
        page = await self._call(node, "GET", path, EVENTS, within_s=LONG_POLL_S + 10.0)
        if found := oddity(
            [one for one in page["events"] if one["kind"] == "first_faulted"], [CALL], "calls"
        ):
            raise _odd(node, "GET", path, found)
        return page

    async def preload(self, node: str, pod: str) -> list[dict[str, Any]]:
        """`GET /pods/{uid}/preload`: `{pid, container, value}` of each container's first process."""
        found: list[dict[str, Any]] = (await self._call(node, "GET", f"/pods/{pod}/preload", PRELOAD))[
            "processes"
        ]
        return found

    def _owner(self) -> dict[str, Any]:
        return {"run": self.run.run_id, "epoch": self.run.epoch}

    async def _call(
        self, node: str, method: str, path: str, shape: Shape, body: Any = None, *, within_s: float = 10.0
    ) -> dict[str, Any]:
        reply = await self.agents.request(node, method, path, json=body, timeout=within_s)
        if has_more_values(reply.body, MOST_VALUES):
            raise _odd(node, method, path, f"it has more than {MOST_VALUES} values")
        if reply.status < 400:
            try:
                answer: dict[str, Any] = reply.json()
            except PortError as err:
                raise _odd(node, method, path, "it is no JSON") from err
            if found := oddity(answer, shape):
                raise _odd(node, method, path, found)
            return answer
        try:
            error = reply.json()
            error = error.get("error", error)  # agents of 0.1 have no problems of RFC 9457
            code = str(error["code"])[:100]
            message = str(error["message"] if "message" in error else error["detail"])[:LONGEST]
            hint = None if error.get("hint") is None else str(error["hint"])[:LONGEST]
        except (StepError, KeyError, TypeError, AttributeError):
            # something in between answered, not the agent
            code, message, hint = "unknown", f"HTTP {reply.status}: {reply.body[:200]!r}", None
        if code == NOT_SHOWN:
            evidence = {"code": code, "node": node}
            raise EffectNotShown(f"no effect on {node}: {message}", hint=hint, evidence=evidence)
        kind = _KINDS.get((reply.status, code), AgentRefused)
        text = f"the agent of {node} refused {method} {path.partition('?')[0]}: {message}"
        raise kind(text, code=code, status=reply.status, hint=hint)


def _odd(node: str, method: str, path: str, found: str) -> OddAnswer:
    said = f"the agent of {node} answered {method} {path.partition('?')[0]} oddly: {found}"
    return OddAnswer(
        said, code="odd_answer", status=200, hint=f"look at the agent's pod on {node}, and at that node"
    )
