"""The traces that a repair leaves on a local node, where nothing is repaired: its folder stands for the node.

Reboot: a new id in `<nodes>/NAME/boot_id`. GPU reset: the line of NVSentinel's reset job in the node's kernel
log, read back. In a cluster there is no such folder: there the janitor stays manual. Raises RepairError.
Must not: follow a node name out of the folder.
"""

from collections.abc import Sequence
from pathlib import Path

from offbus_agent.kernel_log import KernelLogError, open_kernel_log
from offbus_sandbox.responder.boot_id import renew_boot_id

__all__ = ["NodeRepair", "RepairError"]


class RepairError(Exception):
    """Raised when a repair cannot be reported; the message says why."""


class NodeRepair:
    """Writes below the folder that holds all nodes' folders."""

    def __init__(self, nodes: Path) -> None:
        self._nodes = nodes

    def reboot(self, node: str) -> None:
        """Give the node a new boot id."""
        try:
            renew_boot_id(self._folder(node))
        except OSError as err:
            raise RepairError(f"the boot id of {node} cannot be written: {err}") from err

    def reset(self, node: str, uuids: Sequence[str]) -> None:
        """Log a successful reset of each GPU."""
        try:
            log = open_kernel_log(self._folder(node) / "kmsg")
            for gpu in uuids:
                log.write(f"GPU reset executed: {gpu}, success: true", level=3)
        except (KernelLogError, ValueError) as err:
            raise RepairError(f"the reset on {node} cannot be logged: {err}") from err

    def _folder(self, node: str) -> Path:
        folder = self._nodes / node
        if Path(node).name != node or not folder.is_dir():
            raise RepairError(f"there is no folder of a node {node!r} in {self._nodes}")
        return folder
