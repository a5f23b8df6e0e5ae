"""What is wrong with a scenario, and where: stable codes, one shape, one way to print them.

A `Finding` says what, where, why and what to do. Everything that reads a scenario collects findings and goes on, so
that all of them are shown at once; `InvalidScenario` carries them, sorted by place. This module prints to nowhere.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from itertools import islice
from typing import Any

from offbus.errors import UsageError

__all__ = [
    "CODES",
    "Finding",
    "InvalidScenario",
    "Position",
    "Severity",
    "closest",
    "in_order",
    "render",
    "wants_colour",
]

CODES: Mapping[str, str] = {
    # reading YAML
    "OB100": "the file is not UTF-8, or holds control characters",
    "OB101": "the file is too large",
    "OB102": "the file is not YAML",
    "OB103": "an unquoted ${{ }} inside {…} or […]",
    "OB104": "a tab where YAML wants spaces",
    "OB105": "several documents in one file",
    "OB106": "a key occurs twice",
    "OB107": "a word that YAML 1.1 reads as a boolean",
    "OB108": "a number that versions of YAML read differently",
    "OB109": "aliases that explode or contain themselves",
    "OB110": "a merge key",
    "OB111": "a YAML tag",
    "OB112": "nested too deeply",
    "OB113": "a key that is not a string",
    "OB114": "the file is empty, or not a mapping",
    # the shape of the file
    "OB200": "the format version is missing or unknown",
    "OB201": "a required key is missing",
    "OB202": "an unknown key",
    "OB203": "a value of the wrong type",
    "OB204": "a value that is not allowed",
    "OB205": "not a duration",
    "OB206": "a name that is not allowed",
    "OB207": "not supported by this version",
    # steps
    "OB301": "two steps have the same id",
    "OB302": "an unknown step type",
    "OB303": "a step type that cannot be loaded",
    "OB304": "`needs` names no step",
    "OB305": "steps need each other",
    "OB306": "a required value that no ancestor outputs",
    "OB307": "a required value that several ancestors output",
    "OB308": "cleanup names a step that is not an ancestor",
    "OB309": "options of a step that exclude each other",
    "OB310": "a file that a step reads is missing or wrong",
    # expressions
    "OB401": "an expression that cannot be parsed",
    "OB402": "an unknown name in an expression",
    "OB403": "operands that do not fit together",
    "OB404": "an integer literal beside a double",
    "OB405": "a reference to a step that is not an ancestor",
    "OB406": "a condition that is not boolean",
    "OB407": "an expression whose type does not suit its field",
    "OB408": "a ${{ without its }}",
    "OB409": "an expression that cannot be evaluated",
    "OB410": "has() of a declared name",
    "OB411": "a metric declared with two types",
    "OB412": "outputs of a step that is still running",
    "OB413": "${{ }} where it does not belong",
    # environment, guards, inputs
    "OB501": "an unknown environment",
    "OB502": "an environment that cannot be loaded",
    "OB503": "a guard that cannot be enforced",
    "OB504": "--set or --env-set names nothing",
    "OB505": "an input's value does not fit",
    "OB506": "an input has no value",
    "OB507": "an input is never used",
}
"""Every code, and what it stands for. Codes are stable: never reused, never renumbered."""


class Severity(StrEnum):
    """Whether a finding stops the scenario."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A place in a file, from (line, column) up to but not including the end; all count from 1, columns in characters.

    Line 0 means the whole of `file`, which may also be a piece of the command line ("--set xid=x").
    """

    file: str
    line: int = 0
    column: int = 0
    end_line: int = 0
    end_column: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong. Raises ValueError when made with a code that is not in `CODES`."""

    code: str
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

    def __post_init__(self) -> None:
        if self.code not in CODES:
            raise ValueError(f"{self.code} is not in the table of codes")

    def to_json(self) -> dict[str, Any]:
        """As `offbus validate --format json` prints it; keys are stable."""
        where = self.where
        return {
            "code": self.code,
            "severity": self.severity.value,
            "message": self.message,
            "hint": self.hint,
            "suggestion": self.suggestion,
            "file": where.file,
            "line": where.line,
            "column": where.column,
            "end_line": where.end_line,
            "end_column": where.end_column,
        }


