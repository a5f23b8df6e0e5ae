"""The sandbox's own routes: its status, and stray processes."""

from collections.abc import Callable
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from offbus_sandbox.adapter.wire import CONTROL_PATH

__all__ = ["control_routes"]

Describe = Callable[[], dict[str, Any]]


def control_routes(describe: Describe, strays: Describe) -> list[Route]:
    """`GET /sandbox` and `GET /sandbox/strays`: what the two return at that time."""

    async def get(read: Describe, _request: Request) -> Response:
        return JSONResponse(read())

    return [
        Route(CONTROL_PATH, partial(get, describe), methods=["GET"]),
        Route(f"{CONTROL_PATH}/strays", partial(get, strays), methods=["GET"]),
    ]
