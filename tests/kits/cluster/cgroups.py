"""The cgroups below which all pods live: made before the nodes, removed after them. Versions 1 and 2."""

import os
from pathlib import Path

from tests.kits.cluster.errors import ClusterError
from tests.kits.cluster.plan import CGROUP, NODES

__all__ = ["cgroups_left", "hierarchies", "make_cgroups", "remove_cgroups"]

ROOT = Path("/sys/fs/cgroup")
WEIGHTS = {"cpu.shares": "16384", "cpu.weight": "1600"}
"""Sixteen times the usual: these are the processes of three machines, and weigh else as much as one of ours."""


def hierarchies() -> list[Path]:
    """One folder a version-1 controller, with `unified` beside them, or the one of version 2. Links only repeat."""
    if (ROOT / "cgroup.controllers").exists():
        return [ROOT]
    return sorted(p for p in ROOT.iterdir() if p.is_dir() and not p.is_symlink())


def make_cgroups() -> None:
    """Make a folder for the cluster and one in it for each node. A cpuset is unusable until it has CPUs and memory."""
    for hierarchy in hierarchies():
        for folder in (hierarchy / CGROUP, *(hierarchy / CGROUP / node.name for node in NODES)):
            folder.mkdir(exist_ok=True)
            for name in ("cpuset.cpus", "cpuset.mems") if hierarchy.name == "cpuset" else ():
                (folder / name).write_text((hierarchy / name).read_text())
        for name, weight in WEIGHTS.items():
            if (file := hierarchy / CGROUP / name).exists():
                file.write_text(weight)


def cgroups_left() -> list[Path]:
    """The cluster's cgroups, innermost first.

    A pod's may go away meanwhile: os.walk passes over it, where `Path.rglob` of Python 3.11 raises.
    """
    tops = [hierarchy / CGROUP for hierarchy in hierarchies()]
    found = [Path(folder) for top in tops for folder, _, _ in os.walk(top)]
    return sorted(found, key=lambda folder: len(folder.parts), reverse=True)


def remove_cgroups() -> None:
    """Remove them; their processes have ended. Raises ClusterError when one is still in use."""
    for folder in cgroups_left():
        try:
            folder.rmdir()
        except FileNotFoundError:
            continue
        except OSError as err:
            raise ClusterError(
                f"{folder}: {err.strerror}; the processes in it: {_processes(folder)}"
            ) from err


def _processes(folder: Path) -> str:
    """The ids of the processes in a cgroup; empty where it has gone meanwhile."""
    try:
        return " ".join((folder / "cgroup.procs").read_text().split())
    except FileNotFoundError:
        return ""
