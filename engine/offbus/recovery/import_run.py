"""Imports a run whose events its environment stored, so that it can be finished from this machine.

The journal is rebuilt in a run folder of its own (offbus.journal.recovery_events); from then on it is like any other
unfinished run, and `offbus.recovery.recover` finishes it. What comes from the environment is validated: names that
could escape the folder of runs are refused.
"""

import json
import re
from pathlib import Path

from offbus.environment import UnfinishedRun
from offbus.errors import CouldNotRun
from offbus.journal.events import EventKind, is_run
from offbus.journal.recovery_events import rebuild_journal
from offbus.run_origin import note
from offbus.runs import RunFolder, run_stamp

__all__ = ["bring_here"]

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def bring_here(base: Path, remaining: UnfinishedRun) -> RunFolder:
    """Make a run's folder from the stored events. Raises CouldNotRun."""
    head = next((one["data"] for one in remaining.events if one["kind"] == EventKind.RUN_STARTED), None)
    if head is None:
        raise CouldNotRun(f"the stored events of run {remaining.run} are not enough to finish it from here")
    name = str(head.get("name", ""))
    if not is_run(remaining.run) or "-" in remaining.run or not NAME.fullmatch(name):
        raise CouldNotRun(
            f"the stored events of run {remaining.run!r} are not valid: {name!r} cannot be a name"
        )
    folder = RunFolder(base / f"{run_stamp()}-{name}-{remaining.run}")
    try:
        folder.path.mkdir(mode=0o700, parents=True)
        folder.unfinished.touch(mode=0o600)
        folder.unfinished.write_text(json.dumps({"identity": str(head["identity"])}), encoding="utf-8")
    except (OSError, KeyError) as err:
        raise CouldNotRun(f"cannot create a folder for run {remaining.run} below {base}: {err}") from err
    for event in remaining.events:
        if event["kind"] == EventKind.ENVIRONMENT_OPENED:
            note(folder.path, event["data"]["state"])
    rebuild_journal(folder.journal, remaining.events)
    return folder
