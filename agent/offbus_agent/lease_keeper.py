"""The agent's own task: it ends what has expired, shows that the agent lives, and takes in evidence.

Job: wait for the next lease to end, the next heartbeat, a change or the doorbell, whichever is first, and act. If it
fails, the program ends: with nobody to end leases, a page whose heartbeat goes stale is what heals the node. A
program that ends on request leaves armed faults to their lease too; it just stops the heartbeat.
"""

import asyncio
import logging

from offbus_agent.agent import Agent
from offbus_agent.leases import seconds_to_next
from offbus_agent.page.events_inotify import Doorbell, DoorbellError
from offbus_agent.planes.page_plane import HEARTBEAT_TTL_S

__all__ = ["keep"]

_BEAT_S = HEARTBEAT_TTL_S / 4
_LOOK_S = 0.05
"""How often the page is read when no doorbell can be had: shared memory wakes nobody."""

_REST_S = 0.01
"""After a ring nobody listens for so long: a process that rings without end gets no more of the agent than that."""

_log = logging.getLogger(__name__)


async def keep(agent: Agent) -> None:
    """Runs until it is cancelled."""
    bell = _hang_bell(agent)
    try:
        while True:
            agent.page.heartbeat(agent.book.now_ns())
            agent.book.observe()
            await _wait(agent, _BEAT_S if bell else _LOOK_S)
            if bell and bell.silence():
                await _rest(agent, bell)
    finally:
        if bell:
            asyncio.get_running_loop().remove_reader(bell.fd)
            bell.close()


async def _rest(agent: Agent, bell: Doorbell) -> None:
    """Be deaf for a moment; who rang meanwhile is heard afterwards."""
    loop = asyncio.get_running_loop()
    loop.remove_reader(bell.fd)
    await asyncio.sleep(_REST_S)
    loop.add_reader(bell.fd, agent.book.changed.set)


async def _wait(agent: Agent, longest_s: float) -> None:
    """Until something changed, or the next lease ends, or `longest_s` are over; without a fault, for a change."""
    next_end = seconds_to_next(agent.book.armed(), agent.book.now_ns())
    try:
        await asyncio.wait_for(
            agent.book.changed.wait(), None if next_end is None else min(next_end, longest_s)
        )
    except TimeoutError:
        return
    agent.book.changed.clear()


def _hang_bell(agent: Agent) -> Doorbell | None:
    try:
        bell = Doorbell(agent.page.events_path)
    except DoorbellError as err:
        _log.warning("%s; looking every %g s instead", err, _LOOK_S)
        return None
    asyncio.get_running_loop().add_reader(bell.fd, agent.book.changed.set)
    return bell
