"""Reads a request's body up to a limit, so that no client can fill the memory of worker or frontend."""

from starlette.requests import Request

from offbus_sandbox.workload.requests import RequestError

__all__ = ["read_body"]

LIMIT = 1024 * 1024
"""Bytes."""


async def read_body(request: Request) -> bytes:
    """The whole body. Raises RequestError (413) when it is longer than `LIMIT`."""
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > LIMIT:
            raise RequestError(f"the body is larger than {LIMIT} bytes", 413)
        parts.append(part)
    return b"".join(parts)
