"""Sends one request to a worker, and after a failure to another one if possible: routing and migration.

A worker that refuses the connection was never reached: the next one is always tried. A worker that breaks the request
off (connection lost, or 5xx before a stream began) uses up one migration of `migration_limit`: a unary request is sent
again; a stream continues at the position where it broke, which works because the model is deterministic. Without
migrations left: `BrokenError`; without a ready worker: `NoWorkerError`. There is no timeout for a worker that hangs.
Must not: answer the client (that is `frontend`).
"""

import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from offbus_sandbox.adapter.unix_http import http_client
from offbus_sandbox.workload.endpoints import Endpoints, Worker
from offbus_steps.text_lines import LineTooLong, encoding_of, lines_of, whole_of

__all__ = ["BrokenError", "Exchange", "NoWorkerError", "Relay"]

CONNECT_S = 2.0
_log = logging.getLogger(__name__)


class NoWorkerError(Exception):
    """Raised when no ready worker accepted the request."""


class BrokenError(Exception):
    """Raised when a worker broke off the request and no migration is left."""


@dataclass(slots=True)
class Exchange:
    """One client request in flight."""

    path: str
    body: bytes
    id: str
    migrations_left: int
    tried: set[str] = field(default_factory=set)
    """Pods that refused or broke it."""
    migrated: int = 0
    sent: int = 0
    """Tokens of a stream that the client has received."""


class Relay:
    """Talks to the workers. `close` it in the end."""

    def __init__(self, endpoints: Endpoints) -> None:
        self._endpoints = endpoints
        # A connection for each request: a pooled one that its worker has just closed would look like a broken request.
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
        timeout = httpx.Timeout(None, connect=CONNECT_S)
        self._client = http_client(limits=limits, timeout=timeout)
        self.migrations = {"success": 0, "failure": 0}

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    async def models_of(self, worker: Worker) -> dict[str, Any] | None:
        """A worker's model list; None when it does not respond."""
        try:
            response = await self._client.get(f"{worker.url}/v1/models", timeout=CONNECT_S)
        except httpx.TransportError:
            _log.warning("worker %s does not list its models", worker.pod)
            return None
        found: dict[str, Any] = response.json()
        return found

    async def unary(self, exchange: Exchange) -> tuple[int, bytes]:
        """Status and body of a worker's answer. Raises BrokenError, NoWorkerError."""
        while True:
            try:
                async with self._connected(exchange) as (worker, response):
                    body = await whole_of(response.aiter_raw())
                    if response.status_code < 500 or not exchange.migrations_left:
                        self.migrations["success"] += bool(exchange.migrated)
                        return response.status_code, body
                    self._migrate(exchange, worker, f"status {response.status_code}")
            except _BrokeOffError as err:
                self._migrate(exchange, err.worker, err.why)

    async def stream(self, exchange: Exchange) -> AsyncIterator[str]:
        """The `data` of every event, the end mark included, across migrations. Raises BrokenError, NoWorkerError.

        A worker's refusal before the stream began (4xx) is one event with its error object, then the end mark.
        """
        while True:
            try:
                async with self._connected(exchange) as (worker, response):
                    if response.status_code >= 500:
                        raise _BrokeOffError(worker, f"status {response.status_code}")
                    async for data in _events(response, worker):
                        exchange.sent += _tokens_in(data)
                        yield data
            except _BrokeOffError as err:
                self._migrate(exchange, err.worker, err.why)
            else:
                self.migrations["success"] += bool(exchange.migrated)
                return

    def _migrate(self, exchange: Exchange, worker: Worker, why: str) -> None:
        exchange.tried.add(worker.pod)
        if not exchange.migrations_left:
            self.migrations["failure"] += bool(exchange.migrated)
            raise BrokenError(f"worker {worker.pod} broke off the request ({why}); no migration is left")
        exchange.migrations_left -= 1
        exchange.migrated += 1
        _log.warning("request %s: worker %s broke off (%s), recreating it", exchange.id, worker.pod, why)

    @asynccontextmanager
    async def _connected(self, exchange: Exchange) -> AsyncIterator[tuple[Worker, httpx.Response]]:
        """The next worker that accepts the request, and its answer's head."""
        worker, response = await self._send(exchange)
        try:
            if encoding := encoding_of(response.headers):
                raise _BrokeOffError(worker, f"it answered with Content-Encoding {encoding!r}")
            yield worker, response
        except (httpx.TransportError, LineTooLong) as err:
            raise _BrokeOffError(worker, str(err) or type(err).__name__) from err
        finally:
            await response.aclose()

    async def _send(self, exchange: Exchange) -> tuple[Worker, httpx.Response]:
        headers = {
            "content-type": "application/json",
            "x-request-id": exchange.id,
            "x-offbus-continue-from": str(exchange.sent),
        }
        while (worker := self._endpoints.next(without=exchange.tried)) is not None:
            request = self._client.build_request(
                "POST", worker.url + exchange.path, content=exchange.body, headers=headers
            )
            try:
                return worker, await self._client.send(request, stream=True)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                exchange.tried.add(worker.pod)
                _log.warning("request %s: worker %s refused the connection", exchange.id, worker.pod)
            except httpx.TransportError as err:
                raise _BrokeOffError(worker, str(err) or type(err).__name__) from err
        raise NoWorkerError("no ready worker accepted the request")


class _BrokeOffError(Exception):
    def __init__(self, worker: Worker, why: str) -> None:
        super().__init__(why)
        self.worker = worker
        self.why = why


async def _events(response: httpx.Response, worker: Worker) -> AsyncIterator[str]:
    """The `data` of a worker's events; a stream that ends without its end mark has broken off."""
    if response.status_code != 200:
        yield (await whole_of(response.aiter_raw())).decode("utf-8", "replace")
        yield "[DONE]"
        return
    async for line in lines_of(response.aiter_raw()):
        if line.startswith("data: "):
            data = line.removeprefix("data: ")
            yield data
            if data == "[DONE]":
                return
    raise _BrokeOffError(worker, "the stream ended early")


def _tokens_in(data: str) -> int:
    """1 for a chunk that carries a token."""
    if data == "[DONE]":
        return 0
    choices = json.loads(data).get("choices") or [{}]
    piece = choices[0].get("text") or (choices[0].get("delta") or {}).get("content")
    return int(bool(piece))
