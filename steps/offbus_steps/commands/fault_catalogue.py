"""What `offbus xid` does: finds the faults that are meant or wanted, and prints them."""

import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import click

from offbus.colour import wants_colour
from offbus.errors import UsageError
from offbus_agent.conformance import faults
from offbus_steps.commands.fault_entry import FaultEntry, xids_schema
from offbus_steps.commands.fault_facts import entry_of
from offbus_steps.commands.fault_names import fault_named
from offbus_steps.commands.fault_text import listed, page

__all__ = ["Wanted", "show_faults"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which faults to list; None and () are no wish."""

    kind: str | None = None
    severities: Sequence[str] = ()
    cordons: bool | None = None
    sticky: bool | None = None
    planes: Sequence[str] = ()
    actions: Sequence[str] = ()
    drilled: bool | None = None

    def admits(self, entry: FaultEntry) -> bool:
        """Whether a fault is wanted."""
        return (
            self.kind in ("all", entry.kind)
            and (not self.severities or entry.severity in self.severities)
            and self.cordons in (None, entry.cordons)
            and self.sticky in (None, entry.sticky)
            and set(self.planes) <= set(entry.planes)
            and (not self.actions or entry.action in self.actions)
            and self.drilled in (None, bool(entry.drilled_by))
        )


def show_faults(names: Sequence[str], wanted: Wanted, form: str) -> None:
    """Print the faults of these names, else those that are wanted. Raises UsageError."""
    if form == "schema":
        if names or wanted != Wanted():
            raise UsageError("--format schema takes no fault and no filter")
        click.echo(json.dumps(xids_schema(), indent=2, ensure_ascii=False))
        return
    if names and wanted != Wanted():
        raise UsageError(
            "a filter chooses among all faults; it goes with no FAULT", hint="leave one of them out"
        )
    as_json = form == "json"
    named = [entry_of(fault_named(name)) for name in names]
    found = named or list(_wanted(wanted, with_oracles=as_json))
    if as_json:
        click.echo(json.dumps([one.model_dump(mode="json") for one in found], indent=2, ensure_ascii=False))
        return
    colour = wants_colour(sys.stdout, os.environ)
    for line in "\n\n".join(map(page, found)).split("\n") if names else listed(found):
        click.echo(line, color=colour)


def _wanted(wanted: Wanted, *, with_oracles: bool) -> Iterator[FaultEntry]:
    chosen = Wanted(**{**asdict(wanted), "kind": wanted.kind or "xid"})
    for fault in faults():
        if chosen.admits(entry_of(fault, with_oracles=False)):
            yield entry_of(fault, with_oracles=with_oracles)
