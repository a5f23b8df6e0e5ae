"""A node's boot id: the machine's, until a simulated reboot writes another one below the node's root.

It keeps janitor and detector separate programs: one writes a new id, the other detects the change. Raises
OSError. Must not: guess.
"""

import uuid
from pathlib import Path

from offbus.files import replacing

__all__ = ["boot_id_folder", "read_boot_id", "renew_boot_id"]

_NAME = "boot_id"
_FOLDER = "var/run/nvsentinel"
"""The only folder of NVSentinel's on a node that its programs may write to."""
_MACHINE = Path("/proc/sys/kernel/random/boot_id")


def boot_id_folder(root: Path) -> Path:
    """The folder where a simulated reboot shows; created when missing."""
    folder = root / _FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def read_boot_id(root: Path) -> str:
    """The node's current boot id."""
    try:
        return (root / _FOLDER / _NAME).read_text().strip()
    except FileNotFoundError:
        return _MACHINE.read_text().strip()


def renew_boot_id(root: Path) -> None:
    """Replace it, as a reboot does; readers see the old or the new one, never a part."""
    with replacing(boot_id_folder(root) / _NAME, 0o644) as file:
        file.write(f"{uuid.uuid4()}\n".encode())
