"""`python3 -m offbus_sandbox.workload.worker --model NAME`: a small server that dies like an inference engine.

Serves OpenAI's chat and completion routes on $POD_IP, computing every token on the GPU. A CUDA error is logged as
`CUDA error: NAME (code) in function`; streams are cut, other requests get 500, and the process exits with 1. It also
exits with 1 when the warm-up fails, and with 0 after a drained SIGTERM. Must not: outlive a CUDA error.
"""

import argparse
import asyncio
import logging
import os
import sys
import uuid
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from offbus_sandbox.workload.answers import Answer
from offbus_sandbox.workload.body import read_body
from offbus_sandbox.workload.driver_api import CudaError
from offbus_sandbox.workload.engine import Engine, EngineDeadError
from offbus_sandbox.workload.generator import WrongResultError
from offbus_sandbox.workload.requests import Job, RequestError, job_of
from offbus_sandbox.workload.serving import Server, live

__all__ = ["main"]

DEFAULT_TOKENS = 16
LAST_WORDS_S = 1
"""How long requests that a CUDA error broke may take to get their error."""
_log = logging.getLogger(__name__)


class Worker:
    """The routes; `app` is the ASGI application."""

    def __init__(self, model: str, engine: Engine) -> None:
        self._model = model
        self._engine = engine
        self._requests = {"total": 0, "in_flight": 0, "failed": 0}
        self.app = Starlette(
            routes=[
                Route("/v1/models", self.models),
                Route("/v1/chat/completions", partial(self.generate, "chat"), methods=["POST"]),
                Route("/v1/completions", partial(self.generate, "completion"), methods=["POST"]),
                Route("/health", self.health),
                Route("/live", live),
                Route("/metrics.json", self.metrics),
            ]
        )

    async def models(self, _: Request) -> Response:
        """The one model."""
        model = {"id": self._model, "object": "model", "created": 0, "owned_by": "offbus"}
        return JSONResponse({"object": "list", "data": [model]})

    async def health(self, _: Request) -> Response:
        """Ready for requests."""
        ready = self._engine.is_ready
        return JSONResponse({"status": "ready" if ready else "notready"}, 200 if ready else 503)

    async def metrics(self, _: Request) -> Response:
        """Counts, and the NVML readings of the last request."""
        gpus = self._engine.generator.telemetry.gpus
        shown = [{field: getattr(gpu, field) for field in gpu.__slots__} for gpu in gpus]
        return JSONResponse(
            {"model": self._model, "requests": self._requests, "tokens": self._engine.tokens, "gpus": shown}
        )

    async def generate(self, kind: str, request: Request) -> Response:
        """A generating route; `kind` is that of its requests."""
        try:
            job = job_of(
                kind,
                await read_body(request),
                model=self._model,
                default_tokens=DEFAULT_TOKENS,
                request_id=request.headers.get("x-request-id", uuid.uuid4().hex),
                start=request.headers.get("x-offbus-continue-from", "0"),
            )
        except RequestError as err:
            return JSONResponse(err.body, err.status)
        if job.stream:
            return StreamingResponse(self._stream(job), media_type="text/event-stream")
        try:
            tokens = [token async for _, token in self._tokens(job)]
        except EngineDeadError as err:
            failure = {"message": str(err), "type": "InternalServerError", "param": None, "code": 500}
            return JSONResponse({"error": failure}, 500)
        return JSONResponse(Answer(job).whole(" ".join(tokens)))

    async def _stream(self, job: Job) -> AsyncIterator[str]:
        """Chunks; a dead engine cuts the stream by raising, so that the client sees an unfinished body."""
        answer = Answer(job)
        if job.start == 0:
            yield answer.opening()
        async for position, token in self._tokens(job):
            yield answer.piece(position, token)
        yield answer.closing()

    async def _tokens(self, job: Job) -> AsyncIterator[tuple[int, str]]:
        self._requests["total"] += 1
        self._requests["in_flight"] += 1
        try:
            await self._engine.begin()
            for position in range(job.start, job.tokens):
                yield position, await self._engine.token(job.prompt, position)
        except EngineDeadError:
            self._requests["failed"] += 1
            raise
        finally:
            self._requests["in_flight"] -= 1


async def run(args: argparse.Namespace) -> int:
    """Warm up, then serve; returns the process's exit code."""
    engine = Engine(args.token_ms / 1000)
    try:
        await engine.warm_up()
    except (OSError, RuntimeError, CudaError, WrongResultError) as err:
        _log.critical("the engine cannot start: %s", err)
        return 1
    server = Server(Worker(args.model, engine).app, args.port, drain_s=args.drain_s)
    watch = asyncio.create_task(_stop_when_dead(engine, server))
    await server.serve()
    watch.cancel()
    return 1 if engine.died.is_set() else 0


async def _stop_when_dead(engine: Engine, server: Server) -> None:
    await engine.died.wait()
    server.stop(patience_s=LAST_WORDS_S)


def main(argv: list[str] | None = None) -> Any:
    """Run a worker, then end the process without waiting for a CUDA call that hangs."""
    parser = argparse.ArgumentParser(prog="offbus_sandbox.workload.worker", description=__doc__)
    parser.add_argument("--model", required=True, help="the model name that it serves")
    parser.add_argument("--port", type=int, default=int(os.environ.get("DYNAMO_PORT", "8000")))
    parser.add_argument("--token-ms", type=float, default=5.0, help="the least time a token takes")
    parser.add_argument("--drain-s", type=int, default=20, help="how long SIGTERM lets requests finish")
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    code = asyncio.run(run(args))
    logging.shutdown()
    sys.stdout.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
