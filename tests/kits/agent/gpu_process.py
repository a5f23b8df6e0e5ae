"""A pod's process on a node that is a folder: it uses the GPU under the real shim, with the stand-in driver."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import offbus_agent
from tests.kits import REPOSITORY
from tests.kits.agent.node_world import GPU0, POD, Node

NATIVE = Path(offbus_agent.__file__).parent / "native"
needs_shim = pytest.mark.skipif(
    not (NATIVE / "liboffbus.so").exists() or not (NATIVE / "standin/libcuda.so.1").exists(),
    reason="shim and stand-in driver are not built here (make native)",
)


class GpuProgram:
    """A pod's process on the node, with its shim mapped (or not)."""

    def __init__(self, node: Node, *prefix: str, page: bool = True, home: Path | None = None) -> None:
        fleet = node.root / "gpus.txt"
        fleet.write_text(f"{GPU0} 0000:3b:00.0 68719476736 H100\n")
        env = {
            "PATH": os.environ["PATH"],
            "LD_LIBRARY_PATH": str(NATIVE / "standin"),
            "LD_PRELOAD": str(node.root / "run/offbus/lib/liboffbus.so"),
            "OFFBUS_STANDIN_GPUS": str(fleet),
        }
        home = home or node.root / "pods" / POD
        env["HOME"] = str(home)
        if page:
            env["OFFBUS_PAGE_DIR"] = str(node.ctl.parent)
            own = node.events.parents[1] / home.name  # as its kubelet makes it
            own.mkdir(exist_ok=True)
            env["OFFBUS_EVENTS_DIR"] = str(own)
        program = str(REPOSITORY / "tests/kits/agent/gpu_program.py")
        self.process = subprocess.Popen(
            [*prefix, sys.executable, program],
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        greeting = self._line()
        if greeting != "ready 0 0 0 0 0 0\n":
            self.end()
            raise AssertionError(f"the program cannot use its GPU: {greeting!r}")

    def tell(self, call: str) -> None:
        """Have a call made."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{call}\n")
        self.process.stdin.flush()

    def answer(self) -> int:
        """The code that it returned; waits for it."""
        return int(self._line())

    def ask(self, call: str) -> int:
        """Have a call made, and the code that it returned."""
        self.tell(call)
        return self.answer()

    def end(self) -> None:
        """Kill it."""
        self.process.kill()
        self.process.communicate()

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()
