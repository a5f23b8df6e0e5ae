"""What is wrong with a scenario, and where.

A `Finding` says what, where, why and what to do. Everything that reads a scenario collects findings and continues, so
that all of them are shown at once.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from offbus.findings.codes import Code

__all__ = ["MOST", "Edit", "Finding", "Position", "Severity", "TooManyFindings", "in_order"]


MOST = 10_000
"""Findings of a file. Each costs time and memory, and nobody reads more: a file of two MiB could have a million."""


class TooManyFindings(Exception):
    """Raised when a file has MOST findings: the rest of it is not looked at."""


class Severity(StrEnum):
    """Whether a finding stops the scenario."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A range in a file, from (line, column) up to but not including the end; all count from 1, columns in characters.

    Line 0 means the whole of `file`, which may also be a piece of the command line ("--set rows=x").
    """

    file: str
    line: int = 0
    column: int = 0
    end_line: int = 0
    end_column: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file


@dataclass(frozen=True, slots=True)
class Edit:
    """A change of a file: `text` instead of what is in the range `where`, which has a line."""

    where: Position
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong."""

    code: Code
    message: str
    """What and why, one sentence without full stop."""
    where: Position
    hint: str | None = None
    """What to do, or what is allowed."""
    suggestion: str | None = None
    """What was probably meant: replaces the text at `where`."""
    frame: str | None = None
    """The source line at `where`."""
    severity: Severity = Severity.ERROR
    fix: Edit | None = None
    """The change that is certain to be what was meant; `offbus validate --fix` makes it. What may be meant in two ways
    has a hint or a suggestion instead."""

    def to_json(self) -> dict[str, Any]:
        """As `offbus validate --format json` prints it; keys are stable."""
        where = self.where
        return {
            "code": self.code.value,
            "severity": self.severity.value,
            "message": self.message,
            "hint": self.hint,
            "suggestion": self.suggestion,
            "file": where.file,
            **_range(where),
            "fix": None if self.fix is None else _edit(self.fix),
        }


def _edit(edit: Edit) -> dict[str, Any]:
    return {**_range(edit.where), "text": edit.text}


def _range(where: Position) -> dict[str, int]:
    return {
        "line": where.line,
        "column": where.column,
        "end_line": where.end_line,
        "end_column": where.end_column,
    }


def in_order(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Sorted by position, without exact repeats; what has no line comes first."""
    unique = dict.fromkeys(findings)
    return tuple(sorted(unique, key=lambda f: (f.where.file, f.where.line, f.where.column, f.code)))
