"""The agent's own tasks: ending expired faults, writing the heartbeat, and waking the collector of evidence.

Job: wait for the next expiry, the next heartbeat or a change, whichever comes first, and act. If that fails, the
program ends: without a keeper to end leases, the stale heartbeat heals the node. Evidence is collected beside it
(`collector`) and can neither delay nor end it. A program that ends on request also leaves armed faults to their lease;
it only stops the heartbeat.
"""

import asyncio
import logging
from contextlib import suppress

from offbus_agent.agent import Agent
from offbus_agent.faults.collector import REST_S
from offbus_agent.lease_time import seconds_to_next
from offbus_agent.page.events_inotify import Doorbell, DoorbellError
from offbus_agent.planes.page_plane import HEARTBEAT_TTL_S

__all__ = ["keep"]

_BEAT_S = HEARTBEAT_TTL_S / 4
_LOOK_S = 0.05
"""How often the events file is read without a doorbell: shared memory wakes nobody."""

_TIDY_S = 60.0

_log = logging.getLogger(__name__)


async def keep(agent: Agent) -> None:
    """Runs until cancelled."""
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_keep_leases(agent))
        tasks.create_task(agent.collector.run())
        tasks.create_task(_listen(agent))
        tasks.create_task(_tidy(agent))


async def _keep_leases(agent: Agent) -> None:
    while True:
        agent.page.heartbeat(agent.book.now_ns())
        agent.book.expire_due()
        next_end = seconds_to_next(agent.book.armed(), agent.book.now_ns())
        # without an armed fault, only a change ends the wait; wait_for would swallow a cancellation (gh-86296)
        with suppress(TimeoutError):
            async with asyncio.timeout(None if next_end is None else min(next_end, _BEAT_S)):
                await agent.book.changed.wait()
        agent.book.changed.clear()


async def _listen(agent: Agent) -> None:
    """Ask for a look after every ring, and ignore the doorbell for a moment then: a process may ring all the time."""
    try:
        bell = Doorbell(agent.page.events.path)
    except DoorbellError as err:
        return await _look_always(agent, err)
    loop, rung = asyncio.get_running_loop(), asyncio.Event()
    try:
        while True:
            bell.watch(agent.page.events.pods())
            agent.collector.ask()
            await asyncio.sleep(REST_S)
            loop.add_reader(bell.fd, rung.set)
            await rung.wait()
            loop.remove_reader(bell.fd)
            bell.silence()
            rung.clear()
    except Exception as err:  # noqa: BLE001  no folder may end the keeper of leases
        await _look_always(agent, err)
    finally:
        loop.remove_reader(bell.fd)
        bell.close()


async def _look_always(agent: Agent, why: Exception) -> None:
    _log.warning("%s; polling every %g s instead", why, _LOOK_S)
    while True:
        agent.collector.ask()
        await asyncio.sleep(_LOOK_S if agent.book.armed() else _TIDY_S)


async def _tidy(agent: Agent) -> None:
    """Now and then: nothing signals that a pod has gone."""
    while True:
        await asyncio.sleep(_TIDY_S)
        await agent.collector.tidy()
