"""Requests that schemathesis makes of an OpenAPI document, sent to a real server; every answer is as the document says.

Requests are those that the document allows and those that it does not, in turns, the same ones each time. An answer
has a documented status, media type, headers and shape, and is no 5xx but a 501 that the document promises.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

import httpx
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

__all__ = ["check_operation", "labels"]

CHECKS = (
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
)
EXAMPLES = 20
MODES = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)


def labels(document: Mapping[str, Any]) -> list[str]:
    """The operations, as "GET /health"."""
    return [f"{method.upper()} {path}" for path, item in document["paths"].items() for method in item]


def check_operation(
    document: Mapping[str, Any],
    label: str,
    base_url: str,
    headers: Mapping[str, str],
    *,
    given_path: Mapping[str, Any] | None = None,
    sent: Callable[[httpx.Response], None] = lambda _response: None,
) -> None:
    """Send requests of one operation to the server at `base_url`. Raises what schemathesis finds.

    `given_path` are values of the path's parameters for every other request: nobody finds the id of a fault by chance.
    """
    schema = schemathesis.openapi.from_dict(json.loads(json.dumps(document)))
    [operation] = [one.ok() for one in schema.get_all_operations() if one.ok().label == label]
    strategies = [operation.as_strategy(mode) for mode in MODES]
    if given_path:
        strategies += [operation.as_strategy(mode, path_parameters=dict(given_path)) for mode in MODES]

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=(Phase.explicit, Phase.generate),
        suppress_health_check=list(HealthCheck),
    )
    @given(case=st.one_of(strategies))
    def play(case: Any) -> None:
        response = case.call(base_url=base_url, headers=dict(headers), timeout=60)
        promised = response.status_code == 501 and "501" in case.operation.definition.raw["responses"]
        assert response.status_code < 500 or promised, f"{response.status_code}: {response.text}"
        case.validate_response(response, checks=CHECKS)

    play()
