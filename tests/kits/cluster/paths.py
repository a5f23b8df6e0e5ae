"""Where a cluster keeps its files: one folder below the user's state, mode 0700, removed by teardown.

Programs that were built are kept apart, in the cache: they outlive every cluster.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path

from tests.kits import REPOSITORY
from tests.kits.cluster.errors import ClusterError

__all__ = ["REPOSITORY", "ClusterPaths", "cache", "locked"]


@dataclass(frozen=True, slots=True)
class ClusterPaths:
    """The folders and files of one cluster."""

    root: Path

    @classmethod
    def default(cls) -> "ClusterPaths":
        """`$XDG_STATE_HOME/offbus/cluster`. Raises ClusterError for a path that overlayfs cannot be given."""
        state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state"
        root = Path(state).resolve() / "offbus" / "cluster"
        if set(str(root)) & set(",:\\\n"):
            raise ClusterError(
                f"{root}: a node's overlay mounts take no path with `,`, `:` or `\\`; set XDG_STATE_HOME"
            )
        return cls(root)

    @property
    def logs(self) -> Path:
        """One file a program of the control plane."""
        return self.root / "log"

    @property
    def secrets(self) -> Path:
        """Keys, certificates, tokens and the components' own kubeconfigs."""
        return self.root / "secrets"

    @property
    def images(self) -> Path:
        """OCI archives."""
        return self.root / "images"

    @property
    def etcd(self) -> Path:
        """The cluster's state."""
        return self.root / "etcd"

    @property
    def audit(self) -> Path:
        """The API server's audit log: writes to nodes, with their `stageTimestamp`."""
        return self.logs / "audit.jsonl"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's: a token that expires."""
        return self.root / "kubeconfig"

    @property
    def complete(self) -> Path:
        """Exists when a cluster was started to its end."""
        return self.root / "complete.json"

    @property
    def before(self) -> Path:
        """What the machine looked like before."""
        return self.root / "before.json"

    def node(self, name: str) -> Path:
        """A node's disk."""
        return self.root / "nodes" / name

    def make(self) -> None:
        """Make the folders, closed to other users."""
        for folder in (self.root, self.logs, self.secrets, self.images, self.etcd):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.root.chmod(0o700)


@contextmanager
def locked(paths: ClusterPaths) -> Iterator[None]:
    """Keep a second `make cluster` or `make cluster-down` out. Raises ClusterError when one is at work.

    The lock is beside the folder, so that removing the folder does not let a third one in.
    """
    paths.root.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = paths.root.with_suffix(".lock")
    with path.open("w") as file:
        try:
            flock(file, LOCK_EX | LOCK_NB)
        except BlockingIOError as err:
            raise ClusterError(
                f"{path}: another `make cluster` or `make cluster-down` is at work; wait for it"
            ) from err
        yield


def cache() -> Path:
    """`$XDG_CACHE_HOME/offbus/cluster`: programs by content."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home).resolve() / "offbus" / "cluster"
