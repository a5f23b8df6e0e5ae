"""What the agent answers instead of doing something: one exception, with the HTTP status that it becomes.

Every refusal has a stable `code`, says what and why in `message`, and what to do in `hint`. `detail` holds
facts for programs (the other fault, the plane, records already written); it never holds secrets.
"""

from collections.abc import Mapping
from typing import Any

__all__ = ["Refusal"]


class Refusal(Exception):
    """Raised where a request cannot be fulfilled; the server turns it into `{"error": {...}}`."""

    def __init__(self, status: int, code: str, message: str, hint: str = "", **detail: Any) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.hint = hint
        self.detail: Mapping[str, Any] = detail

    def body(self) -> dict[str, Any]:
        """The answer's JSON."""
        return {"error": {"code": self.code, "message": self.message, "hint": self.hint, **self.detail}}
