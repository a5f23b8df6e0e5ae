"""Findings as annotations of GitHub Actions: workflow commands, one a line.

GitHub shows ten errors and ten warnings of a step and drops the rest without a word, so the tenth says how many more
there are. Data is escaped as the runner unescapes it (actions/toolkit, packages/core/src/command.ts): a text of a file
ends no command and begins none.
"""

from collections.abc import Iterable, Iterator, Sequence

from offbus.findings.model import Finding, Severity
from offbus.findings.repository_paths import in_repository, repository

__all__ = ["annotations"]

SHOWN = 10
"""Of each severity and step (docs.github.com, "Workflow commands": limits)."""
_DATA = {"%": "%25", "\r": "%0D", "\n": "%0A"}
_PROPERTY = {**_DATA, ":": "%3A", ",": "%2C"}


def annotations(findings: Iterable[Finding]) -> Iterator[str]:
    """The commands, errors first."""
    every = list(findings)
    for severity in (Severity.ERROR, Severity.WARNING):
        yield from _of_one(severity, [one for one in every if one.severity is severity])


def _of_one(severity: Severity, findings: Sequence[Finding]) -> Iterator[str]:
    fit = len(findings) <= SHOWN
    shown = findings if fit else findings[: SHOWN - 1]
    yield from map(_command, shown)
    if not fit:
        yield f"::{severity.value}::and {len(findings) - len(shown)} more; the log of this step has them all"


def _command(finding: Finding) -> str:
    where = finding.where
    properties = {"title": f"offbus {finding.code.value}"}
    if where.line:
        properties |= {
            "file": in_repository(where.file, repository()) or where.file,
            "line": str(where.line),
            "col": str(where.column),
        }
        if where.end_line == where.line:  # a column of another line means nothing to the viewer
            properties["endColumn"] = str(where.end_column)
        properties["endLine"] = str(where.end_line)
    message = finding.message if where.line else f"{where.file}: {finding.message}"
    advice = [f"did you mean {finding.suggestion!r}?"] if finding.suggestion is not None else []
    advice += [finding.hint] if finding.hint is not None else []
    told = ",".join(f"{name}={_escaped(value, _PROPERTY)}" for name, value in properties.items())
    return f"::{finding.severity.value} {told}::{_escaped(chr(10).join([message, *advice]), _DATA)}"


def _escaped(text: str, table: dict[str, str]) -> str:
    """Escaped, and without what drives a terminal."""
    escaped = "".join(table.get(one, one) for one in text)
    return "".join(one if one.isprintable() else "\ufffd" for one in escaped)
