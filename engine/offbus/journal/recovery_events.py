"""The events of a journal that a recovery on another machine needs, and a journal rebuilt from them.

With these stored in the environment (offbus.abilities.PersistsEvents), a run can be finished although the runner's
machine is lost: the head says what the run was and how long its undo may take, `environment_opened` how the environment
is reached, `adopted` who owned the run, the fingerprint what the environment was like before, and every undo record
what to undo. Which undos were already played is not stored: an undo that is played again finds nothing to do.

A rebuilt journal has its events renumbered (all others are left out on purpose and do not count as damage); times and
clocks stay those of the machine that wrote them.
"""

import os
from collections.abc import Iterable
from pathlib import Path

from offbus.errors import JournalError
from offbus.files import Opener
from offbus.journal.codec import encode
from offbus.journal.events import Event, EventKind
from offbus.journal.kinds import FINGERPRINT

__all__ = ["PersistedEvents", "is_persisted", "rebuild_journal"]

ORDER = (
    EventKind.RUN_STARTED,
    EventKind.ENVIRONMENT_OPENED,
    EventKind.FINGERPRINT,
    EventKind.UNDO_RECORDED,
    EventKind.ADOPTED,
)
"""The kinds, in the order of a rebuilt journal."""


def is_persisted(event: Event) -> bool:
    """Whether a recovery on another machine needs the event."""
    fingerprint = FINGERPRINT.of(event)
    return event["kind"] in ORDER and (fingerprint is None or fingerprint["when"] == "before")


class PersistedEvents:
    """Collects them, as a listener of the journal's writer."""

    def __init__(self, events: Iterable[Event] = ()) -> None:
        self.events = [one for one in events if is_persisted(one)]

    def heard(self, event: Event) -> None:
        """Take the next event in."""
        if is_persisted(event):
            self.events.append(event)


def rebuild_journal(path: Path, events: Iterable[Event], opener: Opener = os.open) -> None:
    """Write a journal of stored events, durably. Raises JournalError, also for events that make no journal."""
    try:
        ordered = sorted(events, key=lambda one: (ORDER.index(EventKind(one["kind"])), one["seq"]))
        lines = [encode({**event, "seq": number}) for number, event in enumerate(ordered, start=1)]
    except (KeyError, TypeError, ValueError) as err:
        raise JournalError(f"the stored events of the run are not a journal: {err!r}") from err
    try:
        fd = opener(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(fd, "wb") as file:  # noqa: PTH123  a file that must be new, and ours alone
            file.writelines(lines)
            file.flush()
            os.fsync(file.fileno())
    except OSError as err:
        raise JournalError(f"cannot write the journal {path}: {err.strerror}") from err
