"""The agent's refusals: one exception, with its HTTP status.

Every refusal has a stable `code`, what and why in `message`, and what to do in `hint`. `detail` has facts for programs
(the other fault, the plane, records already written), never secrets.
"""

from collections.abc import Mapping
from typing import Any

__all__ = ["Refusal"]


class Refusal(Exception):
    """Raised when a request cannot be fulfilled; the server turns it into `{"error": {...}}`."""

    def __init__(self, status: int, code: str, message: str, hint: str = "", **detail: Any) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.hint = hint
        self.detail: Mapping[str, Any] = detail

    def body(self) -> dict[str, Any]:
        """The response's JSON."""
        return {"error": {"code": self.code, "message": self.message, "hint": self.hint, **self.detail}}
