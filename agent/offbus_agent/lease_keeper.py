"""The agent's own task: it ends expired faults, writes the heartbeat, and collects evidence.

Job: wait for the next expiry, the next heartbeat, a change or the doorbell, whichever comes first, and act. If it
fails, the program ends: without a keeper to end leases, the stale heartbeat heals the node. A program that ends on
request also leaves armed faults to their lease; it only stops the heartbeat.
"""

import asyncio
import logging

from offbus_agent.agent import Agent
from offbus_agent.lease_time import seconds_to_next
from offbus_agent.page.events_inotify import Doorbell, DoorbellError
from offbus_agent.planes.page_plane import HEARTBEAT_TTL_S

__all__ = ["keep"]

_BEAT_S = HEARTBEAT_TTL_S / 4
_LOOK_S = 0.05
"""How often the page is read without a doorbell: shared memory wakes nobody."""

_REST_S = 0.01
"""Pause after each ring: limits the agent's load from a process that rings all the time."""

_log = logging.getLogger(__name__)


async def keep(agent: Agent) -> None:
    """Runs until cancelled."""
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
    """Ignore the doorbell for a moment; rings meanwhile are read afterwards."""
    loop = asyncio.get_running_loop()
    loop.remove_reader(bell.fd)
    await asyncio.sleep(_REST_S)
    loop.add_reader(bell.fd, agent.book.changed.set)


async def _wait(agent: Agent, longest_s: float) -> None:
    """Wait for a change, the next expiry or `longest_s`; without an armed fault, only for a change."""
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
        _log.warning("%s; polling every %g s instead", err, _LOOK_S)
        return None
    asyncio.get_running_loop().add_reader(bell.fd, agent.book.changed.set)
    return bell
