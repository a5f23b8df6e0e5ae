"""The folder of events files: one for each pod, mounted into that pod alone (`events/<pod uid>/events`).

Job: create a file in every pod's folder, read them all, and remove the folders of pods that are gone. The kubelet makes
a pod's folder when it starts a container (a mount by subPathExpr), as root; the agent makes the file in it, once the
folder is given to it (`pod_folders`). A pod may do what it
wants in its folder: nothing there is followed, only a regular file of the right form is read, and what a row says
counts only for the pod whose folder it is in. Nobody else reaches it: the folder of all pods is closed, and each pod
has only its own mounted. A file that cannot be used is that pod's own loss, logged once.
"""

import logging
import os
import re
import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from offbus_agent.page.events import EventsPage, ProcessRow
from offbus_agent.page.files import PageError
from offbus_agent.page.pod_folders import OwnFolders, PodFolders

__all__ = ["EventsFolder", "PodRows"]

_UID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_CLOSED = 0o700
_MOST_PODS = 1024
"""A kubelet runs 110 pods by default, 500 at most (its --max-pods)."""
_YOUNG_S = 60.0
"""A folder is made before its pod's first process starts."""
_MOST_REMOVED = 20_000
"""Entries that one round removes, of all gone pods together: some tenths of a second."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PodRows:
    """The rows of one pod's file; unverified."""

    pod: str
    """The pod's uid."""
    rows: list[ProcessRow]


class EventsFolder:
    """All pods' events files of one node."""

    def __init__(self, path: Path, folders: PodFolders | None = None) -> None:
        """See `make`. `folders` gives and removes those of pods; without one, this process does."""
        self.path = path
        self._folders = folders or OwnFolders()
        self._told: set[str] = set()

    def make(self) -> None:
        """Create the folder, closed to every other user of the node. Raises OSError for anything but a real folder.

        One of an older agent, or of a kubelet that came first, is closed now.
        """
        self.path.mkdir(mode=_CLOSED, exist_ok=True)
        fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            if os.fstat(fd).st_uid == os.geteuid():
                os.fchmod(fd, _CLOSED)
        finally:
            os.close(fd)

    def pods(self) -> list[Path]:
        """The pods' folders now, at most _MOST_PODS; folders that are not named as a pod's uid are passed over."""
        self.path.mkdir(mode=_CLOSED, exist_ok=True)  # whoever removed it
        with os.scandir(self.path) as entries:
            found = sorted(
                one.name for one in entries if _UID.fullmatch(one.name) and one.is_dir(follow_symlinks=False)
            )
        return [self.path / name for name in found[:_MOST_PODS]]

    def read(self) -> list[PodRows]:
        """Every pod's rows, those without any left out; files are made where there are none. Blocking."""
        read = (PodRows(folder.name, page.read()) for folder, page in self._opened())
        return [one for one in read if one.rows]

    def forget(self, generations: Collection[int]) -> None:
        """Free the rows of generations whose evidence is no longer needed. Blocking."""
        for _, page in self._opened():
            page.forget(generations)

    def tidy(self, living: Collection[str], young_s: float = _YOUNG_S, most: int = _MOST_REMOVED) -> None:
        """Remove the folders of pods that are not among the living; younger ones than `young_s` stay. Blocking.

        Each gone pod has the same share of the `most` entries that are removed now; the rest of it stays until the next
        call.
        """
        gone = [folder for folder in self.pods() if folder.name not in living and _age_s(folder) > young_s]
        for folder in gone:
            try:
                with suppress(FileNotFoundError):
                    self._folders.remove(folder, max(1, most // len(gone)))
            except OSError as err:
                self._tell_once(folder, f"it cannot be removed: {err.strerror}")
        self._told &= {folder.name for folder in self.pods()}

    def _opened(self) -> Iterator[tuple[Path, EventsPage]]:
        for folder in self.pods():
            try:
                self._folders.give(folder)
                page = EventsPage.create(folder / "events")
            except (PageError, OSError) as err:
                self._tell_once(folder, str(err))
                continue
            try:
                yield folder, page
            finally:
                page.close()

    def _tell_once(self, folder: Path, why: str) -> None:
        if folder.name not in self._told:
            self._told.add(folder.name)
            _log.warning("pod %s reports nothing from here on: %s: %s", folder.name, folder, why)


def _age_s(folder: Path) -> float:
    """Seconds since it was changed last; 0 for one that is gone."""
    try:
        return time.time() - folder.stat(follow_symlinks=False).st_ctime
    except OSError:
        return 0.0
