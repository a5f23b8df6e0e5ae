"""Findings as SARIF 2.1.0 (OASIS), as code scanning of GitHub takes it.

Paths are relative to the root of the repository that holds the working directory, which is what GitHub shows findings
by; a file outside of it has its `file:` URI. A finding about the command line is one about the file that was checked.
At most `MOST` results: GitHub refuses a file with more.
"""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from offbus.findings.codes import Code
from offbus.findings.explanation import explanations
from offbus.findings.model import Edit, Finding, Position
from offbus.findings.repository_paths import in_repository, repository

__all__ = ["sarif"]

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
MOST = 25_000
"""Results of a run (docs.github.com, "SARIF support for code scanning": limits)."""

MOST_DESCRIBED = 1024
"""Characters of a rule's description (there, "reportingDescriptor object")."""


def sarif(checked: Mapping[str, Iterable[Finding]], version: str) -> dict[str, Any]:
    """The document: one run with the findings of all files (file as given -> its findings)."""
    root = repository()
    found = [(file, finding) for file, findings in checked.items() for finding in findings]
    codes = sorted({finding.code for _, finding in found})
    rules = {code: number for number, code in enumerate(codes)}
    run: dict[str, Any] = {
        "tool": {"driver": {"name": "offbus", "version": version, "rules": [_rule(code) for code in codes]}},
        "automationDetails": {"id": "offbus/validate/"},
        "columnKind": "unicodeCodePoints",
        "results": [_result(file, finding, rules[finding.code], root) for file, finding in found[:MOST]],
    }
    if len(found) > MOST:
        text = f"{len(found) - MOST} more findings are left out"
        notice = {"level": "warning", "message": {"text": text}}
        run["invocations"] = [{"executionSuccessful": True, "toolExecutionNotifications": [notice]}]
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule(code: Code) -> dict[str, Any]:
    told = explanations()[code]
    return {
        "id": code.value,
        "name": code.name.title().replace("_", ""),
        "shortDescription": {"text": code.meaning},
        "fullDescription": {"text": told.what[:MOST_DESCRIBED]},
        "help": {"text": f"{told.fix} More: offbus explain {code.value}"},
    }


def _result(file: str, finding: Finding, rule: int, root: Path) -> dict[str, Any]:
    where = finding.where
    message = finding.message if where.line else f"{finding.message} ({where.file})"
    advice = [f"did you mean {finding.suggestion!r}?"] if finding.suggestion is not None else []
    advice += [finding.hint] if finding.hint is not None else []
    location: dict[str, Any] = {"artifactLocation": {"uri": _uri(where.file if where.line else file, root)}}
    if where.line:
        location["region"] = _region(where)
    fix = {} if finding.fix is None else {"fixes": [_fix(finding.fix, location["artifactLocation"])]}
    return {
        "ruleId": finding.code.value,
        "ruleIndex": rule,
        "level": finding.severity.value,
        # "[text](target)" is a link in SARIF (3.11.6), and the text may be a stranger's.
        "message": {"text": ". ".join([message, *advice]).replace("](", "] (")},
        "locations": [{"physicalLocation": location}],
        **fix,
    }


def _region(where: Position) -> dict[str, int]:
    region = {"startLine": where.line, "startColumn": where.column, "endLine": where.end_line}
    known = where.end_line > where.line or where.end_column < 1 << 20
    return {**region, "endColumn": where.end_column} if known else region


def _fix(edit: Edit, artifact: dict[str, str]) -> dict[str, Any]:
    """Section 3.55 of the standard: what code scanners offer as a change."""
    replacement = {"deletedRegion": _region(edit.where), "insertedContent": {"text": edit.text}}
    return {
        "description": {"text": f"write {edit.text}"},
        "artifactChanges": [{"artifactLocation": artifact, "replacements": [replacement]}],
    }


def _uri(file: str, root: Path) -> str:
    inside = in_repository(file, root)
    return quote(os.fsencode(inside)) if inside is not None else Path(file).resolve().as_uri()
