"""A scenario file as a tree of nodes that know their positions. Strict: what is ambiguous is a finding, never a guess.

Parsed from libyaml's events (PyYAML's C parser where it is built in, else its Python one: same events, slower), so
no YAML object constructor ever runs. The tree is built without recursion, in one pass, linear in the file's size.
All findings about scalars and keys are collected; a syntax error ends the reading, except for the commonest one, an
unquoted `${{ }}` in flow style, which is fixed in memory so that the rest can be checked too (`unquoted_templates`).

Raises UsageError if the file cannot be read at all. Nothing here knows what a scenario is.
"""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from offbus.errors import UsageError
from offbus.files import read_bounded
from offbus.findings.codes import Code
from offbus.findings.model import Finding, Position, TooManyFindings
from offbus.language.syntax import tree, unquoted_templates, yaml_wording
from offbus.language.syntax.node import Node

__all__ = ["LARGEST", "LINE_BREAK", "Source", "bytes_of", "parse", "read"]

LARGEST = 2 * 1024 * 1024
"""Bytes. A generated scenario of 10,000 steps has about one MiB. How many values a file may have, and findings, is
bounded besides (tree.MOST_VALUES, offbus.findings.model.MOST): what is dense costs more than its size."""

MOST_FIXED = 50
"""Unquoted expressions that are fixed; the file is parsed again for each."""
MOST_PARSED = 8 * 1024 * 1024
"""Characters that are parsed again for them in all: of a file of 160 kB each of `MOST_FIXED`, of the largest four."""

LINE_BREAK = re.compile("\r\n|[\r\n\x85\u2028\u2029]")
"""What YAML 1.1 counts as the end of a line."""
_SHOWN = 200
"""Characters of a line that is too long to be useful."""
_PARSER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class Source:
    """A file that was read. `root` is None if its findings left nothing to look at."""

    path: Path
    text: str
    digest: str
    """sha256 of the bytes, hexadecimal."""
    root: Node | None
    findings: tuple[Finding, ...]
    lines: tuple[str, ...]


def bytes_of(path: Path) -> bytes:
    """The bytes of a file, or the first LARGEST + 1 of them. Raises UsageError if it cannot be opened."""
    try:
        return read_bounded(path, LARGEST)
    except FileNotFoundError as err:
        raise UsageError(f"{path}: there is no such file") from err
    except OSError as err:
        raise UsageError(f"{path}: cannot be read: {err.strerror}") from err


def read(path: Path) -> Source:
    """Read and parse a file. Raises UsageError if it cannot be opened."""
    return parse(path, bytes_of(path))


