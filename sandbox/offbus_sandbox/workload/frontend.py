"""`python3 -m offbus_sandbox.workload.frontend`: routes OpenAI requests to the ready workers of its graph.

Behaves like Dynamo's frontend (reference: ai-dynamo 1.6): a stream whose worker died ends in
`data: {"error": …, "code": 503}` and `data: [DONE]`; other requests get 502 (broken) or 503 (no worker). With
`--migration-limit N` a broken request moves to another worker, up to N times. `/health` is 200 only with a ready
worker, unlike Dynamo's, so that a readiness probe is useful. Exits with 0 after a drained SIGTERM. Must not: generate.
"""

import argparse
import asyncio
import json
import logging
import os
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from offbus_sandbox.workload.answers import DONE, sse
from offbus_sandbox.workload.body import read_body
from offbus_sandbox.workload.endpoints import Endpoints, EndpointsFile, Source
from offbus_sandbox.workload.own_graph import own_graph
from offbus_sandbox.workload.relay import BrokenError, Exchange, NoWorkerError, Relay
from offbus_sandbox.workload.requests import RequestError
from offbus_sandbox.workload.serving import Server, live

__all__ = ["main"]


class Frontend:
    """The routes; `app` is the ASGI application."""

    def __init__(self, endpoints: Endpoints, relay: Relay, *, migration_limit: int) -> None:
        self._endpoints = endpoints
        self._relay = relay
        self._migration_limit = migration_limit
        self._requests = {"total": 0, "broken": 0, "no_worker": 0}
        self.app = Starlette(
            routes=[
                Route("/v1/models", self.models),
                Route("/v1/chat/completions", self.generate, methods=["POST"]),
                Route("/v1/completions", self.generate, methods=["POST"]),
                Route("/health", self.health),
                Route("/live", live),
                Route("/metrics.json", self.metrics),
            ]
        )

    async def health(self, _: Request) -> Response:
        """Healthy while there is a worker to route to."""
        ready = self._endpoints.ready()
        body = {"status": "healthy" if ready else "unhealthy", "instances": [w.model_dump() for w in ready]}
        return JSONResponse(body, 200 if ready else 503)

    async def metrics(self, _: Request) -> Response:
        """Counts."""
        return JSONResponse({"requests": self._requests, "migrations": self._relay.migrations})

    async def models(self, _: Request) -> Response:
        """The workers' models; an empty list without a worker, as in Dynamo."""
        for worker in self._endpoints.ready():
            found = await self._relay.models_of(worker)
            if found is not None:
                return JSONResponse(found)
        return JSONResponse({"object": "list", "data": []})

    async def generate(self, request: Request) -> Response:
        """Any generating route."""
        self._requests["total"] += 1
        try:
            body = await read_body(request)
            try:
                given = json.loads(body)
            except (ValueError, RecursionError) as err:
                raise RequestError(f"the body is not JSON: {err}") from err
            if not isinstance(given, dict):
                raise RequestError("the body must be a JSON object")
        except RequestError as err:
            return JSONResponse(err.body, err.status)
        exchange = Exchange(request.url.path, body, uuid.uuid4().hex, self._migration_limit)
        if given.get("stream") is True:
            return StreamingResponse(self._stream(exchange), media_type="text/event-stream")
        return await self._whole(exchange)

    async def _whole(self, exchange: Exchange) -> Response:
        try:
            status, body = await self._relay.unary(exchange)
        except NoWorkerError as err:
            self._requests["no_worker"] += 1
            return JSONResponse(_error(err, 503), 503)
        except BrokenError as err:
            self._requests["broken"] += 1
            return JSONResponse(_error(err, 502), 502)
        return Response(body, status, media_type="application/json")

    async def _stream(self, exchange: Exchange) -> AsyncIterator[str]:
        try:
            async for data in self._relay.stream(exchange):
                yield f"data: {data}\n\n"
        except (NoWorkerError, BrokenError) as err:
            self._requests["no_worker" if isinstance(err, NoWorkerError) else "broken"] += 1
            yield sse(_error(err, 503)) + DONE


def _error(err: Exception, code: int) -> dict[str, object]:
    return {"error": {"message": str(err), "type": "ServiceUnavailable", "param": None, "code": code}}


async def run(args: argparse.Namespace) -> None:
    """Serve until SIGTERM."""
    own = os.environ.get("OFFBUS_COMPONENT") or os.environ.get("DYN_COMPONENT", "")
    async with discovered(args.endpoints) as source:
        endpoints = Endpoints(source, workers=args.workers, own=own)
        relay = Relay(endpoints)
        frontend = Frontend(endpoints, relay, migration_limit=args.migration_limit)
        try:
            await Server(frontend.app, args.port, drain_s=args.drain_s).serve()
        finally:
            await relay.close()


@asynccontextmanager
async def discovered(file: str | None) -> AsyncIterator[Source]:
    """The source of workers: the file, or in a cluster the graph's pods."""
    own = own_graph()
    if file or own is None:
        yield EndpointsFile(Path(file or ""))
        return
    from offbus_sandbox.workload.discovery import graph_pods

    async with graph_pods(own) as pods:
        yield pods


def main(argv: list[str] | None = None) -> None:
    """Run a frontend."""
    parser = argparse.ArgumentParser(prog="offbus_sandbox.workload.frontend", description=__doc__)
    parser.add_argument("--port", type=int, default=int(os.environ.get("DYNAMO_PORT", "8000")))
    parser.add_argument(
        "--migration-limit", type=int, default=0, help="how often a broken request may move to another worker"
    )
    parser.add_argument(
        "--workers", nargs="+", default=(), metavar="NAME", help="components to route to; default: all others"
    )
    parser.add_argument(
        "--endpoints",
        default=os.environ.get("OFFBUS_ENDPOINTS"),
        help="the endpoints file; not needed in a cluster",
    )
    parser.add_argument("--drain-s", type=int, default=20, help="how long SIGTERM lets requests finish")
    args = parser.parse_args(argv)
    if not args.endpoints and own_graph() is None:
        parser.error("no endpoints file: set OFFBUS_ENDPOINTS or --endpoints, or run in a pod of a graph")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    asyncio.run(run(args))


if __name__ == "__main__":
    main()
