"""From a kernel log record to the MESSAGE that journald stores: the filter before all who read the journal.

A line written by user space has a facility other than `kern`; journald then cuts off a first word that ends in a colon
and stores it as SYSLOG_IDENTIFIER. That is why `NVRM: Xid …` written by a tool is never detected.
Sources: systemd journald-kmsg.c `dev_kmsg_record`, journald-syslog.c `syslog_parse_identifier`; record
format: the kernel's Documentation/ABI/testing/dev-kmsg. Malformed records give None. Must not: match XIDs.
"""

import re
from dataclasses import dataclass

__all__ = ["Entry", "Record", "journal_entry", "parse_record"]

_FACILITY_SHIFT = 3
_WHITESPACE = " \t\n\r"
_ESCAPE = re.compile(r"\\x([0-9a-fA-F]{2})")
_WITH_PID = re.compile(r"\[[^\[\]]*\]$")


@dataclass(frozen=True, slots=True)
class Record:
    """One record, as reading `/dev/kmsg` gives it."""

    facility: int
    level: int
    seq: int
    usec: int
    text: str


@dataclass(frozen=True, slots=True)
class Entry:
    """What journald stores of a record."""

    identifier: str
    """SYSLOG_IDENTIFIER; "" when there is none."""
    message: str


def parse_record(line: str) -> Record | None:
    """`<prefix>,<seq>,<usec>,<flags>[,…];<text>`; None when it is not a record (a continuation line is not)."""
    head, semicolon, text = line.partition(";")
    fields = head.split(",")
    if (
        not semicolon
        or len(fields) < 4
        or not all(f.isascii() and f.isdigit() and len(f) <= 20 for f in fields[:3])
    ):
        return None
    prefix, seq, usec = (int(field) for field in fields[:3])
    return Record(
        facility=prefix >> _FACILITY_SHIFT, level=prefix & 7, seq=seq, usec=usec, text=_unescape(text)
    )


def _unescape(text: str) -> str:
    """The kernel escapes unprintable bytes as `\\xNN`."""
    if "\\x" not in text:
        return text
    raw = _ESCAPE.sub(lambda found: chr(int(found.group(1), 16)), text)
    return raw.encode("latin-1", "replace").decode("utf-8", "replace")


def journal_entry(record: Record) -> Entry:
    """The entry that journald makes of a record."""
    if record.facility == 0:
        return Entry("kernel", record.text)
    text = record.text.lstrip(_WHITESPACE)
    word = re.split(rf"[{_WHITESPACE}]", text, maxsplit=1)[0]
    if not word.endswith(":"):
        return Entry("", record.text)
    rest = text[len(word) :]
    return Entry(_WITH_PID.sub("", word[:-1]), rest[1:] if rest[:1] in _WHITESPACE else rest)
