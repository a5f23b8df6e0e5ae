"""Text with meaning instead of colour: what reports and views are made of, whatever the terminal.

A line is a list of spans; a tone says what a span means. Colour never carries a meaning alone: a tone always comes
with a word or a glyph. A span may hold text from outside: both formats make every line safe to print
(offbus.printable). Pure.
"""

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import NamedTuple

from offbus.printable import printable

__all__ = ["Line", "Span", "Tone", "coloured", "line", "plain"]


class Tone(StrEnum):
    """What a span means."""

    PLAIN = "plain"
    STRONG = "strong"
    GOOD = "good"
    BAD = "bad"
    CAUTION = "caution"
    DIM = "dim"


class Span(NamedTuple):
    """A piece of a line."""

    text: str
    tone: Tone = Tone.PLAIN


Line = Sequence[Span]
"""One line, without its line end."""

ANSI = {Tone.STRONG: "1", Tone.GOOD: "32", Tone.BAD: "1;31", Tone.CAUTION: "33", Tone.DIM: "2"}
"""SGR parameters (ECMA-48, 8.3.117); the eight basic colours, which every theme keeps readable."""


def line(*parts: str | Span | tuple[str, Tone]) -> Line:
    """A line from plain text and spans."""
    return [Span(part) if isinstance(part, str) else Span(*part) for part in parts]


def plain(lines: Iterable[Line]) -> str:
    """The text alone, each line ended."""
    return "".join(printable("".join(span.text for span in one)).rstrip() + "\n" for one in lines)


def coloured(lines: Iterable[Line]) -> str:
    """The text with ANSI colours, each line ended."""
    return "".join("".join(map(_paint, one)) + "\n" for one in lines)


def _paint(span: Span) -> str:
    code, text = ANSI.get(span.tone), printable(span.text)
    return f"\x1b[{code}m{text}\x1b[0m" if code and text else text
