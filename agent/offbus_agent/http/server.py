"""The agent's HTTP interface, on starlette.

Job: authorise, read, check, call, respond. What needs a token and has none is refused before its body is read. Every
response except a 2xx has the body `{"error": {"code", "message", "hint"}}`, also for unknown paths and bugs (a bug's
traceback goes to the log, never to the caller). It has no state of its own.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable
from functools import cache

from pydantic import BaseModel, ValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from offbus_agent.agent import Agent
from offbus_agent.http.connections import BODY_S, bounded, connection_of
from offbus_agent.http.endpoints import ENDPOINTS, LONGEST_WAIT_S, Call, Endpoint
from offbus_agent.http.token import TokenError, TokenFile
from offbus_agent.planes.planes import PlaneFailedError
from offbus_agent.refusals import Refusal

__all__ = ["application"]

_LARGEST_BODY = 64 * 1024
_BODY_UNREAD = (401, 408, 413)
"""Refusals after which the rest of the body is not waited for."""

_Handler = Callable[[Request], Awaitable[Response]]


def application(agent: Agent, token: TokenFile) -> ASGIApp:
    """The ASGI application."""
    routes = [Route(e.path, _handler(e, agent, token), methods=[e.method]) for e in ENDPOINTS]
    routes.append(Route("/openapi.json", _openapi(agent), methods=["GET"]))
    app = Starlette(
        routes=routes,
        exception_handlers={
            Refusal: _refused,
            PlaneFailedError: _failed,
            HTTPException: _unknown,
            Exception: _bug,
        },
    )
    app.router.redirect_slashes = False  # a redirect would go to the host that the request names
    return bounded(app)


def _handler(endpoint: Endpoint, agent: Agent, token: TokenFile) -> _Handler:
    async def handle(request: Request) -> Response:
        _authorise(request, token, anybodys=endpoint.anybodys)
        call = Call(
            agent=agent,
            fault=request.path_params.get("id", ""),
            body=None if endpoint.body is None else await _body(request, endpoint.body),
            since=int(_number(request, "since", 2**53)) if endpoint.polls else 0,
            wait_s=_number(request, "wait_s", LONGEST_WAIT_S) if endpoint.polls else 0,
        )
        status, answer = await endpoint.run(call)
        return Response(answer.model_dump_json(), status, media_type="application/json")

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


async def _body(request: Request, model: type[BaseModel]) -> BaseModel:
    raw = bytearray()
    try:
        async with asyncio.timeout(BODY_S):
            async for chunk in request.stream():
                raw += chunk
                if len(raw) > _LARGEST_BODY:
                    raise Refusal(413, "body_too_large", f"the body is longer than {_LARGEST_BODY} bytes")
    except TimeoutError:
        raise Refusal(408, "body_too_slow", f"the body did not arrive within {BODY_S:g} s") from None
    try:
        return model.model_validate_json(bytes(raw))
    except ValidationError as err:
        fields = [
            {"where": ".".join(str(part) for part in e["loc"]) or "body", "what": e["msg"]}
            for e in err.errors(include_url=False, include_context=False, include_input=False)
        ]
        words = "; ".join(f"{field['where']}: {field['what']}" for field in fields)
        hint = "see GET /openapi.json for every body"
        raise Refusal(422, "invalid_body", words, hint, fields=fields) from err


def _number(request: Request, name: str, most: float) -> float:
    text = request.query_params.get(name, "0")
    try:
        value = float(text)
    except ValueError:
        value = -1
    if not value >= 0:
        raise Refusal(422, "invalid_query", f"{name}={text!r} is not a number of 0 or more")
    return min(value, most)


async def _refused(_request: Request, err: Exception) -> Response:
    if not isinstance(err, Refusal):
        raise err
    retry = err.detail.get("retry_after_s")
    headers = {} if retry is None else {"Retry-After": str(math.ceil(retry))}
    if err.status in _BODY_UNREAD:
        headers["Connection"] = "close"
    return JSONResponse(err.body(), err.status, headers=headers)


async def _failed(_request: Request, err: Exception) -> Response:
    if not isinstance(err, PlaneFailedError):
        raise err
    written = [entry.model_dump() for entry in err.kernel]
    refusal = Refusal(500, err.code, str(err), err.hint, plane=err.plane.value, kernel=written)
    return JSONResponse(refusal.body(), refusal.status)


async def _unknown(request: Request, err: Exception) -> Response:
    if not isinstance(err, HTTPException):
        raise err
    known = ", ".join(sorted({f"{e.method} {e.path}" for e in ENDPOINTS}))
    code = "no_such_path" if err.status_code == 404 else "method_not_allowed"
    refusal = Refusal(
        err.status_code, code, f"{request.method} {request.url.path}: {err.detail}", f"known: {known}"
    )
    return JSONResponse(refusal.body(), refusal.status, headers=err.headers)


async def _bug(_request: Request, err: Exception) -> Response:
    """The web server logs the traceback."""
    refusal = Refusal(500, "bug", f"the agent failed: {type(err).__name__}", "see the traceback in its log")
    return JSONResponse(refusal.body(), 500)
