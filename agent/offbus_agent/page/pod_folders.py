"""Gives the agent the folders of pods, which the kubelet makes as root, and removes them: itself, or by the helper.

Job: after `give` the agent can look into the folder and make a file in it, whatever user the pod's processes have. A
folder that cannot be given is a PageError: its pod's own loss. A kernel-log helper that cannot be asked raises
HelperUnreachable: it is asked again later.
"""

import os
import stat
from pathlib import Path
from typing import Protocol

from offbus_agent.kmsg_helper import AskPod, HelperRefused, Kind, KmsgHelper, Reply, Status
from offbus_agent.page.files import PageError
from offbus_agent.page.removal import remove_some

__all__ = ["HelperFolders", "OwnFolders", "PodFolders"]

_OF_A_POD = 0o755
"""Its processes may have any user. The kubelet gives it the mode of the folder above (makeMounts, kubelet_pods.go)."""


class PodFolders(Protocol):
    """Both raise OSError, too: FileNotFoundError for a folder that is gone."""

    def give(self, folder: Path) -> None:
        """Have the folder opened for the agent and for its pod. Raises PageError, HelperUnreachable."""

    def remove(self, folder: Path, most: int) -> None:
        """Remove up to so many entries of the folder, the folder itself at last. Raises HelperUnreachable."""


class OwnFolders(PodFolders):
    """By this process: it has the rights of who made them."""

    def give(self, folder: Path) -> None:
        """See `PodFolders.give`."""
        if stat.S_IMODE(folder.stat().st_mode) != _OF_A_POD:
            folder.chmod(_OF_A_POD)

    def remove(self, folder: Path, most: int) -> None:
        """See `PodFolders.remove`."""
        remove_some(folder, most)


class HelperFolders(PodFolders):
    """By the kernel-log helper, which looks for them below its own root."""

    def __init__(self, helper: KmsgHelper) -> None:
        self._helper = helper

    def give(self, folder: Path) -> None:
        """See `PodFolders.give`. It is asked only for what is not given yet."""
        found = folder.stat()
        if found.st_uid == os.geteuid() and stat.S_IMODE(found.st_mode) == _OF_A_POD:
            return
        _done(self._helper.ask(Kind.GIVE_POD, AskPod(uid=folder.name.encode())), folder)

    def remove(self, folder: Path, most: int) -> None:
        """See `PodFolders.remove`."""
        _done(self._helper.ask(Kind.REMOVE_POD, AskPod(uid=folder.name.encode(), most=most)), folder)


def _done(reply: Reply, folder: Path) -> None:
    match reply.status:
        case Status.DONE:
            return
        case Status.OTHERS:
            raise PageError("it belongs to another user: a process of the pod gave it away")
        case Status.NOT_FOUND | Status.FAILED:
            raise OSError(reply.error, reply.why, str(folder))
        case _:
            raise HelperRefused(reply.status)
