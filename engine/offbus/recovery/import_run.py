"""Imports a run whose events its environment stored, so that it can be finished from this machine.

The journal is rebuilt in a run folder of its own (offbus.journal.recovery_events); from then on it is like any other
unfinished run, and `offbus.recovery.recover` finishes it. What comes from the environment is hostile input: an id that
is no run's is refused. A name is for people, whatever it is (that of a matrix's cell is `drill[size=4]`), and keeps no
run from being finished: the folder's is made of what is harmless in it.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from offbus.abilities import UnfinishedRun
from offbus.errors import CouldNotRun
from offbus.journal.events import is_run
from offbus.journal.kinds import ENVIRONMENT_OPENED, RUN_STARTED
from offbus.journal.recovery_events import rebuild_journal
from offbus.open_run import OpenRun, create_run
from offbus.run_origin import note

__all__ = ["bring_here"]

_ODD = re.compile(r"[^A-Za-z0-9._]+")
LONGEST_NAME = 64


@contextmanager
def bring_here(base: Path, remaining: UnfinishedRun) -> Iterator[OpenRun]:
    """Make a run's folder from the stored events, and open it. Raises CouldNotRun."""
    head = next((head for head in map(RUN_STARTED.of, remaining.events) if head is not None), None)
    if head is None or "identity" not in head:
        raise CouldNotRun(f"the stored events of run {remaining.run} are not enough to finish it from here")
    if not is_run(remaining.run) or "-" in remaining.run:
        raise CouldNotRun(f"{remaining.run!r} is no run's id, so its stored events are not read")
    name = _ODD.sub("-", str(head.get("name", ""))).strip("-.")[:LONGEST_NAME].rstrip("-.")
    with create_run(base, name or "run", str(head["identity"]), remaining.run) as folder:
        for event in remaining.events:
            if (opened := ENVIRONMENT_OPENED.of(event)) is not None:
                note(folder.path, opened["state"])
        rebuild_journal(folder.journal, remaining.events, folder.opener)
        yield folder
