"""A node's boot id: the machine's, or on a local node, where nodes share a machine, the one in its own
folder.

`<root>/boot_id` exists once a simulated reboot has written it. It is how janitor and detector stay separate
programs: one writes a new id, the other sees that it changed. Raises OSError. Must not: guess.
"""

import uuid
from pathlib import Path

__all__ = ["read_boot_id", "renew_boot_id"]

_NAME = "boot_id"
_MACHINE = Path("/proc/sys/kernel/random/boot_id")


def read_boot_id(root: Path) -> str:
    """The node's boot id now."""
    try:
        return (root / _NAME).read_text().strip()
    except FileNotFoundError:
        return _MACHINE.read_text().strip()


def renew_boot_id(root: Path) -> None:
    """What a reboot does to it; readers see the old or the new one, never a part."""
    new = root / f".{_NAME}.new"
    new.write_text(f"{uuid.uuid4()}\n")
    new.replace(root / _NAME)
