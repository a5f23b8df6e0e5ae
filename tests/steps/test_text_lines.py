"""Lines of a stream: what ends a line is a line feed, whatever else a text holds and however it is cut into pieces."""

from collections.abc import AsyncIterator

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from offbus_steps.text_lines import LONGEST, LineTooLong, lines_of

ODD = st.text(alphabet="a \r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029é", max_size=12)
"""All that Python's str.splitlines takes for the end of a line, but for the line feed."""


async def in_pieces(body: bytes, cuts: list[int]) -> AsyncIterator[bytes]:
    at = 0
    for cut in sorted(cut % (len(body) + 1) for cut in cuts):
        yield body[at:cut]
        at = cut
    yield body[at:]


def read(body: bytes, cuts: list[int]) -> list[str]:
    async def all_of_them() -> list[str]:
        return [line async for line in lines_of(in_pieces(body, cuts))]

    return anyio.run(all_of_them)


@given(st.lists(ODD.map(lambda text: text.rstrip("\r"))), st.lists(st.integers(0, 10_000)))
def test_lines_are_read_as_they_were_written(lines: list[str], cuts: list[int]) -> None:
    assert read("".join(f"{line}\n" for line in lines).encode(), cuts) == lines


@given(st.lists(st.integers(0, 100)))
def test_carriage_returns_before_a_line_feed_belong_to_the_line_end(cuts: list[int]) -> None:
    assert read(b"data: 1\r\n\r\ndata: 2\r\n", cuts) == ["data: 1", "", "data: 2"]


def test_the_last_line_may_lack_its_end() -> None:
    assert read(b"one\ntwo", [2]) == ["one", "two"]


def test_bytes_that_are_no_text_do_not_break_the_rest() -> None:
    assert read(b"\xff\xfe\nok\n", []) == ["\ufffd\ufffd", "ok"]


def test_a_line_without_an_end_is_not_collected_for_ever() -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 65536

    async def first() -> str:
        return await anext(aiter(lines_of(endless())))

    with pytest.raises(LineTooLong, match=f"{LONGEST} bytes"):
        anyio.run(first)
