"""What is wrong with an expression, before it has a position in a file."""

from typing import NamedTuple

from offbus.findings.codes import Code

__all__ = ["Trouble"]


class Trouble(NamedTuple):
    """What is wrong with an expression, and where in its text (characters from 0)."""

    code: Code
    message: str
    start: int = 0
    length: int = 1
    hint: str | None = None
    suggestion: str | None = None
