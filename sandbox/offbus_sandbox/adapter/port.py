"""The environment port over a local supervisor: `async with LocalPort(api_socket) as port`.

Objects and agents go through the supervisor's socket; traffic goes straight to the pods' loopback addresses, as a
client in the cluster would. Nothing here keeps state, so requests work again once a supervisor has restarted.
"""

from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from offbus_sandbox.adapter.objects import LocalObjects, ask, error_in, reaching
from offbus_sandbox.adapter.traffic import LocalTraffic
from offbus_sandbox.adapter.unix_http import http_client, unix_transport
from offbus_sandbox.adapter.wire import AGENT_PATH, CONTROL_PATH, REFUSED
from offbus_sandbox.layout import Layout
from offbus_steps.port import Agents, NotFound, Objects, Port, Reply, Traffic, Unavailable
from offbus_steps.workloads.shim_mounts import in_local

__all__ = ["LocalPort"]

BASE = "http://local"
"""httpx needs a host name; requests go to the socket."""
ANSWERS_WITHIN_S = 30.0
"""A supervisor that does not respond within this time is unavailable."""


class LocalPort(Port):
    """`offbus_steps.port.Port` for `local`."""

    objects: Objects
    agents: Agents
    traffic: Traffic
    local = True

    def __init__(self, api: Path) -> None:
        """`api` is a supervisor's socket; the sandbox's other files lie beside it."""
        self._client = http_client(transport=unix_transport(api), base_url=BASE, timeout=ANSWERS_WITHIN_S)
        self._direct = http_client(
            timeout=None,  # LocalTraffic bounds each request as a whole
            # no connection is kept: a pod that ended must not fail a later request that never reached it
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
        )
        self.objects = LocalObjects(self._client)
        self.agents = LocalAgents(self._client)
        self.traffic = LocalTraffic(self._direct, self.objects, Layout.of(api.parent))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()
        await self._direct.aclose()

    def host_path(self, path: str, sub: str) -> str:
        """See `offbus_steps.port.Port.host_path`."""
        return in_local(path, sub)

    async def sandbox(self) -> dict[str, Any]:
        """The supervisor's own status. Raises Unavailable."""
        return await ask(self._client, "GET", CONTROL_PATH)

    async def strays(self) -> list[str]:
        """Processes of the sandbox that belong to no pod and no service. Raises Unavailable."""
        found = await ask(self._client, "GET", f"{CONTROL_PATH}/strays")
        return [str(command) for command in found["processes"]]


@dataclass(frozen=True, slots=True)
class LocalAgents(Agents):
    """The node agents, through the supervisor's proxy, which adds the token."""

    client: httpx.AsyncClient

    async def request(
        self,
        node: str,
        method: str,
        path: str,
        *,
        json: Any = None,
        timeout: float = 10.0,  # noqa: ASYNC109  # the port's contract
    ) -> Reply:
        """See `offbus_steps.port.Agents.request`."""
        url = AGENT_PATH.format(node=node, path=path.lstrip("/"))
        with reaching():
            answer = await self.client.request(method, url, json=json, timeout=timeout)
        if REFUSED in answer.headers:
            err = error_in(answer)
            raise Unavailable(err.message, hint=err.hint) if isinstance(err, NotFound) else err
        return Reply(answer.status_code, dict(answer.headers), answer.content)
