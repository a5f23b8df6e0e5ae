"""A node with a stand-in GPU and the real shim, and the workload's programs as processes on it."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import httpx

from offbus_agent.page.control import CallClass, ControlPage, EventsPage, Slot
from offbus_agent.page.native_library import SHIM, library, standin_dir
from tests.kits.watching import wait_until

WATCHDOG_S = 60.0
MODEL = "test-model"
GPU = "GPU-5d1d9a3e-1111-2222-3333-000000000001"
HOUR_NS = 3_600_000_000_000


def free_port() -> int:
    """A port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Program:
    """A program that serves HTTP on loopback."""

    def __init__(self, name: str, argv: list[str], environment: dict[str, str], log: Path) -> None:
        self.name = name
        self.log = log
        self.port = free_port()
        with log.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *argv, "--port", str(self.port)],
                env=environment,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        self.client = httpx.Client(
            base_url=f"http://127.0.0.1:{self.port}", timeout=WATCHDOG_S, trust_env=False
        )

    def serving(self) -> "Program":
        """Once it answers; a program that ended instead fails the test with its log."""
        wait_until(self.log.parent, self._serves)
        return self

    def _serves(self) -> bool:
        said = self.log.read_text()
        assert "Traceback" not in said, said
        return "serving on 127.0.0.1:" in said

    def chat(self, tokens: int = 8, **more: Any) -> httpx.Response:
        """A chat request, read whole."""
        return self.client.post("/v1/chat/completions", json=chat(tokens, **more))

    def exit_code(self) -> int:
        """Of the program that ends by itself."""
        return self.process.wait(WATCHDOG_S)

    def terminate(self) -> None:
        """SIGTERM."""
        self.process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL, and wait."""
        self.process.kill()
        self.process.wait(WATCHDOG_S)

    def close(self) -> None:
        """End it if it runs."""
        self.client.close()
        if self.process.poll() is None:
            self.kill()


def chat(tokens: int, **more: Any) -> dict[str, Any]:
    """The body of a chat request."""
    return {"model": MODEL, "messages": [{"role": "user", "content": "hello"}], "max_tokens": tokens, **more}


def events_of(response: httpx.Response) -> list[str]:
    """The data of a streamed answer's events."""
    return [line.removeprefix("data: ") for line in response.iter_lines() if line.startswith("data: ")]


def text_of(events: list[str]) -> str:
    """The text of a streamed chat."""
    chunks = [json.loads(data) for data in events if data != "[DONE]"]
    return "".join((c["choices"][0]["delta"].get("content") or "") for c in chunks if c.get("choices"))


class Node:
    """A node: its page with a living agent, a GPU, and the programs that it runs."""

    def __init__(self, folder: Path, programs: ExitStack) -> None:
        self.folder = folder
        self._programs = programs
        self._count = 0
        self.ctl = programs.enter_context(
            closing(ControlPage.create(folder / "ctl", heartbeat_ttl_ns=HOUR_NS))
        )
        self.ctl.heartbeat(time.clock_gettime_ns(time.CLOCK_BOOTTIME))
        self.events = programs.enter_context(closing(EventsPage.create(folder / "events")))
        (folder / "gpus.txt").write_text(f"{GPU} 0000:3b:00.0 1073741824 NVIDIA H100 80GB HBM3\n")

    def arm(self, *, cuda: int, nvml: int = 0, classes: CallClass, **more: Any) -> None:
        """Put a fault on the GPU."""
        now = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        slot = Slot(
            fault_id="f-1",
            gpu=GPU,
            cuda_err=cuda,
            nvml_err=nvml,
            classes=classes,
            sticky=True,
            expires_ns=now + HOUR_NS,
            **more,
        )
        self.ctl.arm([slot])

    def worker(self, *options: str, **environment: str) -> Program:
        """Start a worker under the shim; it may not serve yet."""
        argv = ["offbus_sandbox.workload.worker", "--model", MODEL, "--token-ms", "1", *options]
        return self._start("worker", argv, {**self._gpu_environment(), **environment})

    def frontend(self, *options: str) -> Program:
        """Start a frontend that reads this node's endpoints file."""
        endpoints = {"OFFBUS_ENDPOINTS": str(self.folder / "endpoints.json"), "DYN_COMPONENT": "Frontend"}
        return self._start("frontend", ["offbus_sandbox.workload.frontend", *options], endpoints)

    def announce(self, **components: list[Program]) -> None:
        """Rewrite the endpoints file, as the local kubelet does."""
        services = {
            name: [{"pod": p.name, "ip": "127.0.0.1", "port": p.port, "node": "node-1"} for p in programs]
            for name, programs in components.items()
        }
        new = self.folder / "endpoints.new"
        new.write_text(json.dumps({"services": services, "frontends": ["Frontend"]}))
        new.replace(self.folder / "endpoints.json")

    def _gpu_environment(self) -> dict[str, str]:
        return {
            "OFFBUS_STANDIN_GPUS": str(self.folder / "gpus.txt"),
            "LD_LIBRARY_PATH": str(standin_dir()),
            "LD_PRELOAD": str(library(SHIM)),
            "OFFBUS_PAGE_DIR": str(self.folder),
        }

    def _start(self, kind: str, argv: list[str], environment: dict[str, str]) -> Program:
        self._count += 1
        name = f"{kind}-{self._count}"
        environment = {"PATH": os.environ["PATH"], "PYTHONUNBUFFERED": "1", **environment}
        program = Program(name, argv, environment, self.folder / f"{name}.log")
        self._programs.callback(program.close)
        return program
