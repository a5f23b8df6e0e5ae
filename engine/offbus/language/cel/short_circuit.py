"""`&&` and `||` from left to right, as people read them.

CEL's own are commutative: `unset && false` is false, `unset || true` is true. An output that was never set must be an
error and never false (design.md, section 3), yet `steps.a.outcome == "passed" && steps.a.outputs.x > 1` must be fine
when `a` was skipped. So when a name has no value, the conditions are evaluated one by one, and the first error counts.
"""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

from offbus.language.cel.lexer import Token, tokens

__all__ = ["Condition", "evaluate", "split"]


class Condition(NamedTuple):
    """A part of a boolean expression; a leaf has no parts."""

    kind: Literal["or", "and", "not", "leaf"]
    text: str
    parts: tuple["Condition", ...] = ()


def evaluate(condition: Condition, leaf: Callable[[str], bool]) -> bool:
    """Left to right; what `leaf` raises passes through."""
    if condition.kind == "leaf":
        return leaf(condition.text)
    if condition.kind == "not":
        return not evaluate(condition.parts[0], leaf)
    return (any if condition.kind == "or" else all)(evaluate(part, leaf) for part in condition.parts)


def split(text: str) -> Condition:
    """An expression's conditions. A `?:` is left whole: CEL evaluates it in order already."""
    return _split(text, tokens(text))


def _split(text: str, found: Sequence[Token]) -> Condition:
    while len(found) > 2 and found[0].text == "(" and _closes(found, 0) == len(found) - 1:
        found = found[1:-1]
    source = text[found[0].start : found[-1].end] if found else text
    if any(token.text == "?" for token in _top_level(found)):
        return Condition("leaf", source)
    for operator, kind in (("||", "or"), ("&&", "and")):
        parts = _parts(found, operator)
        if len(parts) > 1:
            return Condition(
                "or" if kind == "or" else "and", source, tuple(_split(text, part) for part in parts)
            )
    if (
        len(found) > 2
        and found[0].text == "!"
        and found[1].text == "("
        and _closes(found, 1) == len(found) - 1
    ):
        return Condition("not", source, (_split(text, found[1:]),))
    return Condition("leaf", source)


def _parts(found: Sequence[Token], operator: str) -> list[Sequence[Token]]:
    """Split at an operator outside all brackets."""
    parts, start = [], 0
    at_top = {token.start for token in _top_level(found)}
    for n, token in enumerate(found):
        if token.text == operator and token.kind == "other" and token.start in at_top:
            parts.append(found[start:n])
            start = n + 1
    return [*parts, found[start:]]


def _top_level(found: Sequence[Token]) -> list[Token]:
    depth, top = 0, []
    for token in found:
        if token.kind == "other" and token.text in ")]}":
            depth -= 1
        if depth == 0:
            top.append(token)
        if token.kind == "other" and token.text in "([{":
            depth += 1
    return top


def _closes(found: Sequence[Token], at: int) -> int:
    """The index of the bracket that closes the one at `at`; -1 if none does."""
    depth = 0
    for n in range(at, len(found)):
        if found[n].kind == "other":
            depth += (found[n].text in "([{") - (found[n].text in ")]}")
        if depth == 0:
            return n
    return -1
