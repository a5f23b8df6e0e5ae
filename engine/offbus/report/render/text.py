"""A report as text for people: everything that happened, then the closing lines. Pure.

Long values (outputs, records, whole evidence) are left to report.json; this says what, when, and the proof in short.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from offbus.printable import clean
from offbus.report.formatting import in_brief, measured, seconds
from offbus.report.model import ExpectationReport, FaultReport, Report
from offbus.report.spans import Line, Span, Tone, line
from offbus.report.summary import closing_lines
from offbus.report.time_offsets import offset_ms, written_offset

__all__ = ["OUTCOME_TONES", "text_report"]

WIDEST = 60
"""Characters of a column: one endless name must not widen all lines."""
OUTCOME_TONES = {
    "passed": Tone.GOOD,
    "restored": Tone.GOOD,
    "true": Tone.GOOD,
    "failed": Tone.BAD,
    "errored": Tone.BAD,
    "timed_out": Tone.BAD,
    "conflict": Tone.BAD,
    "false": Tone.BAD,
    "error": Tone.BAD,
    "cancelled": Tone.CAUTION,
    "running": Tone.CAUTION,
    "pending": Tone.CAUTION,
}
"""Outcomes of steps, results of undos and of expectations."""


def text_report(report: Report, path: Path, *, goes_on: bool = False) -> list[Line]:
    """The whole report; `path` and `goes_on` as in `closing_lines`."""
    parts: Sequence[tuple[str, Iterator[Line]]] = (
        ("Steps", _steps(report)),
        ("Expectations", (_expectation(one) for one in report.expectations)),
        ("Faults", _faults(report)),
        ("Timeline (UTC, and milliseconds since the run began)", _timeline(report)),
        ("Undos", _undos(report)),
        ("Metrics", _metrics(report)),
    )
    lines = list(_head(report))
    for title, rows in parts:
        found = list(rows)
        if found:
            lines += [line(""), line((title, Tone.STRONG)), *found]
    return [*lines, line(""), *closing_lines(report, path, goes_on=goes_on)]


def _head(report: Report) -> Iterator[Line]:
    yield line((clean(report.name), Tone.STRONG), f": {clean(report.summary)}" if report.summary else "")
    yield line("  scenario  ", f"{clean(report.scenario)} (sha256 {report.digest[:12]})")
    if report.inputs:
        yield line(
            "  inputs    ",
            ", ".join(f"{clean(name)}={clean(str(one))}" for name, one in report.inputs.items()),
        )
    yield line("  run       ", f"{report.run} on {clean(report.identity)}, from {clean(report.host)}")
    ended = report.ended.t if report.ended else "did not end"
    yield line("  time      ", f"{report.started.t} to {ended}")
    yield line(
        "  versions  ", ", ".join(f"{clean(name)} {clean(one)}" for name, one in report.versions.items())
    )


def _steps(report: Report) -> Iterator[Line]:
    width = min(max((len(one.id) for one in report.steps), default=0), WIDEST)
    for step in report.steps:
        took = seconds(step.duration_s) if step.duration_s is not None else ""
        why = clean(step.message or step.because or "")
        attempts = f"{step.attempts} attempts  " if step.attempts > 1 else ""
        yield line("  ", _word(step.outcome, 9), f"  {step.id:<{width}}  {took:>7}  {attempts}{why}")
        if step.hint:
            yield line(" " * (24 + width), (clean(step.hint), Tone.DIM))
        yield from (line("    ", *_expectation(one)) for one in step.expectations)


def _expectation(one: ExpectationReport) -> Line:
    detail = f": {clean(one.detail)}" if one.detail else ""
    return line("  ", _word(one.result, 5), f"  {clean(one.text)}{detail}")


def _faults(report: Report) -> Iterator[Line]:
    for fault in report.faults:
        state = ("proven", Tone.GOOD) if fault.proven else ("NOT PROVEN", Tone.BAD)
        yield line(f"  {clean(fault.subject)} ({clean(fault.id)}): ", state)
        yield from _planes(report, fault)


def _planes(report: Report, fault: FaultReport) -> Iterator[Line]:
    width = min(max((len(plane) for plane in fault.planes), default=0), WIDEST)
    for plane, proof in fault.planes.items():
        name = f"    {clean(plane):<{width}}  "
        if proof is None:
            yield line(name, ("no proof", Tone.BAD), f": {clean(fault.missing.get(plane, ''))}")
        else:
            happened = written_offset(report, proof.happened)
            at = f"{offset_ms(report, proof.at):+.1f} ms" + (f" ({happened})" if happened else "")
            brief = f": {clean(proof.brief)}" if proof.brief else ""
            yield line(name, ("proven", Tone.GOOD), f" at {at}{brief}")


def _timeline(report: Report) -> Iterator[Line]:
    lanes = min(max((len(one.lane) for one in report.timeline), default=0), WIDEST)
    for one in report.timeline:
        was = f" (was {clean(one.was)})" if one.was else ""
        short, happened = in_brief(one), written_offset(report, one.happened)
        about = "; ".join(part for part in (short, happened) if part)
        yield line(
            (f"  {one.t[11:26]}  {offset_ms(report, one):>+11.1f}  ", Tone.DIM),
            f"{clean(one.lane):<{lanes}}  {clean(one.subject)}: {clean(one.what)}{was}",
            (f"  [{about}]" if about else "", Tone.DIM),
        )


def _undos(report: Report) -> Iterator[Line]:
    for undo in report.undos:
        tried = ""
        if undo.tries:
            last = undo.tries[-1]
            count = f" after {len(undo.tries)} tries" if len(undo.tries) > 1 else ""
            tried = f" (by {clean(last.by)}{count}{': ' + clean(last.detail) if last.detail else ''})"
        yield line("  ", _word(undo.result, 8), f"  {clean(undo.describe)}{tried}")


def _metrics(report: Report) -> Iterator[Line]:
    width = min(max((len(name) for name in report.metrics), default=0), WIDEST)
    for name, one in report.metrics.items():
        events = ", ".join(map(str, one.derived_from))
        source = (f"  from events {events}" if events else "", Tone.DIM)
        yield line(f"  {clean(name):<{width}}  {measured(one):>10}", source)


def _word(outcome: str, width: int) -> Span:
    return Span(f"{outcome.replace('_', ' '):<{width}}", OUTCOME_TONES.get(outcome, Tone.DIM))
