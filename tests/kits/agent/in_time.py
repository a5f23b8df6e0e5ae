"""The agent in the test's own process, its leases on virtual time, its page and sockets real."""

import math
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import ParamSpec, TypeVar

import anyio

from offbus_agent import lease_keeper, program
from offbus_agent.agent import Agent, NodePaths, open_agent
from offbus_agent.faults.policy import Policy
from offbus_agent.faults.store import Store
from offbus_agent.http.listen import listen_unix
from offbus_agent.http.token import TokenFile
from offbus_agent.lease_time import boot_id, boottime_ns
from offbus_agent.models import Fault, FaultRequest
from offbus_agent.page.control import ControlPage
from tests.kits.agent.node_world import GPU0, Node

NS = 1_000_000_000
P = ParamSpec("P")
T = TypeVar("T")


class Watched:
    """An agent whose leases are on virtual time, and what its page shows."""

    def __init__(self, agent: Agent, node: Node, origin_ns: int, looks: list[float]) -> None:
        self.agent = agent
        self.looks = looks
        """When the agent looked for evidence."""
        self._page = ControlPage.create(node.ctl)
        self._origin_ns = origin_ns

    def at(self, moment_ns: int) -> float:
        """A moment of the agent's clock in virtual time."""
        return (moment_ns - self._origin_ns) / NS

    @property
    def heartbeat(self) -> float:
        """When the agent showed last that it lives."""
        return self.at(self._page.read().heartbeat_ns)

    async def heartbeats(self, until: float, *, look_every_s: float) -> list[float]:
        """Those that the page shows until then."""
        seen: list[float] = []
        while anyio.current_time() < until:
            await anyio.sleep(look_every_s)
            if self.heartbeat not in seen:
                seen.append(self.heartbeat)
        return seen


@asynccontextmanager
async def armed(
    node: Node, ttl_s: float, *, bell: bool = True, answered: float = math.inf
) -> AsyncIterator[tuple[Watched, Fault]]:
    """An agent with a fault, kept from here on; without `bell`, nothing tells it what processes write.

    `answered`: how many looks for evidence end, from here on.
    """
    origin_ns = boottime_ns()
    place = NodePaths("node-1", node.root, node.kmsg, node.state.parent)
    store = Store(place.state, boot_id())
    looks: list[float] = []
    holding = False

    async def inline(func: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """On the event loop: a thread takes real time, which virtual time does not wait for."""
        looks.append(anyio.current_time())
        if holding and len(looks) > answered:
            await anyio.sleep_forever()
        return func(*args, **kwargs)

    agent = open_agent(place, Policy(), store, lambda: origin_ns + int(anyio.current_time() * NS), inline)
    agent.page.rows()  # makes the pods' files, as the program's first look does
    request = FaultRequest(id="f1", run="r1", epoch=1, xid=79, gpus=[GPU0], planes=["cuda"], ttl_s=ttl_s)
    fault, _ = await agent.faults.create(request)
    if not bell:
        shutil.rmtree(node.events.parents[1])  # nothing to hang it on
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lease_keeper.keep, agent)
        looks.clear()  # the one before the arming
        holding = True
        yield Watched(agent, node, origin_ns, looks), fault
        tasks.cancel_scope.cancel()
    store.close()


@asynccontextmanager
async def served(agent: Agent, node: Node) -> AsyncIterator[None]:
    """The agent's HTTP server on the node's socket."""
    with listen_unix(node.sock) as listening:
        server = program._Server(agent, TokenFile(node.token_file), listening, None)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: server.serve(sockets=[listening]))
            yield
            server.stop()
