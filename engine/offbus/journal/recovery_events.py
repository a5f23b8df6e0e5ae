"""The events of a journal that whoever finishes the run from elsewhere needs, and a journal made of them again.

An environment that keeps them (offbus.environment.PersistsEvents) can lose its runner with all of the runner's machine:
the head says what the run was and how long its undo may take, `environment_opened` how the place is reached,
`adopted` who has had the run, the fingerprint what the place was like before, and every undo record what is to be
taken back. Which undos were played already is not kept: an undo that is played again finds nothing to do.

A journal that is rebuilt has its events renumbered (all others are left out on purpose, they are no damage); times and
clocks stay those of the machine that wrote them.
"""

import os
from collections.abc import Iterable
from pathlib import Path

from offbus.errors import JournalError
from offbus.journal.codec import encode
from offbus.journal.events import Event, EventKind

__all__ = ["PersistedEvents", "is_persisted", "rebuild_journal"]

ORDER = (
    EventKind.RUN_STARTED,
    EventKind.ENVIRONMENT_OPENED,
    EventKind.FINGERPRINT,
    EventKind.UNDO_RECORDED,
    EventKind.ADOPTED,
)
"""The kinds, as a rebuilt journal has them."""


def is_persisted(event: Event) -> bool:
    """Whether others need the event."""
    kind = event["kind"]
    return kind in ORDER and (kind != EventKind.FINGERPRINT or event["data"]["when"] == "before")


class PersistedEvents:
    """Collects them, as a listener of the journal's writer."""

    def __init__(self, events: Iterable[Event] = ()) -> None:
        self.events = [one for one in events if is_persisted(one)]

    def heard(self, event: Event) -> None:
        """Take the next event in."""
        if is_persisted(event):
            self.events.append(event)


def rebuild_journal(path: Path, events: Iterable[Event]) -> None:
    """Write a journal of kept events, durably. Raises JournalError; also for events that are none."""
    try:
        ordered = sorted(events, key=lambda one: (ORDER.index(EventKind(one["kind"])), one["seq"]))
        lines = [encode({**event, "seq": number}) for number, event in enumerate(ordered, start=1)]
    except (KeyError, TypeError, ValueError) as err:
        raise JournalError(f"what was kept of the run is no journal: {err!r}") from err
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(fd, "wb") as file:  # noqa: PTH123  a file that must be new, and ours alone
            file.writelines(lines)
            file.flush()
            os.fsync(file.fileno())
    except OSError as err:
        raise JournalError(f"cannot write the journal {path}: {err.strerror}") from err
