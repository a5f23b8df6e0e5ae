"""The faults that the agents of very many nodes know, for the fingerprint: all are asked, some at a time, once each.

All, and not only those where this run may act: a fault that was left behind does most harm on a node that others use.
Agents that do not answer (killed, and restarting) are waited for together, with a growing pause. One that still does
not answer is reported as such: that is not the same as an agent without faults. So is one that tells what no agent
tells, or more than one has: its text would be in the fingerprint of every run.
"""

import re
from collections.abc import Iterable
from typing import Any

import anyio

from offbus.errors import StepError
from offbus_steps.agents.client import BACK_WITHIN_S, NodeAgents, OddAnswer
from offbus_steps.object_names import is_fault
from offbus_steps.port import Unavailable

__all__ = ["AT_ONCE", "MOST_TOLD", "known_faults"]

AT_ONCE = 32
"""Concurrent requests: through the API server's proxy, each also holds a connection of the server to the agent."""
MOST_TOLD = 256
"""Faults of one node; the others are counted."""
MOST_FAULTS = 4096
"""Of one node, those that have ended too; eight are armed at once, unless its agent is told to allow more."""
STATE = re.compile(r"[a-z_]{1,32}")
"""Of a fault (offbus_agent.models.State); other versions have others."""
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 2.0
"""Before those that did not answer are asked again: nothing signals that they are back."""


async def known_faults(agents: NodeAgents, nodes: Iterable[str]) -> dict[str, Any]:
    """The fingerprint's items of these nodes' agents."""
    items: dict[str, Any] = {}
    away = await _ask(agents, list(nodes), items)
    deadline, pause = anyio.current_time() + BACK_WITHIN_S, FIRST_PAUSE
    while away and anyio.current_time() + pause <= deadline:
        await anyio.sleep(pause)
        pause = min(pause * 2, LONGEST_PAUSE)
        away = await _ask(agents, away, items)
    for name in away:
        items[f"Agent/{name}"] = f"cannot be asked: {Unavailable.__name__}"
    return items


async def _ask(agents: NodeAgents, nodes: list[str], items: dict[str, Any]) -> list[str]:
    """Ask each once. Returns the nodes whose agents did not answer."""
    ready = await agents.ready(nodes) if nodes else ()
    away = [name for name in nodes if name not in ready]
    waiting = iter([name for name in nodes if name in ready])

    async def work() -> None:
        for name in waiting:
            try:
                found = await agents.faults(name)
            except Unavailable:
                away.append(name)
            except StepError as err:
                items[f"Agent/{name}"] = f"cannot be asked: {type(err).__name__}"
            else:
                items.update(_told(name, found))

    async with anyio.create_task_group() as tasks:
        for _ in range(min(AT_ONCE, len(nodes))):
            tasks.start_soon(work)
    return away


def _told(node: str, found: list[dict[str, Any]]) -> dict[str, Any]:
    if len(found) > MOST_FAULTS or not all(
        is_fault(one["id"]) and STATE.fullmatch(one["state"]) for one in found
    ):
        return {f"Agent/{node}": f"cannot be asked: {OddAnswer.__name__}"}
    more = [f"and {len(found) - MOST_TOLD} more"] if len(found) > MOST_TOLD else []
    return {f"Agent/{node} faults": sorted(f"{one['id']} {one['state']}" for one in found)[:MOST_TOLD] + more}
