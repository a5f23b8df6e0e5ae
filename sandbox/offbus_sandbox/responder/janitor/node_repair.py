"""Simulated repairs: the traces of a repair on a node where nothing is repaired.

Reboot: a new boot id below the node's root. GPU reset: the line of NVSentinel's reset job in the node's kernel log,
read back. In `local` all nodes are folders of one folder; in a cluster each node has its own janitor. Raises
RepairError. Must not: follow a node name out of the folder.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from offbus_agent.kernel_log.log import KernelLogError
from offbus_agent.kernel_log.open import open_kernel_log
from offbus_sandbox.responder.boot_id import renew_boot_id

__all__ = ["LocalNodes", "NodeRepair", "OwnNode", "RepairError"]


class RepairError(Exception):
    """Raised when a repair cannot be reported; the message says why."""


class NodeRepair(ABC):
    """Simulates repairs."""

    @abstractmethod
    def reaches(self, node: str) -> bool:
        """Whether the node's repairs are simulated here."""

    @abstractmethod
    def root(self, node: str) -> Path:
        """The root of the node's file system. Raises RepairError."""

    @abstractmethod
    def kernel_log(self, node: str) -> Path:
        """The node's kernel log. Raises RepairError."""

    def reboot(self, node: str) -> None:
        """Give the node a new boot id."""
        try:
            renew_boot_id(self.root(node))
        except OSError as err:
            raise RepairError(f"cannot write the boot id of {node}: {err}") from err

    def reset(self, node: str, uuids: Sequence[str]) -> None:
        """Log a successful reset of each GPU."""
        try:
            log = open_kernel_log(self.kernel_log(node))
            for gpu in uuids:
                log.write(f"GPU reset executed: {gpu}, success: true", level=3)
        except (KernelLogError, ValueError) as err:
            raise RepairError(f"cannot log the reset on {node}: {err}") from err


@dataclass(frozen=True, slots=True)
class LocalNodes(NodeRepair):
    """The nodes of `local`: their folders are in one folder."""

    _nodes: Path

    def reaches(self, node: str) -> bool:
        """All nodes."""
        return True

    def kernel_log(self, node: str) -> Path:
        """Its record file."""
        return self.root(node) / "kmsg"

    def root(self, node: str) -> Path:
        """Its folder."""
        folder = self._nodes / node
        if Path(node).name != node or not folder.is_dir():
            raise RepairError(f"node {node!r} has no folder in {self._nodes}")
        return folder


@dataclass(frozen=True, slots=True)
class OwnNode(NodeRepair):
    """The node of a cluster that this program runs on."""

    _node: str
    _root: Path
    _kernel_log: Path

    def reaches(self, node: str) -> bool:
        """Only that node."""
        return node == self._node

    def root(self, node: str) -> Path:
        """As it is mounted."""
        return self._root

    def kernel_log(self, node: str) -> Path:
        """The kernel's own."""
        return self._kernel_log
