"""A process, in a mount namespace of its own, below whose root nothing is ever answered (hung_fuse.c)."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

__all__ = ["NAME", "hung_fuse", "needs_fuse"]

NAME = f"hung-fuse-{os.getpid()}"
"""Of the program of this process's tests: no other agent, and no test beside it, takes it for a monitor."""
needs_fuse = pytest.mark.skipif(
    os.geteuid() != 0 or not Path("/dev/fuse").exists(), reason="only root may mount a FUSE file system"
)


@contextmanager
def hung_fuse(folder: Path, how: str) -> Iterator["subprocess.Popen[bytes]"]:
    """`how`: what it does with requests, "pending" or "taken". Its metadata file is below the mount."""
    program, mount = folder / NAME, folder / "mount"
    if not program.exists():
        subprocess.run(["cc", "-O1", "-o", program, Path(__file__).with_suffix(".c")], check=True)
    mount.mkdir(exist_ok=True)
    command = [program, mount, how, f"--metadata-path={mount}/var/lib/gpu_metadata.json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as started:
        try:
            assert started.stdout is not None
            assert started.stdout.readline() == b"ready\n", f"it ended with {started.wait()}"
            yield started
        finally:
            started.kill()
