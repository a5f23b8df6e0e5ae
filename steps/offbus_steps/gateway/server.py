"""The gateway's HTTP interface, on starlette: who calls, what they ask, the answer, and a line in the audit log.

Every response except a 2xx is a problem (RFC 9457). What needs a token and has none is refused before its body is read.
"""

import json
import logging
from collections.abc import Awaitable, Callable

from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from offbus.errors import CouldNotRun
from offbus_agent.http.body import parsed, query_of, raw_body
from offbus_agent.http.connections import bounded
from offbus_agent.http.idempotency import HEADER, Answers, asked_of
from offbus_agent.http.problems import handlers, problem_response
from offbus_agent.refusals import Refusal
from offbus_steps.gateway.audit import Audit
from offbus_steps.gateway.callers import ANONYMOUS, Caller, Callers
from offbus_steps.gateway.not_here import ROUTES, refusal
from offbus_steps.gateway.operations import OPERATIONS, Call, Gateway, Operation
from offbus_steps.port import PortError

__all__ = ["application"]

_log = logging.getLogger(__name__)
_Handler = Callable[[Request], Awaitable[Response]]


def application(gateway: Gateway, callers: Callers, audit: Audit) -> ASGIApp:
    """The ASGI application."""
    answers = Answers()
    routes = [
        Route(_pattern(one.path), _handler(one, gateway, callers, answers, audit), methods=[one.method])
        for one in OPERATIONS
    ]
    # Before those with an id: none of these paths is one.
    routes[:0] = [Route(path, _elsewhere(method, path), methods=[method]) for method, path in ROUTES]
    routes.append(Route("/openapi.json", _openapi, methods=["GET"]))
    known = [f"{one.method} {one.path}" for one in OPERATIONS]
    app = Starlette(routes=routes, exception_handlers=handlers(known, "gateway"))
    app.router.redirect_slashes = False  # a redirect would go to the host that the request names
    return bounded(app)


def _pattern(path: str) -> str:
    return path.replace("{xid}", "{xid:int}")


def _handler(one: Operation, gateway: Gateway, callers: Callers, answers: Answers, audit: Audit) -> _Handler:
    async def handle(request: Request) -> Response:
        facts: dict[str, object] = {}
        try:
            caller = Caller(ANONYMOUS) if one.anybodys else await callers.admitted(request)
            facts["caller"] = caller.name
            response = await _answer(one, gateway, caller, answers, request, facts)
        except Refusal as err:
            response = problem_response(err)
        except (PortError, CouldNotRun) as err:
            response = problem_response(Refusal(503, "no_cluster", err.message, err.hint or ""))
        if one.method != "GET":
            _audit(audit, request, response, facts)
        return response

    return handle


async def _answer(
    one: Operation,
    gateway: Gateway,
    caller: Caller,
    answers: Answers,
    request: Request,
    facts: dict[str, object],
) -> Response:
    raw = b"" if one.body is None else await raw_body(request)

    async def make() -> Response:
        try:
            body: BaseModel | None = None if one.body is None else parsed(raw, one.body)
            body = query_of(request, one.query) if one.query is not None else body
            status, answer = await one.run(Call(gateway, caller, dict(request.path_params), body, facts))
        except Refusal as err:  # here, so that it is kept under the request's key
            return problem_response(err)
        return Response(answer.model_dump_json(), status, media_type="application/json")

    key = None if one.method == "GET" else request.headers.get(HEADER)
    return await answers.once(key, asked_of(request, raw, caller.name), make)


def _audit(audit: Audit, request: Request, response: Response, facts: dict[str, object]) -> None:
    said = json.loads(bytes(response.body)) if response.body else {}
    if "fault_id" in said:
        facts["fault"] = said["fault_id"]
    if response.status_code >= 400:
        facts |= {"code": said.get("code"), "why": said.get("detail")}
    peer = request.client.host if request.client else ""
    try:
        audit.write(
            peer=peer, method=request.method, path=request.url.path, status=response.status_code, **facts
        )
    except OSError as err:  # what was done is answered all the same
        _log.error("the audit log cannot be written: %s", err)


def _elsewhere(method: str, path: str) -> _Handler:
    async def handle(_request: Request) -> Response:
        return problem_response(refusal(method, path))

    return handle


async def _openapi(_request: Request) -> Response:
    from offbus_steps.gateway.openapi import gateway_document

    return Response(json.dumps(gateway_document()), media_type="application/json")
