"""A node's folder (docs/architecture.md, "A node, as its programs see it"), created once and kept over restarts."""

import os
import time
from collections.abc import Sequence
from pathlib import Path

from offbus_sandbox.nodes.gpus import Gpu, write_gpu_files

__all__ = ["make_node_folder"]

FOLDERS = ("log", "pods", "run/offbus", "var/lib/offbus", "var/lib/nvsentinel")
BOOT_PREFIX = 6
"""Facility kernel (0), level info (6): only the kernel itself can write that facility, and this is its boot line."""


def make_node_folder(root: Path, node: str, gpus: Sequence[Gpu], *, driver: str, metadata: bool) -> None:
    """Create what is missing; an existing kernel log is never changed."""
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    for folder in FOLDERS:
        (root / folder).mkdir(mode=0o700, parents=True, exist_ok=True)
    write_gpu_files(root, node, gpus, driver=driver, metadata=metadata)
    # the first record of the node's kernel log, as a record of `/dev/kmsg`
    usec = time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000
    line = f"{BOOT_PREFIX},1,{usec},-;Linux version {os.uname().release} (offbus local node {node})\n"
    try:
        fd = os.open(root / "kmsg", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return
    with os.fdopen(fd, "w") as file:
        file.write(line)
