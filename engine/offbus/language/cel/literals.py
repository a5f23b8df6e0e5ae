"""Literal texts that CEL's own functions refuse when they are evaluated, as `duration("1d")`: found at load.

The library types a call by its operands, and a text is a text. So each call of a conversion whose only operand is a
literal, and each pattern that is one, is evaluated once by itself, with nothing else in it.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from offbus.durations import parse_duration
from offbus.findings.codes import Code
from offbus.language.cel import error_text
from offbus.language.cel.lexer import Token
from offbus.language.cel.trouble import Trouble

__all__ = ["refused"]

CONVERSIONS = frozenset({"bool", "double", "duration", "int", "timestamp", "uint"})
PATTERN = "matches"
HINTS = {
    "duration": 'its units are h, m, s, ms, us and ns: duration("36h")',
    "timestamp": 'write it as in RFC 3339: timestamp("2026-01-31T12:00:00Z")',
    PATTERN: "a pattern is a regular expression of RE2",
}


def refused(found: Sequence[Token], environment: Any) -> Iterator[Trouble]:
    """What is wrong with the literals of an expression that compiles in this environment of the library."""
    for at, (name, opens, literal, closes) in enumerate(
        zip(found, found[1:], found[2:], found[3:], strict=False)
    ):
        method = at > 0 and found[at - 1].text == "."
        if (opens.text, closes.text, literal.kind) != ("(", ")", "string"):
            continue
        if name.text in CONVERSIONS and not method:
            called = f"{name.text}({literal.text})"
        elif name.text == PATTERN and method:
            called = f'"".{PATTERN}({literal.text})'
        else:
            continue
        result = environment.compile(called).eval(data={})
        if result.type().name() == "ERROR":
            why = error_text.of_error(str(result))
            yield Trouble(
                Code.NOT_EVALUABLE,
                f"{name.text}({literal.text[:80]}) has no value: {why}",
                literal.start,
                len(literal.text),
                HINTS.get(name.text),
                _in_units_of_cel(literal.text) if name.text == "duration" else None,
            )


def _in_units_of_cel(literal: str) -> str | None:
    """A duration as the rest of a scenario has it, days and all, by CEL's units: a literal; None for what is none."""
    try:
        seconds = parse_duration(literal.strip("\"'")).total_seconds()
    except ValueError:
        return None
    hours, rest = divmod(seconds, 3600)
    return f'"{seconds:g}s"' if rest else f'"{hours:.0f}h"'
