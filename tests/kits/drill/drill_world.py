"""What drill tests do to the world of a run: its sandbox, its processes, a variant of its scenario."""

import json
import os
import signal
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.kits.drill.playing import SCENARIOS, Offbus, copy_targets

__all__ = [
    "Sandbox",
    "aliases_of",
    "all_pids",
    "is_below",
    "processes_below",
    "signal_program",
    "up",
    "variant",
]


@dataclass
class Sandbox:
    """A sandbox that outlives its runs (`offbus local up`)."""

    offbus: Offbus

    @property
    def folder(self) -> Path:
        """Where it lives."""
        status = json.loads(self.offbus.call("local", "status", "--json").stdout)
        return Path(status["folder"])

    def nodes(self) -> list[Path]:
        """The nodes' folders."""
        return sorted((self.folder / "nodes").iterdir())


def up(offbus: Offbus, *options: str) -> Sandbox:
    """Start a sandbox."""
    done = offbus.call("local", "up", "--no-gateway", *options)
    assert done.returncode == 0, done.stdout + done.stderr
    return Sandbox(offbus)


def processes_below(folder: Path) -> list[int]:
    """Every process that was started with `folder`, or a short name of it, in its environment or command line, or
    that is in it."""
    names = [name.encode() for name in (str(folder), *aliases_of(folder))]
    return [pid for pid in all_pids() if pid != os.getpid() and is_below(pid, folder, names)]


def aliases_of(folder: Path) -> list[str]:
    """Short names of sandboxes below a folder: programs with sockets use them where paths are long."""
    home = Path(tempfile.gettempdir(), f"offbus-{os.getuid()}")
    links = [link for link in home.iterdir() if link.is_symlink()] if home.is_dir() else []
    return [str(link) for link in links if link.readlink().is_relative_to(folder.resolve())]


def all_pids() -> list[int]:
    """Every process."""
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def is_below(pid: int, folder: Path, names: list[bytes]) -> bool:
    """Whether a process belongs to a folder."""
    entry = Path("/proc", str(pid))
    try:
        said = (entry / "environ").read_bytes() + (entry / "cmdline").read_bytes()
        where = (entry / "cwd").readlink()
    except OSError:
        return False
    return any(name in said for name in names) or where.is_relative_to(folder.resolve())


def signal_program(folder: Path, program: str, number: signal.Signals) -> list[int]:
    """Send a signal to every process of a sandbox that runs a Python module; who got it."""
    found = []
    for pid in processes_below(folder):
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if program.encode() in words:
            os.kill(pid, number)
            found.append(pid)
    return found


def variant(tmp_path: Path, name: str, **changes: str) -> Path:
    """A copy of a scenario, next to its targets, with pieces of its text replaced."""
    text = (SCENARIOS / f"{name}.yaml").read_text()
    for old, new in changes.items():
        key = old.replace("__", " ")
        assert key in text, f"{key!r} is not in {name}.yaml"
        text = text.replace(key, new)
    folder = tmp_path / "scenarios"
    folder.mkdir(exist_ok=True)
    copy_targets(folder)
    path = folder / f"{name}.yaml"
    path.write_text(text)
    return path
