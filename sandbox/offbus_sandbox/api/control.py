"""The sandbox's own routes: its status, and stray processes."""

from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from offbus_sandbox.adapter.wire import CONTROL_PATH

__all__ = ["control_routes"]

Describe = Callable[[], dict[str, Any]]
Strays = Callable[[], list[str]]


def control_routes(describe: Describe, strays: Strays) -> list[Route]:
    """`GET /sandbox` and `GET /sandbox/strays`."""

    async def get(_request: Request) -> Response:
        return JSONResponse(describe())

    async def get_strays(_request: Request) -> Response:
        return JSONResponse({"processes": strays()})

    return [
        Route(CONTROL_PATH, get, methods=["GET"]),
        Route(f"{CONTROL_PATH}/strays", get_strays, methods=["GET"]),
    ]
