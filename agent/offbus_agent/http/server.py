"""The agent's HTTP interface, on starlette.

Job: authorise, read, check, call, respond. What needs a token and has none is refused before its body is read. Every
response except a 2xx is a problem (RFC 9457), also for unknown paths and bugs; `/readyz` alone says why in its own
shape. Its only state is what bounds it: readers of the event stream, and answers by idempotency key.
"""

from collections.abc import Awaitable, Callable
from functools import cache

from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from offbus_agent.agent import Agent
from offbus_agent.http.body import number, parsed, query_of, raw_body
from offbus_agent.http.budget import READY
from offbus_agent.http.connections import bounded, connection_of
from offbus_agent.http.endpoints import ENDPOINTS, LONGEST_WAIT_S, Call, Endpoint
from offbus_agent.http.event_stream import EventStream
from offbus_agent.http.idempotency import HEADER, Answers, asked_of
from offbus_agent.http.problems import handlers, problem_response
from offbus_agent.http.readiness import Readiness
from offbus_agent.http.token import TokenError, TokenFile
from offbus_agent.planes.planes import PlaneFailedError
from offbus_agent.refusals import Refusal

__all__ = ["application"]

_Handler = Callable[[Request], Awaitable[Response]]
_EVENTS = "/events"
"""Answers no JSON: a stream."""


def application(agent: Agent, token: TokenFile, readiness: Readiness | None = None) -> ASGIApp:
    """The ASGI application."""
    answers, ready = Answers(), readiness or Readiness(agent, token)
    routes = [Route(e.path, _handler(e, agent, token, answers), methods=[e.method]) for e in ENDPOINTS]
    routes.append(Route(READY, _ready(ready), methods=["GET"]))
    routes.append(Route(_EVENTS, _stream(agent, token), methods=["GET"]))
    routes.append(Route("/openapi.json", _openapi(agent), methods=["GET"]))
    known = [f"{e.method} {e.path}" for e in ENDPOINTS] + [f"GET {READY}", f"GET {_EVENTS}"]
    app = Starlette(routes=routes, exception_handlers={**handlers(known, "agent"), PlaneFailedError: _failed})
    app.router.redirect_slashes = False  # a redirect would go to the host that the request names
    return bounded(app)


def _handler(endpoint: Endpoint, agent: Agent, token: TokenFile, answers: Answers) -> _Handler:
    async def handle(request: Request) -> Response:
        _authorise(request, token, anybodys=endpoint.anybodys)
        raw = b"" if endpoint.body is None else await raw_body(request)

        async def make() -> Response:
            try:
                return await _made(endpoint, _call(endpoint, agent, request, raw))
            except Refusal as err:  # here, so that it is kept under the request's key
                return problem_response(err)

        key = None if endpoint.method == "GET" else request.headers.get(HEADER)
        return await answers.once(key, asked_of(request, raw), make)

    return handle


async def _made(endpoint: Endpoint, call: Call) -> Response:
    status, answer = await endpoint.run(call)
    return Response(answer.model_dump_json(), status, media_type="application/json")


def _call(endpoint: Endpoint, agent: Agent, request: Request, raw: bytes) -> Call:
    body: BaseModel | None = None if endpoint.body is None else parsed(raw, endpoint.body)
    if endpoint.query is not None:
        body = query_of(request, endpoint.query)
    return Call(
        agent=agent,
        fault=request.path_params.get("id", ""),
        body=body,
        since=int(number(request, "since", 2**53)) if endpoint.polls else 0,
        wait_s=number(request, "wait_s", LONGEST_WAIT_S) if endpoint.polls else 0,
    )


def _ready(readiness: Readiness) -> _Handler:
    async def handle(_request: Request) -> Response:
        status, body = await readiness.answer()
        return Response(body, status, media_type="application/json")

    return handle


def _stream(agent: Agent, token: TokenFile) -> _Handler:
    stream = EventStream(agent.book.events)

    async def handle(request: Request) -> Response:
        _authorise(request, token, anybodys=False)
        return stream.open(request.headers.get("last-event-id"))

    return handle


def _openapi(agent: Agent) -> _Handler:
    @cache
    def built() -> bytes:
        from offbus_agent.http.openapi import document

        return bytes(JSONResponse(document(agent.version)).body)

    async def handle(_request: Request) -> Response:
        return Response(built(), media_type="application/json")

    return handle


def _authorise(request: Request, token: TokenFile, *, anybodys: bool) -> None:
    """A write needs the token, a read at least that for reads; with the token none is ended to make room for others."""
    reads, connection = request.method == "GET", connection_of(request.scope)
    try:
        admitted = token.admits(request.headers)
        allowed = anybodys or admitted or (reads and token.admits(request.headers, reads=True))
    except TokenError as err:
        if anybodys:
            return
        raise Refusal(
            503, "no_token", str(err), "fix the token file: nothing is possible without it"
        ) from err
    if not allowed:
        what = "reading this" if reads else "a write"
        raise Refusal(401, "unauthorized", f"{what} needs the node's token", "send it in X-Offbus-Token")
    if admitted and connection:
        connection.admit()


async def _failed(_request: Request, err: Exception) -> Response:
    if not isinstance(err, PlaneFailedError):
        raise err
    written = [entry.model_dump() for entry in err.kernel]
    return problem_response(Refusal(500, err.code, str(err), err.hint, plane=err.plane.value, kernel=written))
