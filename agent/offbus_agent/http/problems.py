"""Problems as responses (RFC 9457, application/problem+json), and the handlers that make one of every failure.

Job: a refusal, an unknown path, a method that a path does not have, a bug: each is one problem. A bug's traceback goes
to the log, never to the caller. Whoever is refused before the body was read is told that the connection closes.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from offbus_agent.refusals import MEDIA_TYPE, Refusal

__all__ = ["ExceptionHandlers", "handlers", "problem_response"]

_BODY_UNREAD = (401, 403, 408, 413)
"""Refusals after which the rest of the body is not waited for."""

ExceptionHandlers = Mapping[Any, Callable[[Request, Exception], Any]]


def problem_response(refusal: Refusal, headers: Mapping[str, str] | None = None) -> Response:
    """The response that says it."""
    more = dict(headers or {})
    retry = refusal.detail.get("retry_after_s")
    if retry is not None:
        more["Retry-After"] = str(math.ceil(retry))
    if refusal.status in _BODY_UNREAD:
        more["Connection"] = "close"
    return JSONResponse(refusal.body(), refusal.status, headers=more, media_type=MEDIA_TYPE)


def handlers(known: Iterable[str], program: str) -> ExceptionHandlers:
    """For Starlette. `known` are the operations ("GET /health") that an unknown one is told."""
    listed = ", ".join(sorted(known))

    async def refused(_request: Request, err: Exception) -> Response:
        if not isinstance(err, Refusal):
            raise err
        return problem_response(err)

    async def unknown(request: Request, err: Exception) -> Response:
        if not isinstance(err, HTTPException):
            raise err
        code = "no_such_path" if err.status_code == 404 else "method_not_allowed"
        what = f"{request.method} {request.url.path}: {err.detail}"
        return problem_response(Refusal(err.status_code, code, what, f"known: {listed}"), err.headers)

    async def bug(_request: Request, err: Exception) -> Response:
        """The web server logs the traceback."""
        what = f"the {program} failed: {type(err).__name__}"
        return problem_response(Refusal(500, "bug", what, "see the traceback in its log"))

    return {Refusal: refused, HTTPException: unknown, Exception: bug}
