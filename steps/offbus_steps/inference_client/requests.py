"""The requests that a run sends to its target: one way to ask, one rule of what a good answer is.

A good answer is HTTP 200 with a finish_reason and no error event: Dynamo reports a worker's death inside a stream
that began with 200 and ends with [DONE] (reference/dynamo-local.md), so status alone proves nothing. A failure of the
*path* (API server proxy, socket) is a path error and never a failed request.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from offbus_steps.inference_client.statistics import Outcome
from offbus_steps.node_clock import now_ns
from offbus_steps.port import NotFound, PortError, Ref, StreamingReply, Traffic, Unavailable

__all__ = ["Answers", "Asked", "Question", "ask", "model_of"]

CHAT = "/v1/chat/completions"
MODELS = "/v1/models"


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, in OpenAI's shape."""

    model: str
    prompt: str
    max_tokens: int
    stream: bool

    def body(self) -> dict[str, Any]:
        """The JSON body of a chat completion."""
        return {
            "model": self.model,
            "messages": [{"role": "user", "content": self.prompt}],
            "max_tokens": self.max_tokens,
            "stream": self.stream,
        }


@dataclass(frozen=True, slots=True)
class Asked:
    """What came of one request."""

    outcome: Outcome
    why: str
    """Why it was not good: status, error event, or how the connection broke; "" when it was."""
    status: int
    """The HTTP status; 0 when none came."""


@dataclass(slots=True)
class Answers:
    """All frontend answers of the run, in the order in which they ended; shared by the steps that ask."""

    ended: list[Outcome] = field(default_factory=list)
    model: str = ""
    """The model that the target lists, once it is known."""
    first_good_in: str = ""
    """The newest fault since which one was answered well."""
    failed_in: str = ""
    """The newest fault in which a request failed."""
    answered_in: str = ""
    """The newest fault in which one was answered well after that."""

    def since(self, begun_ns: int) -> list[Outcome]:
        """Counted requests (path errors left out) that ended after `begun_ns`."""
        return [one for one in self.ended if one.ended_ns >= begun_ns and not one.path_error]


async def ask(traffic: Traffic, to: Ref, port: int, question: Question, timeout_s: float) -> Asked:
    """Ask once. Never raises for what the target or the path does; that is the answer."""
    begun = now_ns()
    why, path_error, status = "", False, 0
    try:
        async with traffic.stream(
            to, "POST", CHAT, port=port, json=question.body(), timeout=timeout_s
        ) as reply:
            status = reply.status
            why = await _flaw(reply, streamed=question.stream)
    except Unavailable as err:
        why, path_error = err.message, True
    except PortError as err:
        why = err.message
    return Asked(Outcome(begun, now_ns(), not why, path_error), why, status)


async def model_of(traffic: Traffic, to: Ref, port: int, timeout_s: float) -> str:
    """The first model that the target lists; "" when it lists none. Raises PortError, Unavailable."""
    async with traffic.stream(to, "GET", MODELS, port=port, timeout=timeout_s) as reply:
        body = await reply.read()
    if reply.status == 404:
        raise NotFound(f"{to} does not serve {MODELS}")
    try:
        listed = json.loads(body)["data"]
        return str(listed[0]["id"]) if listed else ""
    except (ValueError, KeyError, TypeError, IndexError) as err:
        raise PortError(f"{to} answered {MODELS} with {body[:100]!r}") from err


async def _flaw(reply: StreamingReply, *, streamed: bool) -> str:
    """What is wrong with the answer; "" for nothing."""
    if reply.status != 200:
        body = await reply.read()
        return f"HTTP {reply.status}: {body[:200].decode(errors='replace')}"
    return await _stream_flaw(reply) if streamed else _body_flaw(await reply.read())


def _body_flaw(body: bytes) -> str:
    try:
        answer = json.loads(body)
    except ValueError:
        return f"the answer is not JSON: {body[:100]!r}"
    return "" if _finished(answer) else _error_of(answer) or "the answer has no finish_reason"


async def _stream_flaw(reply: StreamingReply) -> str:
    finished = False
    async for line in reply.lines():
        data = line.removeprefix("data:").strip()
        if not line.startswith("data:") or data == "[DONE]":
            continue
        try:
            event = json.loads(data)
        except ValueError:
            return f"an event is not JSON: {data[:100]!r}"
        if error := _error_of(event):
            return error
        finished = finished or _finished(event)
    return "" if finished else "the stream ended without a finish_reason"


def _finished(answer: Mapping[str, Any]) -> bool:
    choices = answer.get("choices") if isinstance(answer, Mapping) else None
    return bool(choices) and all(one.get("finish_reason") not in (None, "error") for one in choices or ())


def _error_of(answer: Any) -> str:
    error = answer.get("error") if isinstance(answer, Mapping) else None
    return f"error in the answer: {json.dumps(error)[:200]}" if error else ""
