"""`offbus` as a process, with a small environment of its own: runs of it are started, killed and recovered.

The environment is a package made for the test: a file of keys and values, registered by entry points as any other.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

from offbus.runs import RunFolder
from tests.kits import REPOSITORY

__all__ = ["LONG", "Commands", "Gate", "ended", "killed"]

PLUGIN = f"""\
import sys
sys.path.insert(0, {str(REPOSITORY)!r})
from tests.kits.engine import world_steps
SET, WAIT = world_steps.STEP_TYPES["set_key"], world_steps.STEP_TYPES["wait"]
WORLD = world_steps.REGISTRY.environment_type("world")
"""
DIST_INFO = """\
[offbus.steps]
set_key = law_plugin:SET
wait = law_plugin:WAIT
[offbus.environments]
world = law_plugin:WORLD
[offbus.undos]
restore_key = tests.kits.engine.world_undos:RestoreKey
disarm = tests.kits.engine.world_undos:Disarm
"""
LONG = 60


class Gate:
    """A pipe at whose path whoever reads it waits, until the test lets it pass; from then on a file."""

    def __init__(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        os.mkfifo(path)
        self._path = path

    def reached(self) -> None:
        """Returns when somebody waits there."""
        self._writer = os.open(self._path, os.O_WRONLY)

    def pass_with(self, text: str = "") -> None:
        """Let them read this."""
        held = self._path.with_name("passed")
        held.write_text(text)
        held.replace(self._path)
        os.write(self._writer, text.encode())
        os.close(self._writer)


class Commands:
    """`offbus` with that package on its path."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.runs = folder / "state" / "offbus" / "runs"
        package = folder / "site"
        (package / "law_plugin-1.0.dist-info").mkdir(parents=True)
        (package / "law_plugin.py").write_text(PLUGIN)
        (package / "law_plugin-1.0.dist-info" / "entry_points.txt").write_text(DIST_INFO)
        self.env = os.environ | {
            "XDG_STATE_HOME": str(folder / "state"),
            "PYTHONPATH": f"{package}:{REPOSITORY}",
            "NO_COLOR": "1",
        }

    def scenario(self, place: str = "world.json", seconds: float = 600) -> Path:
        path = self.folder / f"{place}.yaml"
        path.write_text(
            f"offbus: 1\nname: left\nenvironment: {{uses: world, path: {self.folder / place}}}\nsteps:\n"
            "  - {id: fault, uses: set_key, with: {key: f, fault: true, undo: disarm}}\n"
            "  - {id: more, uses: set_key, with: {key: more}}\n"
            f"  - {{id: slow, uses: wait, timeout: 1h, with: {{seconds: {seconds}}}}}\n"
        )
        return path

    def call(self, *arguments: object) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "offbus", *map(str, arguments)]
        return subprocess.run(
            command, env=self.env, cwd=self.folder, capture_output=True, text=True, timeout=LONG
        )

    def begin(self, *arguments: object) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "offbus", *map(str, arguments)]
        return subprocess.Popen(
            command,
            env=self.env,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def start(self, *arguments: object, line: str = " slow ", times: int = 1) -> "subprocess.Popen[str]":
        """Start a run; returns when its lines have said this so often: by default, that its slow step has begun."""
        process = self.begin(*arguments, "--view", "lines")
        assert process.stdout is not None
        for shown in process.stdout:
            times -= line in shown
            if not times:
                return process
        raise AssertionError(f"it ended with {process.wait()}")

    def newest(self) -> RunFolder:
        return RunFolder(max(path for path in self.runs.iterdir() if path.name[0] != "."))

    def world(self, place: str = "world.json") -> dict[str, str]:
        held: dict[str, str] = json.loads((self.folder / place).read_text())
        return held


def ended(process: "subprocess.Popen[str]") -> str:
    """What it printed, once it has ended."""
    return process.communicate(timeout=LONG)[0]


def killed(commands: Commands, runner: "subprocess.Popen[str]") -> RunFolder:
    """The folder of a run whose runner is killed."""
    runner.kill()
    ended(runner)
    return commands.newest()
