"""What `offbus conformance` does: the cells of `offbus_agent.conformance` as tables, or as JSON."""

import json
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import click

from offbus.colour import wants_colour
from offbus.errors import UsageError
from offbus.findings.suggest import did_you_mean
from offbus_agent.conformance import SURFACES, Cell, Fault, cells, does, faults
from offbus_agent.detectors.rules import Detector, Release, detectors
from offbus_steps.commands.fault_names import fault_named

__all__ = ["as_json", "columns", "counts", "show_table"]

KINDS = {"xid": "XIDs", "sxid": "SXIDs of NVSwitches", "fallen-off": "the line without an XID"}


@dataclass(frozen=True, slots=True)
class Column:
    """One release of a detector."""

    detector: Detector
    release: Release

    @property
    def name(self) -> str:
        """As --detector takes it."""
        return f"{self.detector.name}/{self.release.name}"


def show_table(names: Sequence[str], chosen: Sequence[str], surfaces: Sequence[str], form: str) -> None:
    """Print it. Raises UsageError."""
    wanted = list(_chosen(chosen))
    shown = _known_surfaces(surfaces)
    meant = tuple(map(fault_named, names))
    found = list(_cells(meant or faults(), wanted, shown))
    if form == "json":
        click.echo(json.dumps(as_json(found, wanted, shown), indent=1, ensure_ascii=False))
        return
    colour = wants_colour(sys.stdout, os.environ)
    lines = _of_faults(meant, found, wanted) if meant else _of_all(found, wanted, shown)
    for line in lines:
        click.echo(line, color=colour)


def columns() -> Iterator[Column]:
    """Every release of every detector."""
    yield from (Column(one, release) for one in detectors() for release in one.releases)


def as_json(found: Iterable[Cell], wanted: Iterable[Column], shown: Sequence[str]) -> dict[str, Any]:
    """The whole table: who was asked, by which rules, and one entry a fault and release."""
    rows: dict[tuple[str, str, str], dict[str, Any]] = {}
    for cell in found:
        key = (cell.fault, cell.detector, cell.release)
        row = rows.setdefault(key, {"fault": key[0], "detector": key[1], "release": key[2], "does": ""})
        row["does"] = row["does"] or cell.does
        row[cell.surface] = {"detected": cell.detected, "why": cell.why}
    return {"format": 1, "surfaces": list(shown), "detectors": _told(wanted), "rows": list(rows.values())}


def counts(found: Iterable[Cell]) -> Mapping[tuple[str, str, str], str]:
    """By kind, column and surface, how many faults are seen: all, none (-), or a number."""
    kinds = {fault.name: fault.kind for fault in faults()}
    seen, total = Counter[tuple[str, str, str]](), Counter[tuple[str, str, str]]()
    for cell in found:
        key = (kinds[cell.fault], f"{cell.detector}/{cell.release}", cell.surface)
        total[key] += 1
        seen[key] += cell.detected
    return {
        key: "-" if not seen[key] else "all" if seen[key] == of else f"{seen[key]} of {of}"
        for key, of in total.items()
    }


def _cells(of: Iterable[Fault], wanted: Sequence[Column], shown: Sequence[str]) -> Iterator[Cell]:
    names = {column.name for column in wanted}
    for cell in cells(of):
        if f"{cell.detector}/{cell.release}" in names and cell.surface in shown:
            yield cell


def _chosen(chosen: Sequence[str]) -> Iterator[Column]:
    known = list(columns())
    names = {name for column in known for name in (column.name, column.detector.name)}
    for one in chosen:
        if one not in names:
            raise UsageError(
                f"there is no detector {one!r}",
                hint=did_you_mean(one, sorted(names), f"known: {', '.join(column.name for column in known)}"),
            )
    for column in known:
        if not chosen or column.name in chosen or column.detector.name in chosen:
            yield column


def _known_surfaces(surfaces: Sequence[str]) -> Sequence[str]:
    for one in surfaces:
        if one not in SURFACES:
            hint = did_you_mean(one, SURFACES, f"known: {', '.join(SURFACES)}")
            raise UsageError(f"there is no dialect or plane {one!r}", hint=hint)
    return [one for one in SURFACES if not surfaces or one in surfaces]


def _told(wanted: Iterable[Column]) -> list[dict[str, Any]]:
    grouped: dict[str, list[Column]] = {}
    for column in wanted:
        grouped.setdefault(column.detector.name, []).append(column)
    return [
        {
            "name": name,
            "title": mine[0].detector.title,
            "source": mine[0].detector.source,
            "releases": [asdict(column.release) for column in mine],
            "rules": [asdict(rule) for rule in mine[0].detector.rules],
        }
        for name, mine in grouped.items()
    ]


def _of_all(found: Sequence[Cell], wanted: Sequence[Column], shown: Sequence[str]) -> Iterator[str]:
    told = counts(found)
    for kind, words in KINDS.items():
        total = sum(fault.kind == kind for fault in faults())
        yield click.style(f"{total} {words}" if total > 1 else words, bold=True)
        rows = [(one.name, *(told[kind, one.name, surface] for surface in shown)) for one in wanted]
        yield from _table(("detector", *shown), rows)
        yield ""
    yield from _releases(wanted)
    yield ""
    yield "`offbus conformance FAULT` says why one is not seen, and what each would do; --format json has every rule"


def _of_faults(meant: Sequence[Fault], found: Sequence[Cell], wanted: Sequence[Column]) -> Iterator[str]:
    for fault in meant:
        yield click.style(
            f"{fault.kind} {fault.name}" if fault.number else "the line without an XID", bold=True
        )
        for column in wanted:
            key = (fault.name, column.detector.name, column.release.name)
            mine = [cell for cell in found if (cell.fault, cell.detector, cell.release) == key]
            yield from _of_column(column, fault, mine)
        yield ""
    yield from _releases(wanted)


def _of_column(column: Column, fault: Fault, mine: Sequence[Cell]) -> Iterator[str]:
    sees = [cell.surface for cell in mine if cell.detected]
    yield f"  {column.name}: {does(column.detector, fault)}" if sees else f"  {column.name}: does not see it"
    reasons: dict[tuple[bool, str], list[str]] = {}
    for cell in mine:
        reasons.setdefault((cell.detected, cell.why), []).append(cell.surface)
    for (detected, why), surfaces in reasons.items():
        yield f"    {'seen' if detected else 'not seen'} on {', '.join(surfaces)}: {why}"


def _releases(wanted: Sequence[Column]) -> Iterator[str]:
    yield click.style("known by", bold=True)
    width = max((len(column.name) for column in wanted), default=0)
    for column in wanted:
        one = column.release
        yield f"  {column.name:<{width}}  reads {one.reads}; {one.how}: {one.version}; {one.source}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    for row in (head, *rows):
        yield "  " + "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
