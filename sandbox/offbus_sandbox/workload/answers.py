"""What the worker sends back: OpenAI's chat and completion objects and their streamed chunks. Pure.

Shapes: OpenAI API reference, the chat completion object, the chat completion chunk object, the completion
object.
"""

import json
import time
from collections.abc import Mapping
from typing import Any

from offbus_sandbox.workload.requests import Job

__all__ = ["DONE", "Answer", "sse"]

DONE = "data: [DONE]\n\n"


def sse(data: Mapping[str, Any]) -> str:
    """One server-sent event."""
    return f"data: {json.dumps(data, separators=(',', ':'))}\n\n"


class Answer:
    """The objects of one request's answer; every token ends in a space but the last."""

    def __init__(self, job: Job) -> None:
        self._job = job
        chat = job.kind == "chat"
        self._head: Mapping[str, Any] = {
            "id": f"{'chatcmpl' if chat else 'cmpl'}-{job.id}",
            "created": int(time.time()),
            "model": job.model,
        }
        self._chat = chat

    def whole(self, text: str) -> dict[str, Any]:
        """The answer in one piece."""
        said = {"message": {"role": "assistant", "content": text}} if self._chat else {"text": text}
        choice = {"index": 0, **said, "finish_reason": "length"}
        kind = "chat.completion" if self._chat else "text_completion"
        return {**self._head, "object": kind, "choices": [choice], "usage": self._job.usage}

    def opening(self) -> str:
        """The first chunk of a chat, which only names the role; completions have none."""
        return self._chunk({"role": "assistant", "content": ""}, None) if self._chat else ""

    def piece(self, position: int, token: str) -> str:
        """The chunk of one token."""
        text = token if position + 1 == self._job.tokens else f"{token} "
        return self._chunk({"content": text}, None) if self._chat else self._text_chunk(text, None)

    def closing(self) -> str:
        """The chunk that tells why it ends, the usage if it was asked for, and the end mark."""
        last = self._chunk({}, "length") if self._chat else self._text_chunk("", "length")
        return last + self._usage() + DONE

    def _usage(self) -> str:
        if not self._job.include_usage:
            return ""
        return sse({**self._head, "object": self._kind, "choices": [], "usage": self._job.usage})

    @property
    def _kind(self) -> str:
        return "chat.completion.chunk" if self._chat else "text_completion"

    def _chunk(self, delta: Mapping[str, str], finish: str | None) -> str:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return sse({**self._head, "object": self._kind, "choices": [choice]})

    def _text_chunk(self, text: str, finish: str | None) -> str:
        choice = {"index": 0, "text": text, "finish_reason": finish}
        return sse({**self._head, "object": self._kind, "choices": [choice]})
