"""What `offbus recognise` does: reads standard input line by line, and tells whose each line about a fault is.

All of the input is hostile: a line is read to LONGEST bytes and no further, undecodable bytes are replaced, and what is
printed is made printable. Memory does not grow with the input: runs are looked up and counted to a bound.

A mark can be forged by whoever may write to the log. So a run whose folder is on this machine is asked
(`written_lines`): a line with the mark of a run that does not have it counts as no drill's.
"""

import json
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import BinaryIO

import click

from offbus.cli.output import say
from offbus.errors import CouldNotRun, UsageError
from offbus.exits import Exit
from offbus.printable import printable_json
from offbus.runs import default_runs
from offbus_agent.kernel_log.log_forms import LogLine, read_line
from offbus_agent.kernel_log.recognise import Recognised, recognise
from offbus_steps.commands.written_lines import WrittenLines

__all__ = ["LONGEST", "lines_of", "recognise_log"]

LONGEST = 1 << 16
"""Bytes of a line that are read; journalctl's JSON of a record has some 4,000."""
MOST_RUNS = 1000
"""Different runs that are counted by name."""


@dataclass(slots=True)
class Told:
    """One line about a fault, and what is known of it."""

    number: int
    line: LogLine
    found: Recognised
    confirmed: bool | None
    """Whether its run's journal has it; None when nobody knows."""

    @property
    def is_drill(self) -> bool:
        """Whether a drill wrote it, as far as can be told."""
        return self.found.verdict == "drill" and self.confirmed is not False


@dataclass(slots=True)
class Counts:
    """Of all that was read."""

    lines: int = 0
    cut: int = 0
    """Lines that were longer than LONGEST, of which the rest was not read."""
    verdicts: Counter[str] = field(default_factory=Counter)
    unconfirmed: int = 0
    """Lines with a mark that their run's journal does not have."""
    runs: Counter[str] = field(default_factory=Counter)

    def as_json(self) -> dict[str, object]:
        """As the last object says it."""
        counted = {"lines": self.lines, "cut": self.cut, "unconfirmed": self.unconfirmed}
        return {**counted, "verdicts": dict(self.verdicts), "runs": dict(self.runs)}


def recognise_log(form: str, runs: Path | None) -> Exit:
    """Read standard input to its end; the exit code. Raises UsageError, CouldNotRun."""
    if sys.stdin is None or sys.stdin.isatty():
        raise UsageError("there is no log to read", hint="pipe one: journalctl -k -o json | offbus recognise")
    written = WrittenLines(default_runs() if runs is None else runs)
    counts, only_drills = Counts(), True
    for told in _told(sys.stdin.buffer, written, counts):
        only_drills = only_drills and told.is_drill
        if form == "json":
            click.echo(printable_json(json.dumps(_as_json(told))))
        else:
            say(_as_text(told))
    if form == "json":
        click.echo(printable_json(json.dumps({"summary": counts.as_json()})))
    else:
        say(_summary(counts))
    return Exit.PASSED if only_drills else Exit.FAILED


def lines_of(stream: BinaryIO) -> Iterator[tuple[str, bool]]:
    """Each line without its end, and whether it was cut. Raises OSError."""
    while raw := stream.readline(LONGEST):
        cut = len(raw) == LONGEST and not raw.endswith(b"\n")
        rest = raw
        while cut and rest and not rest.endswith(b"\n"):
            rest = stream.readline(LONGEST)
        yield raw.decode("utf-8", "replace").rstrip("\r\n"), cut


def _told(stream: BinaryIO, written: WrittenLines, counts: Counts) -> Iterator[Told]:
    try:
        for text, cut in lines_of(stream):
            counts.lines += 1
            counts.cut += cut
            line = read_line(text)
            found = recognise(line) if line is not None else None
            if line is None or found is None:
                continue
            asked = found.verdict == "drill" and found.run != ""
            confirmed = written.has(found.run, found.fault, line.seq, found.text) if asked else None
            told = Told(counts.lines, line, found, confirmed)
            _count(counts, told)
            yield told
    except OSError as err:
        raise CouldNotRun(f"standard input cannot be read: {err.strerror}") from err


def _count(counts: Counts, told: Told) -> None:
    counts.verdicts[told.found.verdict] += 1
    counts.unconfirmed += told.confirmed is False
    run = told.found.run
    if told.is_drill and run and (run in counts.runs or len(counts.runs) < MOST_RUNS):
        counts.runs[run] += 1


def _as_text(told: Told) -> str:
    found = told.found
    number = f" {found.number}" if found.number is not None else ""
    about = f"{found.kind}{number} at {found.location}" if found.kind else "no fault"
    whose = (
        [f"run {found.run}, step {found.step}" if found.run else f"fault {found.fault}"]
        if found.fault
        else []
    )
    if told.confirmed is not None:
        whose.append("its journal has it" if told.confirmed else "ITS JOURNAL DOES NOT HAVE IT")
    if found.verdict != "drill":
        whose.append(found.why)
    return f"{found.verdict:8}  {about}  {'; '.join(whose)}  | {found.text}"


def _as_json(told: Told) -> dict[str, object]:
    about = {"line": told.number, "form": told.line.form, "host": told.line.host, "seq": told.line.seq}
    return {**asdict(told.found), **about, "confirmed": told.confirmed}


def _summary(counts: Counts) -> str:
    verdicts = ", ".join(f"{number} {verdict}" for verdict, number in counts.verdicts.most_common())
    runs = ", ".join(f"{run}: {number}" for run, number in counts.runs.most_common(10))
    more = f" and {len(counts.runs) - 10} more runs" if len(counts.runs) > 10 else ""
    unconfirmed = f"; {counts.unconfirmed} not in their run's journal" if counts.unconfirmed else ""
    cut = f"; {counts.cut} longer than {LONGEST} bytes, and cut" if counts.cut else ""
    of_runs = f" (runs {runs}{more})" if runs else ""
    return f"read {counts.lines} lines; about faults: {verdicts or 'none'}{of_runs}{unconfirmed}{cut}"
