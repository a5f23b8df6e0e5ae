"""The OpenAPI 3.1 document, generated from the endpoint table and the models."""

from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from offbus_agent.http.budget import READY
from offbus_agent.http.endpoints import ENDPOINTS, LONGEST_WAIT_S, Endpoint
from offbus_agent.http.idempotency import KEY_PATTERN
from offbus_agent.models import FaultEvent, Problem, Ready
from offbus_agent.refusals import MEDIA_TYPE

__all__ = ["agent_document", "content", "document", "idempotency_key", "problem_content", "schemas_of"]

_SECURITY: list[dict[str, list[str]]] = [{"token": []}, {"bearer": []}]
_ANYBODYS = (429,)
"""Problems of every operation: too many requests without the token."""
_GUARDED = (401, 503)
"""And of those that need one: it is missing, or the node has none."""
_WITH_BODY = (408, 413, 422)
_WITH_KEY = (409, 422)


def agent_document() -> dict[str, Any]:
    """The document of this version, as it is committed below schemas/."""
    from importlib.metadata import version

    return document(version("offbus"))


def document(version: str) -> dict[str, Any]:
    """The document, as JSON values."""
    models = {endpoint.answer for endpoint in ENDPOINTS} | {e.body for e in ENDPOINTS if e.body}
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in ENDPOINTS:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint)
    paths[READY] = {"get": _readiness()}
    paths["/events"] = {"get": _events()}
    return {
        "openapi": "3.1.0",
        "info": {"title": "offbus node agent", "version": version, "license": {"name": "Apache-2.0"}},
        "paths": paths,
        "components": {
            "schemas": schemas_of(models | {Problem, Ready, FaultEvent}),
            "securitySchemes": {
                "token": {"type": "apiKey", "in": "header", "name": "X-Offbus-Token"},
                "bearer": {"type": "http", "scheme": "bearer"},
            },
        },
    }


def schemas_of(models: Iterable[type[BaseModel]]) -> dict[str, Any]:
    """The models and all that they use, by name."""
    _, schema = models_json_schema(
        [(model, "serialization") for model in sorted(models, key=lambda model: model.__name__)],
        ref_template="#/components/schemas/{model}",
    )
    found: dict[str, Any] = schema["$defs"]
    return found


def _operation(endpoint: Endpoint) -> dict[str, Any]:
    writes = endpoint.method != "GET"
    problems = {*_ANYBODYS, *endpoint.refusals}
    problems |= set() if endpoint.anybodys else set(_GUARDED)
    problems |= set(_WITH_BODY) if endpoint.body else set()
    problems |= set(_WITH_KEY) if writes else set()
    operation: dict[str, Any] = {
        "summary": endpoint.summary,
        "operationId": endpoint.run.__name__.strip("_"),
        "parameters": _parameters(endpoint),
        "responses": {
            **{str(status): content("The response.", endpoint.answer) for status in endpoint.statuses},
            **problem_content(problems),
        },
    }
    if endpoint.body is not None:
        operation["requestBody"] = {"required": True, **content(None, endpoint.body)}
    if not endpoint.anybodys:
        operation["security"] = _SECURITY
    return operation


def _readiness() -> dict[str, Any]:
    return {
        "summary": "Whether the agent can do its work, and why not: for probes, never refused as one too many.",
        "operationId": "ready",
        "responses": {
            "200": content("It can; `why` says what else does not work.", Ready),
            "503": content("It cannot.", Ready),
            **problem_content({429}),
        },
    }


def _events() -> dict[str, Any]:
    last = {
        "name": "Last-Event-ID",
        "in": "header",
        "description": "The id of the last event that was read; without one, what happens from now on.",
        "schema": {"type": "string"},
    }
    text = (
        "Server-sent events: `event` is the kind, `data` a FaultEvent with the id of its `fault`, as JSON. "
        "`gap` says that some were missed. The stream ends by itself after some time; connect again."
    )
    schema = {"type": "string"}
    return {
        "summary": "What happens to the node's faults, as it happens.",
        "operationId": "stream",
        "parameters": [last],
        "responses": {
            "200": {"description": text, "content": {"text/event-stream": {"schema": schema}}},
            **problem_content({*_ANYBODYS, *_GUARDED}),
        },
        "security": _SECURITY,
    }


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
    if endpoint.query is not None:
        for name, schema in endpoint.query.model_json_schema()["properties"].items():
            found.append({"name": name, "in": "query", "schema": schema})
    if endpoint.method != "GET":
        found.append(idempotency_key())
    return found


def idempotency_key() -> dict[str, Any]:
    """The parameter of every write."""
    return {
        "name": "Idempotency-Key",
        "in": "header",
        "description": "A write that is sent again with the same key and body is answered again, not done again.",
        "schema": {"type": "string", "pattern": KEY_PATTERN},
    }


def problem_content(statuses: Iterable[int]) -> dict[str, Any]:
    """The responses of problems, by status."""
    schema = {"$ref": f"#/components/schemas/{Problem.__name__}"}
    return {
        str(status): {"description": HTTPStatus(status).phrase, "content": {MEDIA_TYPE: {"schema": schema}}}
        for status in sorted(statuses)
    }


def content(description: str | None, model: type[BaseModel]) -> dict[str, Any]:
    """A body or a response of a model."""
    schema = {"$ref": f"#/components/schemas/{model.__name__}"}
    found = {"content": {"application/json": {"schema": schema}}}
    return found if description is None else {"description": description, **found}
