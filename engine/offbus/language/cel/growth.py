"""How large the values can get that an expression makes, told before it is evaluated.

The CEL library bounds how deep an expression nests and how often it loops, not what it makes: `a+a+a+a` inside a dozen
`map`s is a text of gigabytes, and somebody else's scenario is evaluated when it is only looked at. So an upper bound is
computed from the expression's tokens and the sizes of the values that it names; what may exceed it is not evaluated.

Sizes are in units: one for each character, and `LEAF` for each value, list and mapping besides. They are bounds, never
estimates: operators of every kind are taken to join what they stand between, a comprehension to use its largest item
each time. What makes new values is charged: `+`, a list, a mapping, a conversion to text, and a comprehension's body
once for each item (CEL's macros: github.com/google/cel-spec, langdef, "Macros"). Only texts that the library compiled
are read here, so they are in order, and nest no deeper than it allows (32). Pure.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from offbus.language.cel.lexer import KEYWORDS, Token

__all__ = ["LEAF", "MOST", "MOST_TOGETHER", "SMALL", "Budget", "Size", "TooLargeError", "cost", "measure"]

LEAF = 16
MOST = 1 << 24
"""Units that one expression may make: a text of 16 MiB, or a list of a million numbers."""
MOST_TOGETHER = 1 << 26
"""Units that the expressions of one file may make that are evaluated when it is loaded: it keeps their values."""
MACROS = frozenset(("all", "exists", "exists_one", "map", "filter"))
SCALAR = frozenset((
    "bool", "contains", "double", "duration", "endsWith", "has", "int", "matches", "seconds", "size", "startsWith",
    "timestamp", "type", "uint",
))  # fmt: skip
"""Functions whose value is small whatever they are given; of others it is taken to be all that they are given."""
READERS = frozenset(("max", "min", "quantile"))
"""Ours, whose value is small: but each call makes a Python object of all that it is given (`arithmetic`)."""


class TooLargeError(ValueError):
    """Raised when an expression may make too much; the message says so."""


class Budget:
    """What the expressions of a file, in all cells of its matrix, may still make together."""

    def __init__(self) -> None:
        self._remaining = MOST_TOGETHER
        self.spent = False
        """Whether something was refused: what comes after it need not be told."""
        self.tried = 0
        """Other values of inputs that the file's texts were tried with."""

    def charge(self, made: int) -> None:
        """Take it from what is left. Raises TooLargeError when there is not enough."""
        if made > self._remaining:
            self.spent = True
            raise TooLargeError(
                f"this file's expressions over inputs may make more than {MOST_TOGETHER} characters or items together"
            )
        self._remaining -= made


