"""Client requests: the supported parts of OpenAI's chat and completion requests, checked.

Unknown fields are ignored, as servers do. A bad request is `RequestError` with OpenAI's error shape and
status. Field names and meanings: OpenAI API reference, chat and completions. Must not: generate.
"""

import re
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

__all__ = ["Job", "RequestError", "job_of"]

MAX_TOKENS = 4096
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


class RequestError(Exception):
    """Raised for a request that cannot be served."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status

    @property
    def body(self) -> dict[str, Any]:
        """OpenAI's error object."""
        kind = "NotFoundError" if self.status == 404 else "BadRequestError"
        return {"error": {"message": str(self), "type": kind, "param": None, "code": self.status}}


class _StreamOptions(BaseModel):
    include_usage: bool = False


class _Common(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)
    model: str
    stream: bool = False
    stream_options: _StreamOptions | None = None
    max_tokens: int | None = Field(default=None, ge=1, le=MAX_TOKENS)
    n: int | None = Field(default=1, ge=1, le=1)


class _Message(BaseModel):
    role: str
    content: str | list[dict[str, Any]] | None = None


class _Chat(_Common):
    messages: list[_Message] = Field(min_length=1)
    max_completion_tokens: int | None = Field(default=None, ge=1, le=MAX_TOKENS)


class _Completion(_Common):
    prompt: str


@dataclass(frozen=True, slots=True)
class Job:
    """A parsed request."""

    kind: str
    """"chat" or "completion"."""
    id: str
    model: str
    prompt: str
    tokens: int
    stream: bool
    include_usage: bool
    start: int
    """Position to continue from: a frontend that moves a broken request asks only for the rest."""

    @property
    def usage(self) -> dict[str, int]:
        """OpenAI's usage object of the whole answer; a prompt's tokens are its words."""
        prompt = len(self.prompt.split())
        return {
            "prompt_tokens": prompt,
            "completion_tokens": self.tokens,
            "total_tokens": prompt + self.tokens,
        }


def job_of(kind: str, body: bytes, *, model: str, default_tokens: int, request_id: str, start: str) -> Job:
    """From the body of a request of a kind ("chat" or "completion"). Raises RequestError."""
    shape: type[_Chat | _Completion] = _Chat if kind == "chat" else _Completion
    try:
        given = shape.model_validate_json(body)
    except ValidationError as err:
        first = err.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "body"
        raise RequestError(f"{where}: {first['msg']}") from err
    if isinstance(given, _Chat):
        prompt = "\n".join(f"{message.role}: {_text(message)}" for message in given.messages)
        tokens = given.max_completion_tokens or given.max_tokens or default_tokens
    else:
        prompt, tokens = given.prompt, given.max_tokens or default_tokens
    if given.model != model:
        raise RequestError(f"The model `{given.model}` does not exist; this worker serves `{model}`.", 404)
    if not _ID.fullmatch(request_id):
        raise RequestError("X-Request-Id must be 1 to 64 letters, digits, - or _.")
    if not (start.isascii() and start.isdigit() and len(start) <= 9 and int(start) <= tokens):
        raise RequestError("X-Offbus-Continue-From must be a position within the answer.")
    usage = given.stream_options is not None and given.stream_options.include_usage
    return Job(kind, request_id, model, prompt, tokens, given.stream, usage, int(start))


def _text(message: _Message) -> str:
    """The text content; of a list of parts, the text parts."""
    if isinstance(message.content, list):
        return " ".join(str(part.get("text", "")) for part in message.content if part.get("type") == "text")
    return message.content or ""
