"""The proxy to the node agents: adds the token, so that no client ever holds it.

The path is that of the API server's node proxy. The proxy's own responses carry the header `REFUSED`, so that a client
can tell them from an agent's.
"""

from collections.abc import Collection

import httpx
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from offbus_sandbox.adapter.unix_http import http_client, unix_transport
from offbus_sandbox.adapter.wire import AGENT_PATH, REFUSED, status_of
from offbus_sandbox.layout import Layout
from offbus_steps.port import NotFound, Unavailable

__all__ = ["AgentProxy"]

METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]
LONGEST_S = 120.0
"""Longer than any long poll of an agent; the client's own timeout is the one that matters."""
LARGEST_BODY = 1 << 20
PASSED_HEADERS = ("content-type", "retry-after")


class AgentProxy:
    """Forwards to `nodes/N/agent.sock`."""

    def __init__(self, layout: Layout, nodes: Collection[str]) -> None:
        """`nodes` are the existing nodes' names: anything else in a path is refused before it becomes a file name."""
        self._layout = layout
        self._nodes = frozenset(nodes)
        self._clients: dict[str, httpx.AsyncClient] = {}

    def route(self) -> Route:
        """The proxy's route."""
        return Route(AGENT_PATH.format(node="{node}", path="{path:path}"), self.forward, methods=METHODS)

    async def forward(self, request: Request) -> Response:
        """Forward one request to the agent and return its response."""
        node = request.path_params["node"]
        try:
            if node not in self._nodes:
                raise NotFound(f"node {node!r} does not exist")
            answer = await self._ask(node, request)
        except httpx.HTTPError as err:
            why = f"the agent of {node} does not respond: {type(err).__name__}: {err}"
            log = self._layout.node(node) / "log" / "agent.log"
            refused = status_of(Unavailable(why, hint=f"see {log}"))
        except NotFound as err:
            refused = status_of(err)
        else:
            headers = {name: answer.headers[name] for name in PASSED_HEADERS if name in answer.headers}
            return Response(answer.content, answer.status_code, headers)
        return JSONResponse(refused, status_code=refused["code"], headers={REFUSED: "true"})

    async def _ask(self, node: str, request: Request) -> httpx.Response:
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > LARGEST_BODY:
                return httpx.Response(
                    413, json={"error": {"code": "too_large", "message": "the body is too long"}}
                )
        headers = {"X-Offbus-Token": self._layout.token.read_text().split("\n")[0].strip()}
        if body:
            headers["content-type"] = request.headers.get("content-type", "application/json")
        url = httpx.URL(f"http://agent/{request.path_params['path']}", params=request.query_params)
        if node not in self._clients:
            transport = unix_transport(self._layout.agent(node))
            self._clients[node] = http_client(transport=transport, timeout=LONGEST_S)
        return await self._clients[node].request(request.method, url, content=bytes(body), headers=headers)

    async def aclose(self) -> None:
        """Close the connections."""
        for client in self._clients.values():
            await client.aclose()
