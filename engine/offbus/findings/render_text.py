"""Findings for people: position, code, message, code frame with caret, what to do. It prints nothing itself."""

from collections.abc import Callable, Iterable
from functools import partial

from offbus.findings.model import Finding, Severity
from offbus.printable import MARKED_COMMAND, printable

__all__ = ["render"]


_RED, _YELLOW, _BLUE, _BOLD, _RESET = "\x1b[31m", "\x1b[33m", "\x1b[34m", "\x1b[1m", "\x1b[0m"


_WIDTH = 120
"""Longer source lines are cut to a window around the caret."""
_LONGEST = 400
"""Characters of a position, a message or a hint: what repeats a value of 5,000 digits is cut in its middle."""


def render(findings: Iterable[Finding], *, colour: bool = False) -> str:
    """All findings for people: position, code, message, code frame with caret, what to do. Ends without a line end."""
    paint = partial(_painted, colour)
    return "\n".join(_render(finding, paint) for finding in findings)


def _painted(on: bool, text: str, *codes: str) -> str:
    return f"{''.join(codes)}{text}{_RESET}" if on else text


def _render(finding: Finding, paint: Callable[..., str]) -> str:
    hue = _RED if finding.severity is Severity.ERROR else _YELLOW
    where, what = printable(_cut(str(finding.where))), f"{finding.severity} {finding.code}"
    lines = [f"{paint(where, _BOLD)}: {paint(what, hue, _BOLD)}: {_cut(finding.message)}"]
    gutter = " " * 6
    if finding.frame is not None and finding.where.line:
        source, caret = _window(finding)
        lines += [
            paint(f"{finding.where.line:5} | ", _BLUE) + source,
            paint(f"{gutter}| ", _BLUE) + paint(caret, hue, _BOLD),
        ]
    advice = [] if finding.suggestion is None else [f"did you mean {_cut(finding.suggestion)!r}?"]
    advice += [] if finding.hint is None else [_cut(finding.hint)]
    lines += [paint(f"{gutter}= ", _BLUE) + text for text in advice]
    return "\n".join(lines)


def _window(finding: Finding) -> tuple[str, str]:
    """The source line, cut to a window if long, and the caret line below it. Of a long line with many findings no more
    is looked at for each."""
    where, source = finding.where, finding.frame or ""
    start = min(where.column - 1, len(source))
    end = min(where.end_column - 1 if where.end_line == where.line else len(source), len(source))
    cut = max(0, min(start - _WIDTH // 3, len(source) - _WIDTH))
    source, start, end = _clean(source[cut : cut + _WIDTH]), start - cut, min(end - cut, _WIDTH)
    return source, " " * start + "^" * max(1, end - start)


def _cut(text: str) -> str:
    """A clean text, its middle left out if it is long."""
    if len(text) <= _LONGEST:
        return _clean(text)
    half = _LONGEST // 2
    return _clean(f"{text[:half]}… ({len(text) - 2 * half} more) …{text[-half:]}")


def _clean(text: str) -> str:
    """Without control characters: a file from outside must not drive the terminal, nor a CI runner. Keeps columns."""
    shown = "".join(c if c.isprintable() else ("�" if c != "\t" else " ") for c in text)
    return MARKED_COMMAND.sub("#�", shown)
