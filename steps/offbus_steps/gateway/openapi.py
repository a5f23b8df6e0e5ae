"""The gateway's OpenAPI 3.1 document, generated from the table of operations and the models."""

from importlib.metadata import version
from typing import Any

from offbus_agent.http.openapi import content, idempotency_key, problem_content, schemas_of
from offbus_agent.models import Problem
from offbus_steps.gateway.not_here import ROUTES
from offbus_steps.gateway.operations import OPERATIONS, Operation

__all__ = ["gateway_document"]

_SECURITY: list[dict[str, list[str]]] = [{"bearer": []}, {"token": []}]
_GUARDED = (401, 403, 429, 503)
"""Problems of every operation that needs a token."""


def gateway_document() -> dict[str, Any]:
    """The document, as JSON values."""
    models = {one.answer for one in OPERATIONS} | {one.body for one in OPERATIONS if one.body} | {Problem}
    paths: dict[str, dict[str, Any]] = {}
    for one in OPERATIONS:
        paths.setdefault(one.path, {})[one.method.lower()] = _operation(one)
    for (method, path), instead in ROUTES.items():
        paths.setdefault(path, {})[method.lower()] = {
            "summary": f"Not done here: {instead}.",
            "operationId": path.removeprefix("/api/v1/").replace("/", "_").replace("-", "_"),
            "responses": problem_content({403, 429, 501}),
        }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "offbus gateway",
            "version": version("offbus"),
            "license": {"name": "Apache-2.0"},
            "description": "The published fault injection API; each fault is a run with guards and an undo.",
        },
        "paths": paths,
        "components": {
            "schemas": schemas_of(models),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "token": {"type": "apiKey", "in": "header", "name": "X-Offbus-Token"},
            },
        },
    }


def _operation(one: Operation) -> dict[str, Any]:
    writes = one.method != "GET"
    problems = {*one.refusals, 403, 429} | (set() if one.anybodys else set(_GUARDED))
    problems |= {408, 413, 422} if one.body else set()
    problems |= {409, 422} if writes else set()
    found: dict[str, Any] = {
        "summary": one.summary,
        "operationId": one.run.__name__.strip("_"),
        "parameters": _parameters(one),
        "responses": {
            **{str(status): content("The response.", one.answer) for status in one.statuses},
            **problem_content(problems),
        },
    }
    if one.body is not None:
        found["requestBody"] = {"required": True, **content(None, one.body)}
    if not one.anybodys:
        found["security"] = _SECURITY
    return found


def _parameters(one: Operation) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    if "{xid}" in one.path:
        xid = {"type": "integer", "minimum": 0, "maximum": 9999, "examples": [79]}
        found.append({"name": "xid", "in": "path", "required": True, "schema": xid})
    if "{id}" in one.path:
        found.append({"name": "id", "in": "path", "required": True, "schema": {"type": "string"}})
    if one.query is not None:
        for name, schema in one.query.model_json_schema()["properties"].items():
            found.append({"name": name, "in": "query", "schema": schema})
    if one.method != "GET":
        found.append(idempotency_key())
    return found
