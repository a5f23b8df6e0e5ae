"""Reads a request's body and query: bounded in size and time, and checked by a model, every mistake at once."""

import asyncio

from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from offbus_agent.http.connections import BODY_S
from offbus_agent.refusals import Refusal

__all__ = ["number", "parsed", "query_of", "raw_body"]

_LARGEST_BODY = 64 * 1024
_HINT = "see GET /openapi.json for every body"


async def raw_body(request: Request) -> bytes:
    """The body's bytes. Raises Refusal 408, 413."""
    raw = bytearray()
    try:
        async with asyncio.timeout(BODY_S):
            async for chunk in request.stream():
                raw += chunk
                if len(raw) > _LARGEST_BODY:
                    raise Refusal(413, "body_too_large", f"the body is longer than {_LARGEST_BODY} bytes")
    except TimeoutError:
        raise Refusal(408, "body_too_slow", f"the body did not arrive within {BODY_S:g} s") from None
    return bytes(raw)


def parsed(raw: bytes, model: type[BaseModel]) -> BaseModel:
    """The body as the model has it. Raises Refusal 422 with every field that is wrong."""
    try:
        return model.model_validate_json(raw)
    except ValidationError as err:
        raise _refusal("invalid_body", "body", err, _HINT) from err


def query_of(request: Request, model: type[BaseModel]) -> BaseModel:
    """The query as the model has it. Raises Refusal 422."""
    try:
        return model.model_validate(dict(request.query_params))
    except ValidationError as err:
        raise _refusal("invalid_query", "query", err, "see GET /openapi.json for every query") from err


def number(request: Request, name: str, most: float) -> float:
    """A number of the query, cut to `most`; 0 where there is none. Raises Refusal 422."""
    text = request.query_params.get(name, "0")
    try:
        value = float(text)
    except ValueError:
        value = -1
    if not value >= 0:
        raise Refusal(422, "invalid_query", f"{name}={text!r} is not a number of 0 or more")
    return min(value, most)


def _refusal(code: str, whole: str, err: ValidationError, hint: str) -> Refusal:
    fields = [
        {"where": ".".join(str(part) for part in e["loc"]) or whole, "what": e["msg"]}
        for e in err.errors(include_url=False, include_context=False, include_input=False)
    ]
    words = "; ".join(f"{field['where']}: {field['what']}" for field in fields)
    return Refusal(422, code, words, hint, fields=fields)
