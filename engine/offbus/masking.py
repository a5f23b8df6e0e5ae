r"""Keeps the values of a run's secrets out of everything that is told and written, however somebody else repeats them.

A program that a step sends a secret to may send it back, log it, or put it into an object that is watched. It rarely
does so letter by letter: JSON escapes it, once or twice, a URL percent-encodes it, HTML and Python's `repr` have their
own spellings, `Basic` is base64. So value and text are compared as both read without escapes:

    \x, \\x    \u0078, \U00000078    \x78    %78, %2578, + for a space    &#120;, &#x78;, &amp;#120;, &quot;

and the value's base64 is looked for, too. Occurrences may overlap, as those of two secrets of which one begins the
other: what any of them covers is left out. A run has one `Masking`; `Context.secret` has it learn what was read. What a
program changed in another way (hashed, cut, in capitals) is not found.
"""

import base64
import re
import sys
from bisect import bisect_right
from collections.abc import Iterator
from typing import NamedTuple

__all__ = ["HIDDEN", "Masking"]

HIDDEN = "(a secret)"
SHORTEST_LINE = 8
"""Characters of a line that is masked without the others of its value: a log has the lines of a key one by one."""
STANDS_ALONE = 8
"""Characters; a shorter value is left out only where no letter or digit is beside it, or a log would lose every `1`."""
ROUNDS = 3
"""Escapes within escapes, where those are of different kinds."""
LONGEST_SPELLING = 16
"""Characters of a spelling of one character, where a long text is read part by part."""
_ESCAPED = re.compile(
    r"""\\+(?:u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|u\{([0-9a-fA-F]{1,6})\}|x([0-9a-fA-F]{2}))?"""
    r"""|((?:%(?:25)*[0-9a-fA-F]{2})+)|&(?:amp;)*(#[0-9]{1,7};|#[xX][0-9a-fA-F]{1,6};|[a-zA-Z]{2,8};)"""
)
_ESCAPES = re.compile(r"[\\%&]")


class _Reading(NamedTuple):
    """A text without escapes, and of each of its parts, in turn: where it begins, and where it stands with escapes."""

    text: str
    begins: list[int]
    origins: list[tuple[int, int]]


class Masking:
    """The secrets of one run, as far as they were read."""

    def __init__(self) -> None:
        self._values: dict[str, str] = {}
        """What is looked for, and how it reads without escapes."""
        self.unknown: frozenset[str] = frozenset()
        """Secret inputs whose values others may repeat, and this process never read: it recovers another one's run."""

    @property
    def knows_any(self) -> bool:
        """Whether there is anything to leave out."""
        return bool(self._values)

    def learn(self, value: str) -> None:
        """Leave this value out from now on."""
        if value in self._values:
            return
        lines = {line.strip() for line in value.splitlines()}
        whole = {value, value.strip()} | {line for line in lines if len(line) >= SHORTEST_LINE}
        for one in (whole | {code for text in whole for code in _base64(text)}) - {""}:
            self._values[one] = _read(one)[-1].text.replace("+", " ")

    def text(self, text: str) -> str:
        """The text without them."""
        pieces: list[str] = []
        at = 0
        for start, end in sorted(self.spans(text)):
            if start > at or not pieces:
                pieces += (text[at:start], HIDDEN)
            at = max(at, end)
        return "".join([*pieces, text[at:]]) if pieces else text

    def json(self, value: object) -> object:
        """A JSON value whose texts are without them; the keys of objects stay."""
        if isinstance(value, dict):
            return {key: self.json(inner) for key, inner in value.items()}
        if isinstance(value, list | tuple):
            return [self.json(inner) for inner in value]
        return self.text(value) if isinstance(value, str) else value

    def spans(self, text: str, start: int = 0, end: int | None = None) -> Iterator[tuple[int, int]]:
        """Where they stand, of those that begin in this part of the text; in no order, and they may overlap."""
        if not self._values or not text:
            return
        end = len(text) if end is None else end
        part = text[start : end + LONGEST_SPELLING * max(map(len, self._values))]
        readings = _read(part)
        compared = readings[-1].text.replace("+", " ")
        for value, plain in self._values.items():
            found = {*_occurrences(value, part)}
            found |= {_origin(readings, one) for one in _occurrences(plain, compared)}
            yield from ((start + begin, start + stop) for begin, stop in found if start + begin < end)


def _base64(value: str) -> Iterator[str]:
    """What any base64 has that this value is a part of: it may begin at the first, second or third byte of a group."""
    raw = value.encode(errors="surrogatepass")
    for before in range(3):
        # Characters that have bits of other bytes, at the beginning and the end, are not the value's own.
        own = slice((0, 2, 3)[before], (len(raw) + before) * 8 // 6)
        code = base64.b64encode(b"\0" * before + raw)[own].decode()
        if len(code) >= STANDS_ALONE:
            yield code
            yield code.translate({ord("+"): "-", ord("/"): "_"})


def _read(text: str) -> list[_Reading]:
    """The text as it is; without escapes; and without those that it has then."""
    readings = [_Reading(text, [0], [(0, len(text))])]
    while len(readings) <= ROUNDS and _ESCAPES.search(readings[-1].text) is not None:
        readings.append(_without_escapes(readings[-1].text))
    return readings


def _without_escapes(text: str) -> _Reading:
    pieces: list[str] = []
    begins, origins, at, length = [], [], 0, 0
    for found in (*_ESCAPED.finditer(text), None):
        start, end = (len(text), len(text)) if found is None else found.span()
        meant = "" if found is None else _meant(found)
        for piece, origin in ((text[at:start], (at, start)), (meant, (start, end))):
            if piece:
                pieces.append(piece)
                begins.append(length)
                origins.append(origin)
                length += len(piece)
        at = end
    return _Reading("".join(pieces), begins, origins)


def _origin(readings: list[_Reading], span: tuple[int, int]) -> tuple[int, int]:
    """Where something stands in the text as it was first, that stands there in its last reading."""
    start, end = span
    for one in reversed(readings[1:]):
        first, last = bisect_right(one.begins, start) - 1, bisect_right(one.begins, end - 1) - 1
        start, end = _within(one, first, start)[0], _within(one, last, end - 1)[1]
    return start, end


def _within(reading: _Reading, part: int, at: int) -> tuple[int, int]:
    """Where a character stands with escapes: of an escape, all of it."""
    begin, (start, end) = reading.begins[part], reading.origins[part]
    size = (reading.begins[part + 1] if part + 1 < len(reading.begins) else len(reading.text)) - begin
    return (start + at - begin, start + at - begin + 1) if size == end - start else (start, end)


def _occurrences(value: str, text: str) -> Iterator[tuple[int, int]]:
    at = text.find(value) if value else -1
    while at >= 0:
        end = at + len(value)
        beside = f"{text[at - 1 : at]}{text[end : end + 1]}"
        if len(value) >= STANDS_ALONE or not any(one.isalnum() for one in beside):
            yield at, end
        at = text.find(value, end)


def _meant(found: re.Match[str]) -> str:
    """What an escape stands for; backslashes before what is no code stand for nothing."""
    *numbers, percent, entity = found.groups()
    if percent is not None:
        raw = bytes.fromhex(re.sub("%(?:25)*(?=[0-9a-fA-F]{2})", "", percent))
        try:
            return raw.decode()
        except UnicodeDecodeError:
            return raw.decode("latin-1")
    if entity is not None:
        import html  # only here: its table of names takes a while

        return html.unescape(f"&{entity}")
    number = int(next((one for one in numbers if one), "0"), 16)
    return chr(number) if 0 < number <= sys.maxunicode else ""
