"""What an API server's refusal means: HTTP status and `Status` object to the port's errors, with the wait it asks for.

Codes: Kubernetes API conventions, "HTTP Status codes". `Retry-After` is in whole seconds there; what stands before a
server (a load balancer, a proxy) may send a date (RFC 9110, 10.2.3). A 429 with the cause `DisruptionBudget` is an
eviction that a budget does not allow; any other 429 is the server limiting its load (priority and fairness), and
nothing was done.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

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

__all__ = ["error_of", "status_in"]

BY_CODE: Mapping[int, type[PortError]] = {
    400: Invalid,
    401: Forbidden,
    403: Forbidden,
    404: NotFound,
    405: Invalid,
    406: Invalid,
    409: Conflict,
    410: Gone,
    413: Invalid,
    415: Invalid,
    422: Invalid,
}
HINTS: Mapping[int, str] = {
    401: "the credentials are invalid or have expired: log in again, or choose another context",
    403: "run `offbus plan` to see the missing permissions; deploy/ has the roles",
}
LONGEST_WAIT_S = 60.0
BUDGET = "DisruptionBudget"
"""`status.details.causes[].reason` of an eviction that a budget does not allow."""


def status_in(body: bytes) -> dict[str, Any] | None:
    """The `Status` object of the API server; None when the body is not one."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if isinstance(found, dict) and found.get("kind") == "Status" and found.get("apiVersion") == "v1":
        return found
    return None


def error_of(code: int, status: Mapping[str, Any] | None, retry_after: str | None, doing: str) -> PortError:
    """The port's error for a refusal. `doing` names the call; evidence holds status and reason."""
    status = status or {}
    message = f"{doing}: {status.get('message') or f'HTTP {code}'}"
    evidence = {"status": code, "reason": str(status.get("reason", ""))}
    if code == 429 or code >= 500:
        details = status.get("details") or {}
        seconds = _wait_s(retry_after or details.get("retryAfterSeconds"))
        by_budget = any(one.get("reason") == BUDGET for one in details.get("causes") or ())
        kind = TooManyDisruptions if by_budget else Unavailable
        return kind(message, after=timedelta(seconds=seconds), evidence=evidence)
    return BY_CODE.get(code, PortError)(message, hint=HINTS.get(code), evidence=evidence)


def _wait_s(said: Any) -> float:
    """How long to wait, at most a minute; 0 for what is neither a number of seconds nor a date."""
    try:
        asked = float(int(said))
    except (TypeError, ValueError):
        try:
            asked = (parsedate_to_datetime(str(said)) - datetime.now(UTC)).total_seconds()
        except (TypeError, ValueError):  # no date, or one without its zone
            return 0
    return max(0.0, min(asked, LONGEST_WAIT_S))
