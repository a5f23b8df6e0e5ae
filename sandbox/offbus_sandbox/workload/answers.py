"""The worker's responses: OpenAI's chat and completion objects and their streamed chunks. Pure.

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
    """The objects of one request's answer; every token except the last ends in a space."""

    def __init__(self, job: Job) -> None:
        self._job = job
        chat = job.kind == "chat"
        self._head: Mapping[str, Any] = {
            "id": f"{'chatcmpl' if chat else 'cmpl'}-{job.id}",
            "created": int(time.time()),
            "model": job.model,
        }
        self._chat = chat
        self._kind = "chat.completion.chunk" if chat else "text_completion"

    def whole(self, text: str) -> dict[str, Any]:
        """The answer in one piece."""
        said = {"message": {"role": "assistant", "content": text}} if self._chat else {"text": text}
        choice = {"index": 0, **said, "finish_reason": "length"}
        kind = "chat.completion" if self._chat else "text_completion"
        return {**self._head, "object": kind, "choices": [choice], "usage": self._job.usage}

    def opening(self) -> str:
        """The first chunk of a chat, with only the role; completions have none."""
        return self._chunk({"delta": {"role": "assistant", "content": ""}}, None) if self._chat else ""

    def piece(self, position: int, token: str) -> str:
        """The chunk of one token."""
        text = token if position + 1 == self._job.tokens else f"{token} "
        return self._chunk({"delta": {"content": text}} if self._chat else {"text": text}, None)

    def closing(self) -> str:
        """The chunk with the finish reason, the usage if requested, and the end mark."""
        last = self._chunk({"delta": {}} if self._chat else {"text": ""}, "length")
        usage = {**self._head, "object": self._kind, "choices": [], "usage": self._job.usage}
        return last + (sse(usage) if self._job.include_usage else "") + DONE

    def _chunk(self, said: Mapping[str, Any], finish: str | None) -> str:
        choice = {"index": 0, **said, "finish_reason": finish}
        return sse({**self._head, "object": self._kind, "choices": [choice]})
