"""An unquoted `${{ }}` inside `{…}` or `[…]`: YAML's parser fails there, with a message about a missing comma.

In flow style `{` begins a mapping, so `{who: ${{ inputs.who }}}` is not YAML. `substitute` replaces the expression
by as many harmless letters, so that parsing continues with all positions unchanged and the rest of the file is checked.
"""

from typing import NamedTuple

from offbus.findings.codes import Code
from offbus.findings.model import Edit, Finding, Position
from offbus.language.syntax import braces

__all__ = ["Substitution", "finding", "substitute"]


class Substitution(NamedTuple):
    """The text with one expression replaced, where it began, and what it was."""

    text: str
    start: int
    was: str


def substitute(text: str, error_at: int) -> Substitution | None:
    """Replace the last `${{ … }}` that begins on the error's line, not after it; None if that is not the trouble."""
    line_start = text.rfind("\n", 0, error_at) + 1
    line_end = text.find("\n", error_at)
    line_end = len(text) if line_end < 0 else line_end
    start = text.rfind(braces.OPEN, line_start, min(error_at + len(braces.OPEN), line_end))
    close = braces.end_of(text, start, line_end) if start >= 0 else -1
    before = text[line_start:start]
    if close < 0 or before.count('"') % 2 == 1 or before.count("'") % 2 == 1:
        return None  # a quote is open (roughly): the error is another one
    start, end = _whole_scalar(text, line_start, start, close, line_end)
    return Substitution(text[:start] + "x" * (end - start) + text[end:], start, text[start:end])


def _whole_scalar(text: str, line_start: int, start: int, end: int, line_end: int) -> tuple[int, int]:
    """Widened to the whole plain scalar: `a/${{ b }}.yaml` is one text."""
    while start > line_start and text[start - 1] not in " \t,[]{}\n":
        start -= 1
    while end < line_end and text[end] not in ",[]{}":
        end += 1
    return start, start + len(text[start:end].rstrip())


def finding(was: str, where: Position, lines: tuple[str, ...]) -> Finding:
    """What to say about a fixed expression."""
    quote = next((one for one in ('"', "'") if one not in was), None)
    quoted = "put it on a line of its own, without { }" if quote is None else f"{quote}{was}{quote}"
    return Finding(
        code=Code.UNQUOTED_TEMPLATE,
        message="an unquoted ${{ }} inside {…} or […] is not YAML: there, { begins a mapping",
        where=where,
        hint=f"quote it: {quoted}",
        frame=lines[where.line - 1],
        fix=None if quote is None or "\\" in was else Edit(where, quoted),
    )
