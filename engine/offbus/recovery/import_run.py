"""Imports a run whose events its environment stored, so that it can be finished from this machine.

The journal is rebuilt in a run folder of its own (offbus.journal.recovery_events); from then on it is like any other
unfinished run, and `offbus.recovery.recover` finishes it. What comes from the environment is validated: names that
could escape the folder of runs are refused.
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

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@contextmanager
def bring_here(base: Path, remaining: UnfinishedRun) -> Iterator[OpenRun]:
    """Make a run's folder from the stored events, and open it. Raises CouldNotRun."""
    head = next((head for head in map(RUN_STARTED.of, remaining.events) if head is not None), None)
    if head is None or "identity" not in head:
        raise CouldNotRun(f"the stored events of run {remaining.run} are not enough to finish it from here")
    name = str(head.get("name", ""))
    if not is_run(remaining.run) or "-" in remaining.run or not NAME.fullmatch(name):
        raise CouldNotRun(
            f"the stored events of run {remaining.run!r} are not valid: {name!r} cannot be a name"
        )
    with create_run(base, name, str(head["identity"]), remaining.run) as folder:
        for event in remaining.events:
            if (opened := ENVIRONMENT_OPENED.of(event)) is not None:
                note(folder.path, opened["state"])
        rebuild_journal(folder.journal, remaining.events, folder.opener)
        yield folder
