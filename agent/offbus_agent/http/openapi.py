"""The OpenAPI 3.1 document, generated from the endpoint table and the models."""

from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from offbus_agent.http.endpoints import ENDPOINTS, LONGEST_WAIT_S, Endpoint
from offbus_agent.models import ErrorAnswer

__all__ = ["document"]

_REFUSALS = "An error: what failed, why, and what to do."


def document(version: str) -> dict[str, Any]:
    """The document, as JSON values."""
    models = (
        {endpoint.answer for endpoint in ENDPOINTS} | {e.body for e in ENDPOINTS if e.body} | {ErrorAnswer}
    )
    _, schema = models_json_schema(
        [(model, "validation") for model in sorted(models, key=lambda model: model.__name__)],
        ref_template="#/components/schemas/{model}",
    )
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in ENDPOINTS:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint)
    return {
        "openapi": "3.1.0",
        "info": {"title": "offbus node agent", "version": version, "license": {"name": "Apache-2.0"}},
        "paths": paths,
        "components": {
            "schemas": schema["$defs"],
            "securitySchemes": {
                "token": {"type": "apiKey", "in": "header", "name": "X-Offbus-Token"},
                "bearer": {"type": "http", "scheme": "bearer"},
            },
        },
    }


def _operation(endpoint: Endpoint) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "summary": endpoint.summary,
        "operationId": endpoint.run.__name__.strip("_"),
        "parameters": _parameters(endpoint),
        "responses": {
            **{str(status): _content("The response.", endpoint.answer) for status in endpoint.statuses},
            "default": _content(_REFUSALS, ErrorAnswer),
        },
    }
    if endpoint.body is not None:
        operation["requestBody"] = {"required": True, **_content(None, endpoint.body)}
    if not endpoint.anybodys:
        operation["security"] = [{"token": []}, {"bearer": []}]
    return operation


def _parameters(endpoint: Endpoint) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    if "{id}" in endpoint.path:
        found.append({"name": "id", "in": "path", "required": True, "schema": {"type": "string"}})
    if endpoint.polls:
        found.append(
            {"name": "since", "in": "query", "schema": {"type": "integer", "minimum": 0, "default": 0}}
        )
        wait = {"type": "number", "minimum": 0, "maximum": LONGEST_WAIT_S, "default": 0}
        found.append({"name": "wait_s", "in": "query", "schema": wait})
    return found


def _content(description: str | None, model: type[BaseModel]) -> dict[str, Any]:
    content = {
        "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{model.__name__}"}}}
    }
    return content if description is None else {"description": description, **content}