class Size(NamedTuple):
    """Of a value: how many items a comprehension over it has, how large the largest is, and how large it is itself."""

    items: int
    item: int
    whole: int

    @property
    def inside(self) -> "Size":
        """Of anything in it: an item, a field."""
        return Size(self.item // LEAF, self.item, self.item)


SMALL = Size(1, LEAF, LEAF)
"""Of a number, a boolean or a duration."""


def measure(value: Any) -> Size:
    """The size of a value that an expression names."""
    if isinstance(value, str | bytes):
        return Size(1, LEAF, LEAF + len(value))
    if isinstance(value, Mapping):
        return _of(measure(key).whole + measure(item).whole for key, item in value.items())
    if isinstance(value, Collection):
        return _of(measure(item).whole for item in value)
    return SMALL


def _of(items: Any) -> Size:
    sizes = list(items)
    return Size(len(sizes), max(sizes, default=0), LEAF + sum(sizes))


def cost(
    found: Sequence[Token], names: Mapping[str, Size], functions: Mapping[str, Size] | None = None
) -> int:
    """The units that an expression may make, its value among them. Raises TooLargeError.

    `names` are the sizes of the declared names that have a value, `functions` those of what packages' functions give.
    """
    reader = _Reader(found, names, functions or {})
    return reader.expression({}).whole + reader.made


class _Reader:
    """Reads an expression once from left to right; `made` is what it may have made so far."""

    def __init__(
        self, found: Sequence[Token], names: Mapping[str, Size], functions: Mapping[str, Size]
    ) -> None:
        self.made = 0
        self._found, self._names, self._functions, self._at = found, names, functions, 0

    def expression(self, local: Mapping[str, Size]) -> Size:
        """Up to a comma or a closing bracket, or the end."""
        items = item = whole = 0
        joins = False
        while (text := self._next()) not in ("", ",", ")", "]", "}"):
            if self._found[self._at].kind == "other" and text not in ("(", "[", "{"):
                joins = text == "+"
                self._at += 1
                continue
            if text == "in":
                self._at += 1
                continue
            value = self._operand(local)
            items, item, whole = items + value.items, max(item, value.item), whole + value.whole
            if joins:
                self._make(whole)
        return Size(items, item, whole)

    def _next(self) -> str:
        return self._found[self._at].text if self._at < len(self._found) else ""

    def _make(self, units: int) -> None:
        self.made += units
        if self.made > MOST:
            raise TooLargeError(f"it may make more than {MOST} characters or items")

    def _list(self, local: Mapping[str, Size]) -> list[Size]:
        """The expressions between two brackets; a mapping's `key: value` is one."""
        sizes = []
        self._at += 1
        while self._next() not in (")", "]", "}"):
            sizes.append(self.expression(local))
            self._at += self._next() == ","
        self._at += 1
        return sizes

    def _operand(self, local: Mapping[str, Size]) -> Size:
        token = self._found[self._at]
        if token.text == "(":
            value = _together(self._list(local))
        elif token.text in ("[", "{"):
            value = self._literal(local)
        elif token.kind == "name" and token.text not in KEYWORDS:
            value = self._name(local)
        else:
            self._at += 1
            value = SMALL if token.kind == "number" else Size(1, LEAF, LEAF + len(token.text))
        return self._behind(value, local)

    def _literal(self, local: Mapping[str, Size]) -> Size:
        value = _of(size.whole for size in self._list(local))
        self._make(value.whole)
        return value

    def _name(self, local: Mapping[str, Size]) -> Size:
        """A function with its arguments, a comprehension's variable, or the longest declared name."""
        first = self._found[self._at].text
        self._at += 1
        if self._next() == "(":
            return self._call(first, Size(0, 0, 0), local)
        if first in local:
            return local[first]
        value, path, at = SMALL, first, self._at
        while True:
            if path in self._names:
                value, self._at = self._names[path], at
            if (
                at + 1 >= len(self._found)
                or self._found[at].text != "."
                or self._found[at + 1].kind != "name"
            ):
                return value
            path, at = f"{path}.{self._found[at + 1].text}", at + 2

    def _behind(self, value: Size, local: Mapping[str, Size]) -> Size:
        """What follows an operand: fields, indexes, methods, and the fields of a message."""
        while (text := self._next()) in (".", "[", "{"):
            if text == "[":
                self._list(local)
                value = value.inside
            elif text == "{":
                made = self._literal(local)
                value = Size(made.whole // LEAF, made.whole, made.whole)
            else:
                name = self._found[self._at + 1].text
                self._at += 2
                value = self._call(name, value, local) if self._next() == "(" else value.inside
        return value

    def _call(self, name: str, target: Size, local: Mapping[str, Size]) -> Size:
        if name in MACROS and target.whole:
            return self._macro(name, target, local)
        given = _together([target, *self._list(local)])
        if name in SCALAR:
            return SMALL
        if name in READERS:
            self._make(given.whole)
            return SMALL
        if name in self._functions:
            given = self._functions[name]
        self._make(given.whole)
        return given

    def _macro(self, name: str, target: Size, local: Mapping[str, Size]) -> Size:
        self._at += 1
        while self._next() == "(":  # the library takes `(a)` for `a` here
            self._at += 1
        variable = self._next()
        self._at += 1
        while self._next() == ")":
            self._at += 1  # ends at the comma, which begins the list of what is left
        before, self.made = self.made, 0
        body = self._list({**local, variable: target.inside})
        once, self.made = self.made, before
        self._make(target.items * max(1, once))
        if name == "map":
            value = Size(target.items, body[-1].whole, LEAF + target.items * body[-1].whole)
            self._make(value.whole)
            return value
        return target if name == "filter" else SMALL


def _together(sizes: Sequence[Size]) -> Size:
    return Size(
        sum(size.items for size in sizes),
        max((size.item for size in sizes), default=0),
        sum(size.whole for size in sizes),
    )
