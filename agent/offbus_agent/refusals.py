"""Refusals of an HTTP interface: one exception, with its HTTP status, and its body by RFC 9457.

Every refusal has a stable `code`, what and why in `message`, and what to do in `hint`. `detail` has facts for programs
(the other fault, the plane, records already written), never secrets.
"""

from collections.abc import Mapping
from typing import Any

__all__ = ["MEDIA_TYPE", "PROBLEM_TYPE", "Refusal", "helper_away", "problem"]

MEDIA_TYPE = "application/problem+json"

PROBLEM_TYPE = "https://offbus.dev/problems/"
"""Before the code, as `type`: it names the kind of problem, and nobody has to fetch it."""


class Refusal(Exception):
    """Raised when a request cannot be fulfilled; the server turns it into a problem (application/problem+json)."""

    def __init__(self, status: int, code: str, message: str, hint: str = "", **detail: Any) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.hint = hint
        self.detail: Mapping[str, Any] = detail

    def body(self) -> dict[str, Any]:
        """The response's JSON."""
        return problem(self.status, self.code, self.message, self.hint, **self.detail)


def problem(status: int, code: str, message: str, hint: str = "", **detail: Any) -> dict[str, Any]:
    """A problem of RFC 9457: its own members first, then ours (`code`, `hint`), then the facts."""
    return {
        "type": PROBLEM_TYPE + code,
        "title": code.replace("_", " "),
        "status": status,
        "detail": message,
        "code": code,
        "hint": hint,
        **detail,
    }


def helper_away(why: Exception) -> Refusal:
    """The 503 for what only the kernel-log helper can tell, while it cannot be asked."""
    return Refusal(503, "helper_away", str(why), "look at the log of the agent's container `kmsg-helper`")
