"""Makes the certain fixes of a scenario file: what `offbus validate --fix` does, in memory.

A finding carries its fix, if only one thing can have been meant (`Finding.fix`). A fix counts when the file that it
makes was read again and

1. the finding is gone,
2. the file has no more errors than before: a step type that is spelt right at last may lack more than one param. What
   is then shown besides is warnings, which only a file without errors has.

Fixes that do not count are not made. All of a file are tried at once, then halves of them, from its end to its start,
so that the positions of those that are left stay true; what a fix brings to light is fixed too, until nothing more is.
So a second run finds nothing to do. Comments, layout, line ends and a byte order mark stay, byte for byte.
"""

import codecs
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

from offbus.findings.edits import edited, separate
from offbus.findings.model import Edit, Finding, Severity
from offbus.language.syntax.source import LINE_BREAK

__all__ = ["MOST_READ", "Fixed", "fixed"]

MOST_READ = 200
"""How often a file is read again: bounds what a large one with many fixes that do not count costs."""

Read = Callable[[bytes], Sequence[Finding]]
"""All findings of a file that had these bytes."""


class Fixed(NamedTuple):
    """A file after its fixes."""

    data: bytes
    findings: tuple[Finding, ...]
    """What was fixed, with positions as they were when it was: in the file that the fixes before it had made."""


def fixed(data: bytes, file: str, read: Read) -> Fixed:
    """The bytes with every fix made that counts. `file` is how findings name the file; those of others are left."""
    work = _Work(file, read)
    done: list[Finding] = []
    found = read(data)
    while work.reads < MOST_READ:
        fixes = {finding.fix: finding for finding in found if finding.fix and finding.where.file == file}
        made = work.make(data, found, [fixes[edit] for edit in separate(fixes)])
        if not made.findings:
            break
        data, found = made.data, read(made.data)
        done += made.findings
    return Fixed(data, tuple(done))


class _Work:
    def __init__(self, file: str, read: Read) -> None:
        self._file, self._read = file, read
        self.reads = 0

    def make(self, data: bytes, found: Sequence[Finding], fixes: Sequence[Finding]) -> Fixed:
        """`data`, whose findings are `found`, with those of `fixes` that count."""
        if not fixes or self.reads >= MOST_READ:
            return Fixed(data, ())
        after = _with_edits(data, [one.fix for one in fixes if one.fix is not None])
        self.reads += 1
        if _counts(fixes, found, self._read(after)):
            return Fixed(after, tuple(fixes))
        if len(fixes) == 1:
            return Fixed(data, ())
        half = len(fixes) // 2
        later = self.make(data, found, fixes[half:])
        known = found if not later.findings else self._read(later.data)
        earlier = self.make(later.data, known, fixes[:half])
        return Fixed(earlier.data, (*earlier.findings, *later.findings))


def _with_edits(data: bytes, edits: Sequence[Edit]) -> bytes:
    mark = codecs.BOM_UTF8 if data.startswith(codecs.BOM_UTF8) else b""
    text = data.decode("utf-8-sig")
    made = edited(text, LINE_BREAK.split(text), LINE_BREAK.findall(text), edits)
    return mark + made.encode()


def _counts(fixes: Sequence[Finding], before: Sequence[Finding], after: Sequence[Finding]) -> bool:
    """Whether all of `fixes` are gone, and no more errors have come to light than went."""
    were, are = (Counter((one.code, one.message) for one in found) for found in (before, after))
    promised = Counter((one.code, one.message) for one in fixes)
    gone = all(are[what] <= were[what] - number for what, number in promised.items())
    return gone and _errors(after) <= _errors(before)


def _errors(findings: Sequence[Finding]) -> int:
    return sum(one.severity is Severity.ERROR for one in findings)
