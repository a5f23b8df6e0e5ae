"""Tokens of a CEL expression, as far as names and operators go (CEL's grammar: github.com/google/cel-spec, langdef).

The CEL library parses and types expressions. This finds which dotted names occur where, so that exactly those are
declared, and so that a finding about one has its position. Text that is not CEL gives some tokens; the
library refuses it later.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

__all__ = ["KEYWORDS", "Chain", "Token", "chains", "tokens"]

KEYWORDS = frozenset({
    "as", "break", "const", "continue", "else", "false", "for", "function", "if", "import",
    "in", "let", "loop", "null", "package", "namespace", "return", "true", "var", "void", "while",
})  # fmt: skip
"""CEL's literals, its one operator that is a word, and its reserved words: none of them can be a name."""

Kind = Literal["string", "number", "name", "other"]

_KINDS: Mapping[str, Kind] = {"string": "string", "number": "number", "name": "name", "other": "other"}

_TOKEN = re.compile(
    r"""
    (?P<comment> //[^\n]* )
  | (?P<string> [rRbB]{0,2} (?:
        \"\"\" (?:\\.|[^\\])*? \"\"\" | ''' (?:\\.|[^\\])*? '''
      | "(?:\\.|[^"\\\n])*" | '(?:\\.|[^'\\\n])*' ) )
  | (?P<number> 0x[0-9a-fA-F]+u? | [0-9]*\.[0-9]+(?:[eE][-+]?[0-9]+)? | [0-9]+(?:[eE][-+]?[0-9]+|[uU])? )
  | (?P<name> [A-Za-z_][A-Za-z0-9_]* )
  | (?P<other> && | \|\| | [=!<>]= | \S )
    """,
    re.VERBOSE | re.DOTALL | re.ASCII,
)


class Token(NamedTuple):
    """A piece of an expression; `start` counts characters from 0."""

    kind: Kind
    text: str
    start: int

    @property
    def end(self) -> int:
        """One past its last character."""
        return self.start + len(self.text)


class Chain(NamedTuple):
    """A dotted name, `a.b.c`, without the method that is called on it."""

    parts: tuple[str, ...]
    start: int
    end: int
    inside_has: bool

    @property
    def path(self) -> str:
        """Spelt with dots and no spaces."""
        return ".".join(self.parts)


def tokens(text: str) -> tuple[Token, ...]:
    """All tokens but comments and spaces."""
    return tuple(
        Token(kind, match[0], match.start())
        for match in _TOKEN.finditer(text)
        if (kind := _KINDS.get(match.lastgroup or "")) is not None
    )


def chains(found: Sequence[Token]) -> Iterator[Chain]:
    """The dotted names in an expression, functions and methods left out."""
    at = 0
    while at < len(found):
        if found[at].kind != "name" or (at and found[at - 1].text == ".") or found[at].text in KEYWORDS:
            at += 1
            continue
        first, parts = at, [found[at]]
        while at + 2 < len(found) and found[at + 1].text == "." and found[at + 2].kind == "name":
            at += 2
            parts.append(found[at])
        at += 1
        if at < len(found) and found[at].text == "(":
            parts.pop()
        if parts:
            inside_has = first >= 2 and found[first - 1].text == "(" and found[first - 2].text == "has"
            yield Chain(tuple(p.text for p in parts), parts[0].start, parts[-1].end, inside_has)
