"""Whatever a target answers is an answer: good or not, and never an error of ours."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from offbus_steps.inference_client.requests import Question, ask, model_of
from offbus_steps.port import PortError, Ref
from offbus_steps.text_lines import lines_of

TARGET = Ref("Service", "web", "drill")
SMALL = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)
KEYS = st.sampled_from(["choices", "error", "finish_reason", "delta", "data", "id", "x"])
JSON = st.recursive(
    SMALL, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4)
)


class Reply:
    """An answer that is there at once."""

    def __init__(self, body: bytes, status: int = 200) -> None:
        self.status = status
        self.headers: Mapping[str, str] = {}
        self._body = body

    async def pieces(self) -> AsyncIterator[bytes]:
        yield self._body

    def lines(self) -> AsyncIterator[str]:
        return lines_of(self.pieces())

    async def read(self) -> bytes:
        return self._body


class Answering:
    """Traffic to a target that always answers so."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    @asynccontextmanager
    async def stream(self, *_to: Any, **_how: Any) -> AsyncIterator[Reply]:
        yield Reply(self._body)


def asked(body: bytes, *, stream: bool) -> bool:
    """Whether the answer was good."""
    question = Question("m", "hello", 1, stream)
    return anyio.run(ask, Answering(body), TARGET, 80, question, 1.0).outcome.good


@given(JSON)
def test_any_json_is_an_answer(found: Any) -> None:
    body = json.dumps(found)
    assert asked(body.encode(), stream=False) in (True, False)
    assert asked(f"data: {body}\n\ndata: [DONE]\n\n".encode(), stream=True) in (True, False)


@given(st.binary(max_size=40))
def test_any_bytes_are_an_answer_that_is_not_good(body: bytes) -> None:
    assert not asked(body, stream=False)
    assert not asked(b"data: " + body + b"\n\n", stream=True)


class NamelessError(Exception):
    """The one error that is meant: it names what was asked."""


async def named_by(target: Answering) -> str:
    try:
        return await model_of(target, TARGET, 80, 1.0)
    except PortError as err:
        if "/v1/models" in err.message:
            raise NamelessError from err
        raise


@given(JSON)
def test_any_list_of_models_gives_a_name_or_a_clear_error(found: Any) -> None:
    target = Answering(json.dumps(found).encode())
    with suppress(NamelessError):
        assert isinstance(anyio.run(named_by, target), str)


GOOD = {"choices": [{"finish_reason": "stop"}]}


@pytest.mark.parametrize(
    ("answer", "good"),
    [
        (GOOD, True),
        ({"choices": []}, False),
        ({"choices": "stop"}, False),
        ({"choices": [1]}, False),
        ({"choices": [{"finish_reason": "error"}]}, False),
        ({"choices": {"finish_reason": "stop"}}, False),
        ({**GOOD, "error": {"message": "worker died"}}, False),
    ],
    ids=json.dumps,
)
def test_what_a_good_answer_is(answer: Any, *, good: bool) -> None:
    assert asked(f"data: {json.dumps(answer)}\n\n".encode(), stream=True) is good
    assert asked(json.dumps(answer).encode(), stream=False) is good


def test_a_separator_inside_a_text_does_not_break_an_event() -> None:
    event = json.dumps(
        {"choices": [{"delta": {"content": "a\u2028b\x85c"}, "finish_reason": "stop"}]}, ensure_ascii=False
    )
    assert asked(f"data: {event}\n\n".encode(), stream=True)


DEEP = b"[" * 100_000
"""json.loads raises RecursionError for it."""


def test_an_answer_that_is_nested_deeply_is_not_good() -> None:
    assert not asked(DEEP, stream=False)
    assert not asked(b"data: " + DEEP + b"\n\n", stream=True)
    with pytest.raises(PortError, match="/v1/models"):
        anyio.run(model_of, Answering(DEEP), TARGET, 80, 1.0)
