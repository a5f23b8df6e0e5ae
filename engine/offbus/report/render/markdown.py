"""A report as Markdown (GitHub's), for pull requests and job summaries. Pure.

Whatever came from outside is escaped: it can neither format the page nor add a link, an image or HTML to it.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from offbus.printable import clean
from offbus.report.formatting import in_brief, measured, seconds
from offbus.report.model import Report
from offbus.report.time_offsets import offset_ms

__all__ = ["markdown_report"]

SIGNS = {"passed": "✅", "failed": "❌", "errored": "❌", "aborted": "⚠️"}
SPECIAL = re.compile(r"([\\`*_{}\[\]()<>#+!|~&@:$]|(?<!\w)[-.]|[-.](?!\w))")
"""What CommonMark and GitHub's extensions give a meaning; a backslash before ASCII punctuation takes it away."""
LINKING = re.compile(r"(?i)(\\@|\\#(?=\d)|\bgh-(?=\d)|\b[0-9a-f]{20}(?=[0-9a-f]{20}\b))")
UNLINKED = r"\1&#8203;"
"""A backslash does not keep GitHub from making links of mail addresses, mentions, issues (`#5`, `GH-5`) and commits,
which it finds in the text that is shown (GFM, "Autolinks (extension)"; GitHub's "Autolinked references and URLs"); a
zero-width space inside does. Of hashes, only whole ones have it: a shorter one is a run's id, which people copy."""
WWW = re.compile(r"(?i)(www)\.")
"""The beginning of a link without a scheme; where its dot is an entity, it is none."""


def markdown_report(report: Report) -> str:
    """The whole report as one Markdown text."""
    return "\n".join(chain.from_iterable(part(report) for part in _PARTS)) + "\n"


def _head(report: Report) -> Iterator[str]:
    yield f"## {SIGNS[report.verdict]} {_escaped(report.name)}: {report.verdict} in {seconds(report.duration_s)}"
    yield ""
    if report.summary:
        yield from (_escaped(report.summary), "")
    yield from (f"- {_escaped(reason)}" for reason in report.reasons)
    if report.reasons:
        yield ""
    if report.needs_attention:
        yield from ("**A human must act:**", "")
        yield from (f"- {_escaped(one)}" for one in report.needs_attention)
        yield ""
    for one in report.settling:
        if one.result == "unwatched":
            spent = f"{one.watched_s:.3g} of {one.limit_s:.3g} s"
            yield f"**Unwatched:** {_escaped(one.what)}: {spent}, {_escaped(one.detail)}"
            yield ""
    yield f"Run {_escaped(report.run)} on {_escaped(report.identity)}, {_escaped(report.started.t)}."
    yield ""


def _steps(report: Report) -> Iterator[str]:
    rows = [
        (
            one.id,
            one.outcome.replace("_", " "),
            seconds(one.duration_s) if one.duration_s is not None else "",
            one.message or one.because or "",
        )
        for one in report.steps
    ]
    return _section("Steps", ("step", "outcome", "time", ""), rows)


def _expectations(report: Report) -> Iterator[str]:
    own = [(one.text, one.result, one.detail) for one in report.expectations]
    of_steps = [(one.text, one.result, one.detail) for step in report.steps for one in step.expectations]
    return _section("Expectations", ("expected", "result", ""), [*of_steps, *own])


def _faults(report: Report) -> Iterator[str]:
    rows = [
        (
            fault.subject,
            plane,
            "yes" if proof else "no",
            proof.brief if proof else fault.missing[plane],
        )
        for fault in report.faults
        for plane, proof in fault.planes.items()
    ]
    return _section("Faults", ("fault", "plane", "proven", "evidence"), rows)


def _metrics(report: Report) -> Iterator[str]:
    rows = [(name, measured(one)) for name, one in report.metrics.items()]
    return _section("Metrics", ("metric", "value"), rows)


def _undos(report: Report) -> Iterator[str]:
    rows = [(one.describe, one.result, one.tries[-1].detail if one.tries else "") for one in report.undos]
    return _section("Undos", ("change", "result", ""), rows)


def _residue(report: Report) -> Iterator[str]:
    if not report.residue:
        yield from ("### Residue", "", "none" if report.complete else "none so far", "")
        return
    rows = [(one.item, one.detail, one.fix) for one in report.residue]
    yield from _section("Residue", ("item", "what is different", "fix"), rows)


def _timeline(report: Report) -> Iterator[str]:
    rows = [
        (
            one.t[11:26],
            f"{offset_ms(report, one):+.1f}",
            one.lane,
            one.subject,
            one.what,
            in_brief(one),
        )
        for one in report.timeline
    ]
    yield from ("<details><summary>Timeline</summary>", "")
    yield from _table(("UTC", "ms", "lane", "subject", "what", "evidence"), rows)
    yield "</details>"


_PARTS = (_head, _steps, _expectations, _faults, _metrics, _undos, _residue, _timeline)


def _section(title: str, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    found = list(rows)
    if found:
        yield from (f"### {title}", "")
        yield from _table(heads, found)


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(heads)} |"
    yield f"|{'---|' * len(heads)}"
    yield from (f"| {' | '.join(map(_escaped, row))} |" for row in rows)
    yield ""


def _escaped(text: str) -> str:
    escaped = LINKING.sub(UNLINKED, SPECIAL.sub(r"\\\1", clean(text)))
    return WWW.sub(r"\1&#46;", escaped)
