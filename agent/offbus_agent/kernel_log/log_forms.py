"""A line of a kernel log in any form in which people get it: what was logged, and what the form tells of who logged it.

    kmsg      12,342,967340127,-;TEXT                       /dev/kmsg
    json      {"MESSAGE": "TEXT", "SYSLOG_FACILITY": "1"…}  journalctl -o json
    raw       <12>[  967.340127] TEXT                       dmesg -r
    decoded   user  :warn  : [  967.340127] TEXT            dmesg -x
    dmesg     [  967.340127] TEXT                           dmesg, dmesg -T, dmesg -e
    syslog    Nov 30 19:27:11 host kernel: TEXT             journalctl -o short…, /var/log/kern.log
    text      TEXT                                          journalctl -o cat

The facility decides who wrote a record: no process can write one with the kernel's own (0). The first two forms tell
it; `dmesg -r` prints a wrong one for lines of processes (util-linux 2.38), so a small number there tells nothing. All
of it is hostile: a line may hold anything, and what is of no form is a text. Sources: the kernel's
Documentation/ABI/testing/dev-kmsg, journalctl(1), systemd's logs-show.c, dmesg(1). Pure; nothing raises.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from offbus_agent.detectors.journald import parse_record

__all__ = ["KERNEL", "LogLine", "read_line"]

KERNEL = 0
"""The facility that no process can write."""
_FACILITIES = (
    "kern",
    "user",
    "mail",
    "daemon",
    "auth",
    "syslog",
    "lpr",
    "news",
    "uucp",
    "cron",
    "authpriv",
    "ftp",
)
_RAW = re.compile(r"<(\d{1,4})>(.*)", re.DOTALL)
_DECODED = re.compile(r"([a-z0-9]{2,8}) *:([a-z]{3,6}) *: ?(.*)", re.DOTALL)
_BRACKETS = re.compile(r"\[[ +\d.TCA-Za-z:<>-]{1,40}\] ?")
_TIME = (
    r"(?:[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d(?:\.\d{1,9})?"  # short, short-precise
    r"|(?:[A-Z][a-z]{2} )?\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d\S{0,16}(?: [A-Z]{2,5})?"  # short-iso, short-full
    r"|\d{9,11}\.\d{1,9}"  # short-unix
    r"|\[ *\d{1,9}\.\d{1,9}\])"  # short-monotonic
)
_SYSLOG = re.compile(rf"{_TIME} ([A-Za-z0-9._-]{{1,255}}) (\S{{1,255}}?)(?:\[\d{{1,10}}\])?: (.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class LogLine:
    """What a line says, whatever its form."""

    form: str
    texts: tuple[str, ...]
    """What was logged; more than one where the form leaves open where it begins, the whole first."""
    facility: int | None = None
    """None: the form does not tell it."""
    identifier: str | None = None
    """journald's; None where the form does not tell it."""
    transport: str | None = None
    """journald's; None where the form does not tell it."""
    seq: int | None = None
    """The record's number in the kernel log."""
    host: str = ""


def read_line(line: str) -> LogLine | None:
    """The line, without its end; None for one that logs nothing (empty, or a continuation of /dev/kmsg)."""
    if not line.strip() or (line.startswith(" ") and re.match(r" [A-Z_]{1,64}=", line)):
        return None
    if (record := parse_record(line)) is not None:
        return LogLine("kmsg", (record.text,), record.facility, seq=record.seq)
    if line.lstrip().startswith("{"):
        return _journal(line)
    if (raw := _RAW.match(line)) is not None:
        facility = int(raw[1]) >> 3
        return LogLine("raw", tuple(_unstamped(raw[2])), facility or None)
    if (decoded := _DECODED.match(line)) is not None and decoded[1] in _FACILITIES:
        return LogLine("decoded", tuple(_unstamped(decoded[3])), _FACILITIES.index(decoded[1]))
    if (entry := _SYSLOG.match(line)) is not None:
        return LogLine("syslog", tuple(_unstamped(entry[3])), identifier=entry[2], host=entry[1])
    texts = tuple(_unstamped(line))
    return LogLine("dmesg" if len(texts) > 1 else "text", texts)


def _unstamped(text: str) -> Iterator[str]:
    """The text, and what is left of it after a time stamp, and after the caller's id that some kernels print."""
    yield text
    for _ in range(2):
        found = _BRACKETS.match(text)
        if found is None:
            return
        text = text[found.end() :]
        yield text


def _journal(line: str) -> LogLine | None:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return LogLine("text", (line,))
    if not isinstance(entry, Mapping):
        return LogLine("text", (line,))
    message = _message(entry.get("MESSAGE"))
    if message is None:
        return None
    facility = _string(entry, "SYSLOG_FACILITY")
    return LogLine(
        "json",
        (message,),
        int(facility) if facility and re.fullmatch("[0-9]{1,3}", facility) else None,
        identifier=_string(entry, "SYSLOG_IDENTIFIER") or "",
        transport=_string(entry, "_TRANSPORT"),
        host=_string(entry, "_HOSTNAME") or "",
    )


def _message(value: Any) -> str | None:
    """A text; a list of its bytes where it is not UTF-8; null where it is too long (journalctl(1))."""
    if isinstance(value, list) and all(type(one) is int and 0 <= one < 256 for one in value):
        return bytes(value).decode("utf-8", "replace")
    return value if isinstance(value, str) else None


def _string(entry: Mapping[str, Any], key: str) -> str | None:
    value = entry.get(key)
    return value if isinstance(value, str) else None