class InvalidScenario(UsageError):
    """Raised by `load_scenario` with every finding, sorted by place. Its message is all of them, ready to print."""

    def __init__(self, path: str, findings: Iterable[Finding]) -> None:
        self.path = path
        self.findings = in_order(findings)
        super().__init__(f"{self.summary}\n{render(self.findings)}")

    @property
    def summary(self) -> str:
        """One line: which file, and how many findings."""
        count = len(self.findings)
        return f"{self.path} is not a valid scenario: {count} finding{'' if count == 1 else 's'}"


def in_order(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Sorted by place, without exact repeats; what has no line comes first."""
    unique = dict.fromkeys(findings)
    return tuple(sorted(unique, key=lambda f: (f.where.file, f.where.line, f.where.column, f.code)))


COMPARED = 300
"""Names that a wrong one is compared with: among more, comparing costs more than a suggestion helps."""


def closest(word: str, allowed: Iterable[str]) -> str | None:
    """The one of `allowed` that was probably meant, if one is near. Looks at the first few hundred only."""
    return _closest(word, tuple(islice(allowed, COMPARED)))


@lru_cache(maxsize=1000)
def _closest(word: str, allowed: tuple[str, ...]) -> str | None:
    """Remembered: a step that was renamed is missed by all that need it."""
    from difflib import get_close_matches

    near = get_close_matches(word, allowed, n=1, cutoff=0.6)
    return near[0] if near else None


def wants_colour(stream: Any, environ: Mapping[str, str]) -> bool:
    """Whether to colour what goes to `stream`: a terminal, unless NO_COLOR is set to anything (no-color.org)."""
    return not environ.get("NO_COLOR") and environ.get("TERM") != "dumb" and bool(stream.isatty())


_RED, _YELLOW, _BLUE, _BOLD, _RESET = "\x1b[31m", "\x1b[33m", "\x1b[34m", "\x1b[1m", "\x1b[0m"
_WIDTH = 120
"""Longer source lines are cut to a window around the caret."""


def render(findings: Iterable[Finding], *, colour: bool = False) -> str:
    """All findings for people: place, code, message, code frame with caret, what to do. Ends without a line end."""
    return "\n".join(_render(finding, _Paint(colour)) for finding in findings)


class _Paint:
    """Wraps text in colours, or does not."""

    def __init__(self, on: bool) -> None:
        self._on = on

    def __call__(self, text: str, *codes: str) -> str:
        return f"{''.join(codes)}{text}{_RESET}" if self._on else text


def _render(finding: Finding, paint: _Paint) -> str:
    hue = _RED if finding.severity is Severity.ERROR else _YELLOW
    head = f"{paint(_clean(str(finding.where)), _BOLD)}: {paint(f'{finding.severity} {finding.code}', hue, _BOLD)}: "
    lines = [head + _clean(finding.message)]
    gutter = " " * 6
    if finding.frame is not None and finding.where.line:
        source, caret = _window(finding)
        lines += [
            paint(f"{finding.where.line:5} | ", _BLUE) + source,
            paint(f"{gutter}| ", _BLUE) + paint(caret, hue, _BOLD),
        ]
    lines += [paint(f"{gutter}= ", _BLUE) + text for text in _advice(finding)]
    return "\n".join(lines)


def _advice(finding: Finding) -> list[str]:
    advice = [] if finding.suggestion is None else [f"did you mean {_clean(finding.suggestion)!r}?"]
    return advice if finding.hint is None else [*advice, _clean(finding.hint)]


def _window(finding: Finding) -> tuple[str, str]:
    """The source line, cut to a window if long, and the caret line below it."""
    where, source = finding.where, _clean(finding.frame or "")
    start = min(where.column - 1, len(source))
    end = where.end_column - 1 if where.end_line == where.line else len(source)
    length = max(1, min(end, len(source)) - start)
    if len(source) > _WIDTH:
        cut = max(0, min(start - _WIDTH // 3, len(source) - _WIDTH))
        source, start = source[cut : cut + _WIDTH], start - cut
        length = max(1, min(length, len(source) - start))
    return source, " " * start + "^" * length


def _clean(text: str) -> str:
    """Without control characters: a file from outside must not drive the terminal. Keeps columns."""
    return "".join(c if c.isprintable() else ("�" if c != "\t" else " ") for c in text)
