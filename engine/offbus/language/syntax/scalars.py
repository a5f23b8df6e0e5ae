"""What a plain (unquoted) YAML scalar means.

YAML 1.1 and 1.2 read some plain scalars differently: `on` is true or text, `010` is eight or ten, `1:30` is ninety or
text. Editors check with 1.2, PyYAML reads 1.1, people mean a third thing. So only what all agree on is accepted;
the rest is an `Ambiguous`, whose text says how to write either meaning.
"""

import math
import re
from typing import NamedTuple

from offbus.findings.codes import Code

__all__ = ["Ambiguous", "Scalar", "resolve", "resolve_or_text"]

Scalar = str | int | float | bool | None

_INT = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_HEX = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+)([eE][-+]?[0-9]+)?")
_OCTAL = re.compile(r"[-+]?0[0-9_]+|0o[0-7]+")
_BINARY = re.compile(r"[-+]?0b[01_]+")
_SEXAGESIMAL = re.compile(r"[-+]?([1-9][0-9_]*(:[0-5]?[0-9])+|[0-9][0-9_]*(:[0-5]?[0-9])+\.[0-9_]*)")
_UNDERSCORES = re.compile(r"[-+]?(0x[0-9a-fA-F_]+|[0-9][0-9_]*(\.[0-9_]*)?([eE][-+]?[0-9]+)?)")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_WORDS: dict[str, Scalar] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip
_BOOLEANS = {"yes": "true", "on": "true", "no": "false", "off": "false"}
_LONGEST_NUMBER = 40
"""Characters. No number here needs more, and reading a long one costs quadratic time."""


class Ambiguous(NamedTuple):
    """A plain scalar that versions of YAML read differently."""

    code: Code
    why: str
    hint: str


def resolve(text: str) -> Scalar | Ambiguous:
    """The value of a plain scalar."""
    if text in _WORDS:
        return _WORDS[text]
    first = text[0]
    if first in "0123456789+-.":
        return _number(text)
    if first in "yYnNoO" and text.lower() in _BOOLEANS:
        meant = _BOOLEANS[text.lower()]
        return Ambiguous(
            Code.OLD_BOOLEAN,
            f"YAML 1.1 reads {text} as {meant}, YAML 1.2 as text",
            f'write "{text}" for the text, or {meant}',
        )
    return text


def resolve_or_text(text: str) -> Scalar:
    """The value of a plain scalar; the text itself where versions of YAML differ."""
    found = resolve(text)
    return text if isinstance(found, Ambiguous) else found


def _number(text: str) -> Scalar | Ambiguous:
    if len(text) > _LONGEST_NUMBER:
        return text
    if _INT.fullmatch(text):
        return int(text)
    if _HEX.fullmatch(text):
        return int(text, 16)
    ambiguous = _ambiguous(text)
    if ambiguous is not None:
        return ambiguous
    if _FLOAT.fullmatch(text):
        value = float(text)
        return (
            value
            if math.isfinite(value)
            else Ambiguous(
                Code.AMBIGUOUS_NUMBER, f"{text} is too large for a double", "write a smaller number"
            )
        )
    return text


def _ambiguous(text: str) -> Ambiguous | None:
    quote = f'write "{text}" for the text'
    if _OCTAL.fullmatch(text):
        return Ambiguous(
            Code.AMBIGUOUS_NUMBER,
            f"{text} looks octal: versions of YAML read it differently",
            f"{quote}, or the number without the leading 0",
        )
    if _BINARY.fullmatch(text):
        return Ambiguous(
            Code.AMBIGUOUS_NUMBER,
            f"{text} looks binary: versions of YAML read it differently",
            f"{quote}, or the number in decimal",
        )
    if _SEXAGESIMAL.fullmatch(text):
        return Ambiguous(
            Code.AMBIGUOUS_NUMBER,
            f"YAML 1.1 reads {text} in base 60, YAML 1.2 as text",
            f"{quote}, or a duration such as 90s",
        )
    if "_" in text and _UNDERSCORES.fullmatch(text):
        return Ambiguous(
            Code.AMBIGUOUS_NUMBER,
            f"YAML 1.1 reads {text} as a number, YAML 1.2 as text",
            f"{quote}, or the number without _",
        )
    if _NOT_FINITE.fullmatch(text):
        return Ambiguous(
            Code.AMBIGUOUS_NUMBER, f"{text} is not a finite number", f"{quote}, or a finite number"
        )
    return None