def parse(path: Path, data: bytes) -> Source:
    """What the file at `path` would be, had it these bytes."""
    digest = hashlib.sha256(data).hexdigest()
    if len(data) > LARGEST:
        message = f"the file has more than {LARGEST // 1024 // 1024} MiB, which no scenario needs"
        return Source(
            path,
            "",
            digest,
            None,
            (Finding(code=Code.TOO_LARGE, message=message, where=Position(str(path))),),
            (),
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as err:
        return Source(path, "", digest, None, (_not_utf8(path, data, err),), ())
    return _parse(path, text, digest)


def _not_utf8(path: Path, data: bytes, err: UnicodeDecodeError) -> Finding:
    before = data[: err.start]
    line = before.count(b"\n") + 1
    column = len(before.rpartition(b"\n")[2].decode("utf-8", "replace")) + 1
    message = f"byte 0x{data[err.start]:02x} is not UTF-8 ({err.reason})"
    return Finding(
        code=Code.UNREADABLE_TEXT,
        message=message,
        where=Position(str(path), line, column, line, column + 1),
        hint="save the file as UTF-8",
    )


def _parse(path: Path, text: str, digest: str) -> Source:
    """Parse; after an unquoted `${{ }}` was fixed, once more."""
    substitutions: dict[int, str] = {}
    most = min(MOST_FIXED, MOST_PARSED // max(len(text), 1))
    lines = tuple(LINE_BREAK.split(text))
    substituted = text
    while True:
        builder = tree.Builder(str(path), lines, substitutions)
        loader = _PARSER(substituted)
        try:
            root = builder.build(loader.get_event)
        except (tree.Stop, TooManyFindings):
            root = None
        except yaml.reader.ReaderError as err:
            root = None
            builder.findings.append(_control_character(path, lines, text, err))
        except yaml.MarkedYAMLError as err:
            substitute = _substitution(substituted, err) if len(substitutions) < most else None
            if substitute is not None:
                substituted = substitute.text
                substitutions[substitute.start] = substitute.was
                continue
            root = None
            builder.findings.append(_syntax(path, lines, err))
        finally:
            loader.dispose()
        substituted_findings = [
            unquoted_templates.finding(was, position(path, text, start, len(was)), lines)
            for start, was in substitutions.items()
        ]
        return Source(path, text, digest, root, (*builder.findings, *substituted_findings), lines)


def _substitution(text: str, err: yaml.MarkedYAMLError) -> unquoted_templates.Substitution | None:
    """The error is noticed at the expression, or, if there are quotes in it, later: then it began there."""
    marks = (mark for mark in (err.problem_mark, err.context_mark) if mark is not None)
    return next(filter(None, (unquoted_templates.substitute(text, mark.index) for mark in marks)), None)


def position(path: Path, text: str, start: int, length: int) -> Position:
    """The position of `text[start : start + length]`, which is on one line."""
    line, begin = 1, 0
    for line_end in LINE_BREAK.finditer(text, 0, start):
        line, begin = line + 1, line_end.end()
    column = start - begin + 1
    return Position(str(path), line, column, line, column + length)


def _control_character(
    path: Path, lines: tuple[str, ...], text: str, err: yaml.reader.ReaderError
) -> Finding:
    """YAML allows no control characters; the reader says which, and at which character of the text."""
    bad = next((n for n, c in enumerate(text) if not _printable(c)), 0)
    where = position(path, text, bad, 1)
    message = f"the control character U+{ord(text[bad]):04X} is not allowed in YAML"
    return Finding(
        code=Code.UNREADABLE_TEXT,
        message=message,
        where=where,
        hint=f"remove it ({err.reason})",
        frame=lines[where.line - 1],
    )


def _printable(char: str) -> bool:
    """YAML 1.1, section 4.1.1: the characters that a stream may hold."""
    code = ord(char)
    return (
        char in "\t\n\r\x85"
        or 0x20 <= code <= 0x7E
        or 0xA0 <= code <= 0xD7FF
        or 0xE000 <= code <= 0xFFFD
        or code >= 0x10000
    )


def _syntax(path: Path, lines: tuple[str, ...], err: yaml.MarkedYAMLError) -> Finding:
    """A syntax error in our words where the parser's own are hard to understand."""
    mark = err.problem_mark or err.context_mark
    if mark is not None and err.context_mark is not None and not any(map(str.strip, lines[mark.line :])):
        mark = err.context_mark  # at the end of the file there is nothing to see; show what was not closed
    line, column = (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)
    if line > len(lines):  # the parser counts a line end that it adds itself
        line, column = len(lines), len(lines[-1]) + 1
    frame = lines[line - 1]
    where = Position(str(path), line, column, line, column + 1)
    problem = str(err.problem or err.context or "not YAML")
    if yaml_wording.too_deep(problem):
        message = f"nested more than {tree.DEEPEST} levels deep"
        return Finding(code=Code.TOO_DEEP, message=message, where=where, frame=frame[:_SHOWN])
    if "\t" in frame[: column + 1] and not frame[:column].strip():
        hint = "indent with spaces"
        return Finding(
            code=Code.TAB,
            message="a tab indents this line; YAML allows only spaces",
            where=where,
            hint=hint,
            frame=frame,
        )
    context = (
        f"{err.context}, which began on line {err.context_mark.line + 1}: "
        if err.context and err.context_mark
        else ""
    )
    return Finding(
        code=Code.NOT_YAML,
        message=f"not YAML: {context}{problem}",
        where=where,
        hint=yaml_wording.hint(problem, frame),
        frame=frame,
    )
