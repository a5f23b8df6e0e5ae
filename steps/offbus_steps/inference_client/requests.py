"""The requests that a run sends to its target: what counts as a good answer, a failed request, or the path's failure.

A good answer is HTTP 200 with a finish_reason and no error event: Dynamo reports a worker's death inside a stream
that began with 200 and ends with [DONE] (reference/dynamo-local.md), so status alone proves nothing. A failure of the
*path* (API server proxy, socket) is a path error and never a failed request.
"""

import json
from collections.abc import Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from offbus.json_values import has_more_values
from offbus_steps.inference_client.statistics import Outcome
from offbus_steps.node_clock import now_ns
from offbus_steps.port import NotFound, PortError, Ref, StreamingReply, Traffic, Unavailable

__all__ = ["Answers", "Asked", "Question", "ask", "model_of"]

CHAT = "/v1/chat/completions"
MODELS = "/v1/models"
LONGEST_MODEL = 256
"""Characters of a model's name: every request carries it."""
NOT_JSON = (ValueError, RecursionError)
"""What reading it raises: the second for what is nested too deeply."""
MOST_VALUES = 50_000
"""In an answer, or in an event of a stream: a mebibyte of empty lists takes some 20 MB, and as many milliseconds."""


@dataclass(frozen=True, slots=True)
class Question:
    """A chat completion request of OpenAI's API."""

    model: str
    prompt: str
    max_tokens: int
    stream: bool
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    hide: Callable[[str], str] = field(default=str, repr=False)
    """Takes secrets out of a text about an answer, before it is cut: a target may send back what it was sent."""


@dataclass(frozen=True, slots=True)
class Asked:
    """The result of one request."""

    outcome: Outcome
    why: str
    """Why it was not good: status, error event, or connection error; "" when it was good."""
    status: int
    """The HTTP status; 0 without one."""


@dataclass(slots=True)
class Answers:
    """All answers of one target's frontend in a run, in the order in which they ended; shared by the steps that ask."""

    ended: list[Outcome] = field(default_factory=list)
    model: str = ""
    """The model that the target lists, once known."""
    first_good_in: str = ""
    """The newest fault after which a request was answered well."""
    failed_in: str = ""
    """The newest fault in which a request failed."""
    answered_in: str = ""
    """The newest fault in which a request was answered well after a failure."""
    looked_behind: bool = False
    """Whether it was looked for others that answer the target's clients."""

    def since(self, begun_ns: int) -> list[Outcome]:
        """Counted requests (without path errors) that ended after `begun_ns`."""
        return [one for one in self.ended if one.ended_ns >= begun_ns and not one.path_error]


async def ask(traffic: Traffic, to: Ref, port: int, question: Question, timeout_s: float) -> Asked:
    """Send one request. Never raises for what the target or the path does; that is in the result."""
    body = {
        "model": question.model,
        "messages": [{"role": "user", "content": question.prompt}],
        "max_tokens": question.max_tokens,
        "stream": question.stream,
    }
    begun = now_ns()
    why, path_error, status = "", False, 0
    try:
        async with traffic.stream(
            to, "POST", CHAT, port=port, json=body, headers=question.headers, timeout=timeout_s
        ) as reply:
            status = reply.status
            why = await _flaw(reply, question)
    except Unavailable as err:
        why, path_error = question.hide(err.message), True
    except PortError as err:
        why = question.hide(err.message)
    return Asked(Outcome(begun, now_ns(), not why, path_error), why, status)


async def model_of(
    traffic: Traffic, to: Ref, port: int, timeout_s: float, question: Question | None = None
) -> str:
    """The first model that the target lists; "" when it lists none. Raises PortError, Unavailable.

    It is asked with the headers of the question, and nothing of their secrets is told.
    """
    headers = question.headers if question is not None else None
    hide = question.hide if question is not None else str
    async with traffic.stream(to, "GET", MODELS, port=port, headers=headers, timeout=timeout_s) as reply:
        body = await reply.read()
    if reply.status == 404:
        raise NotFound(f"{to} does not serve {MODELS}")
    try:
        listed = _read(body)["data"]
        named = hide(str(listed[0]["id"])) if listed else ""
    except (*NOT_JSON, KeyError, TypeError, IndexError) as err:
        raise PortError(f"{to} answered {MODELS} with {hide(body.decode(errors='replace'))[:100]!r}") from err
    if len(named) > LONGEST_MODEL:
        raise PortError(f"{to} names a model with {len(named)} characters, more than {LONGEST_MODEL}")
    return named


async def _flaw(reply: StreamingReply, question: Question) -> str:
    """What is wrong with the answer; "" for nothing."""
    hide = question.hide
    if reply.status != 200:
        body = await reply.read()
        return f"HTTP {reply.status}: {hide(body.decode(errors='replace'))[:200]}"
    if question.stream:
        finished = False
        async with aclosing(reply.lines()) as lines:
            async for line in lines:
                data = line.removeprefix("data:").strip()
                if not line.startswith("data:") or data == "[DONE]":
                    continue
                try:
                    event = _read(data)
                except NOT_JSON:
                    return f"an event is not JSON: {hide(data)[:100]!r}"
                if error := _error_of(event, hide):
                    return error
                finished = finished or _finished(event)
        return "" if finished else "the stream ended without a finish_reason"
    body = await reply.read()
    try:
        answer = _read(body)
    except NOT_JSON:
        return f"the answer is not JSON: {hide(body.decode(errors='replace'))[:100]!r}"
    return _error_of(answer, hide) or ("" if _finished(answer) else "the answer has no finish_reason")


def _read(text: str | bytes) -> Any:
    """The JSON value. Raises NOT_JSON, also for more than MOST_VALUES values, which are not read."""
    raw = text.encode() if isinstance(text, str) else text
    if has_more_values(raw, MOST_VALUES):
        raise ValueError(f"it has more than {MOST_VALUES} values")
    return json.loads(text)


def _finished(answer: Any) -> bool:
    choices = answer.get("choices") if isinstance(answer, Mapping) else None
    if not isinstance(choices, list) or not all(isinstance(one, Mapping) for one in choices):
        return False
    return bool(choices) and all(one.get("finish_reason") not in (None, "error") for one in choices)


def _error_of(answer: Any, hide: Callable[[str], str]) -> str:
    error = answer.get("error") if isinstance(answer, Mapping) else None
    return f"error in the answer: {hide(json.dumps(error))[:200]}" if error else ""
