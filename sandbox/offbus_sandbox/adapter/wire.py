"""The port's wire format between adapter and supervisor: paths and errors, one table for both ends.

Paths are Kubernetes' own (`/api/v1/…`, `/apis/GROUP/VERSION/…`). An error is Kubernetes' `Status` object with the
`reason` below; the adapter raises the very class that the supervisor raised.
"""

from collections.abc import Mapping
from typing import Any

from offbus_steps.kinds import ApiResource
from offbus_steps.port import (
    Conflict,
    Forbidden,
    Gone,
    Invalid,
    NotFound,
    PortError,
    TooManyDisruptions,
    Unavailable,
)

__all__ = ["AGENT_PATH", "CONTROL_PATH", "REFUSED", "error_of", "resource_path", "status_of"]

AGENT_PATH = "/api/v1/nodes/{node}/proxy/agent/{path}"
"""A node's agent, through the node proxy."""
CONTROL_PATH = "/sandbox"
"""The sandbox itself."""
REFUSED = "x-offbus-refused"
"""Header of the proxy's own responses, to tell them from an agent's."""

REASONS: Mapping[str, tuple[int, type[PortError]]] = {
    "NotFound": (404, NotFound),
    "Conflict": (409, Conflict),
    "Expired": (410, Gone),
    "Invalid": (422, Invalid),
    "Forbidden": (403, Forbidden),
    "TooManyRequests": (429, TooManyDisruptions),
    "ServiceUnavailable": (503, Unavailable),
    "InternalError": (500, PortError),
}
"""Kubernetes' reasons (`metav1.StatusReason`), their HTTP codes, and the port's errors."""


def resource_path(resource: ApiResource, namespace: str = "", name: str = "") -> str:
    """The path of all objects of a kind, in one namespace or ("") in all; with `name`, that of one object."""
    root = "apis" if "/" in resource.api_version else "api"  # the core group has a root of its own
    scope = f"/namespaces/{namespace}" if namespace else ""
    one = f"/{name}" if name else ""
    return f"/{root}/{resource.api_version}{scope}/{resource.plural}{one}"


def status_of(err: PortError) -> dict[str, Any]:
    """The `Status` object for an error."""
    known = ((reason, code) for reason, (code, error) in REASONS.items() if type(err) is error)
    reason, code = next(known, ("InternalError", 500))
    body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": err.message}
    return {**body, "reason": reason, "code": code, "details": {"hint": err.hint} if err.hint else {}}


def error_of(status: Mapping[str, Any]) -> PortError:
    """The error that a `Status` object represents."""
    _, error = REASONS.get(str(status.get("reason")), (500, PortError))
    details = status.get("details") or {}
    return error(str(status.get("message", "the supervisor gave no reason")), hint=details.get("hint"))
