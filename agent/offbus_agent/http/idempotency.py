"""Idempotency keys: a write that is sent again under the same key is answered again, and not done again.

Job: keep what was answered to a key (header `Idempotency-Key`), as the IETF's draft says
(draft-ietf-httpapi-idempotency-key-header): the same key with another request is 422, one whose first request is still
going on is 409. What the caller should try again (408, 429, 5xx) is not kept. Bounded in number and in bytes: the
oldest answers go, and with the process all of them. A fault's own id protects it beyond that.
"""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from hashlib import sha256
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from offbus_agent.refusals import Refusal

__all__ = ["HEADER", "KEY_PATTERN", "REPLAYED", "Answers", "asked_of"]

HEADER = "idempotency-key"
REPLAYED = "idempotency-replayed"
"""Set to "true" in an answer that is given again."""
KEY_PATTERN = "^[!-~]{1,255}$"
MOST = 1024
MOST_BYTES = 4 << 20
_TRY_AGAIN = (408, 429)


@dataclass(slots=True)
class _Answer:
    """What was asked under a key; `status` is 0 while it is not answered."""

    asked: bytes
    status: int = 0
    body: bytes = b""
    media_type: str | None = None

    def response(self) -> Response:
        return Response(self.body, self.status, {REPLAYED: "true"}, self.media_type)


def asked_of(request: Request, raw: bytes, caller: str = "") -> bytes:
    """What tells a request from another: who asks, the method, path and query as they were sent, and the body."""
    sent = request.scope  # not its URL: that takes a path with an encoded `?` for one with a query
    head = (quote(caller).encode(), request.method.encode(), sent["raw_path"], sent["query_string"])
    return b"\n".join((*head, raw))


class Answers:
    """The answers of one server, by key."""

    def __init__(self, most: int = MOST, most_bytes: int = MOST_BYTES) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._known: dict[str, _Answer] = {}
        """Oldest first."""

    async def once(self, key: str | None, asked: bytes, make: Callable[[], Awaitable[Response]]) -> Response:
        """The answer that `make` makes, or has made before. Raises Refusal 409, 422, and what `make` raises."""
        if key is None:
            return await make()
        known = self._found(key, sha256(asked).digest())
        if known is not None:
            return known.response()
        mine = self._known[key] = _Answer(sha256(asked).digest())
        try:
            response = await make()
        except BaseException:
            self._known.pop(key, None)
            raise
        self._keep(key, mine, response)
        return response

    def _found(self, key: str, asked: bytes) -> _Answer | None:
        if not re.match(KEY_PATTERN, key):
            raise Refusal(422, "invalid_key", "Idempotency-Key is no text of 1 to 255 printable characters")
        known = self._known.get(key)
        if known is None:
            return None
        if known.asked != asked:
            what = "this Idempotency-Key was sent before, with another request"
            raise Refusal(422, "key_reused", what, "use a new key for each request")
        if not known.status:
            what = "the first request with this Idempotency-Key is not answered yet"
            raise Refusal(409, "key_in_use", what, "wait for its answer, or ask again later", retry_after_s=1)
        return known

    def _keep(self, key: str, answer: _Answer, response: Response) -> None:
        body = bytes(response.body)
        if response.status_code in _TRY_AGAIN or response.status_code >= 500 or len(body) > self._most_bytes:
            self._known.pop(key, None)
            return
        answer.status, answer.body, answer.media_type = response.status_code, body, response.media_type
        while len(self._known) > self._most or self._bytes() > self._most_bytes:
            oldest = next((one for one, known in self._known.items() if known.status), None)
            if oldest is None:  # what is being done is not forgotten, however much it is
                return
            del self._known[oldest]

    def _bytes(self) -> int:
        return sum(len(known.body) for known in self._known.values())
