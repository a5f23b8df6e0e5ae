"""Local clusters for tests: real supervisors, real processes, small and quick."""

import os
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from offbus_sandbox.adapter import LocalPort
from offbus_sandbox.config import Backoff, SandboxConfig
from offbus_sandbox.layout import Layout
from offbus_sandbox.start import start, stop
from offbus_sandbox.store.database import Database
from offbus_sandbox.store.store import Store
from offbus_steps.port import Object

QUICK = SandboxConfig(
    nodes=2,
    gpus_per_node=1,
    responder=None,
    agents=False,
    backoff=Backoff(base_s=0.2, cap_s=0.4),
    probe_period_s=0.05,
)


@pytest.fixture
def anyio_backend() -> str:
    """Environments run on asyncio (design.md, section 4)."""
    return "asyncio"


@pytest.fixture
def config() -> SandboxConfig:
    """The configuration of the test's sandbox; override it in a module or class."""
    return QUICK


@pytest.fixture
def layout(tmp_path: Path) -> Iterator[Layout]:
    """A sandbox's files; whatever a test started on them is ended after it."""
    layout = Layout.of(tmp_path / "sandbox")
    yield layout
    anyio.run(stop, layout)
    layout.forget_alias()


@pytest.fixture
async def port(layout: Layout, config: SandboxConfig) -> AsyncIterator[LocalPort]:
    """The port of a running sandbox."""
    await start(layout, config)
    async with LocalPort(layout.api) as port:
        yield port


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An object store without a supervisor."""
    store = Store(Database(tmp_path / "store.sqlite"), kept_changes=10)
    yield store
    store.close()


@pytest.fixture
def program(tmp_path: Path) -> Callable[[str], list[str]]:
    """`program(source)` -> the command that runs it, as a pod would."""

    def make(source: str) -> list[str]:
        path = tmp_path / f"program-{len(list(tmp_path.glob('program-*')))}.py"
        path.write_text(source)
        return ["python3", str(path)]

    return make


class Pipe:
    """What programs in pods tell the test, a line at a time: an event instead of looking at logs again and again."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self.path = path
        self._fd = os.open(path, os.O_RDWR)  # also a writer, so that it never ends between two programs
        self._text = b""

    async def heard(self) -> str:
        """The next line, without its end."""
        with anyio.fail_after(60):
            while b"\n" not in self._text:
                await anyio.wait_readable(self._fd)
                self._text += os.read(self._fd, 4096)
        line, _, self._text = self._text.partition(b"\n")
        return line.decode()

    def close(self) -> None:
        """Close it."""
        os.close(self._fd)


@pytest.fixture
def pipe(tmp_path: Path) -> Iterator[Pipe]:
    """A named pipe for programs in pods."""
    pipe = Pipe(tmp_path / "pipe")
    yield pipe
    pipe.close()


def pod(name: str, command: list[str], **spec: Any) -> Object:
    """A pod with one container."""
    container = {"name": "main", "command": command, **spec.pop("container", {})}
    meta = {"name": name, "namespace": "test", "labels": {"app": name}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {"containers": [container], **spec}}


SLEEP = ["python3", "-c", "import signal; signal.pause()"]
"""Lives until it is told to end."""


def deployment(name: str, replicas: int, command: list[str], *, gpus: int = 0, **spec: Any) -> Object:
    """A Deployment of pods with one container."""
    resources = {"limits": {"nvidia.com/gpu": str(gpus)}} if gpus else {}
    container = {"name": "main", "command": command, "resources": resources}
    template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [container]}}
    body = {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template, **spec}
    meta = {"name": name, "namespace": "test"}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": body}
