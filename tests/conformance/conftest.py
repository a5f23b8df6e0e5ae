"""A local cluster for the port's conformance suite."""

import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from uuid import uuid4

import anyio
import pytest

from offbus_sandbox.adapter import objects
from offbus_sandbox.adapter.port import LocalPort
from offbus_sandbox.config import SandboxConfig
from offbus_sandbox.layout import Layout
from offbus_sandbox.local.launch import start, stop
from offbus_steps.port import Object, Ref

RETAINED_CHANGES = 200


@pytest.fixture
def anyio_backend() -> str:
    """Environments run on asyncio (design.md, section 4)."""
    return "asyncio"


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Layout]:
    """A running sandbox."""
    layout = Layout.of(tmp_path_factory.mktemp("conformance") / "sandbox")
    anyio.run(start, layout, SandboxConfig(nodes=2, responder=None, retained_changes=RETAINED_CHANGES))
    yield layout
    anyio.run(stop, layout)
    layout.forget_alias()


@pytest.fixture
async def port(layout: Layout) -> AsyncIterator[LocalPort]:
    """The port."""
    async with LocalPort(layout.api) as port:
        yield port


@pytest.fixture
def namespace() -> str:
    """A namespace of the test's own."""
    return f"conformance-{uuid4().hex[:8]}"


@pytest.fixture
def node() -> str:
    """A node with an agent."""
    return "node-1"


@pytest.fixture
def server_pod(tmp_path: Path) -> Callable[..., Object]:
    """A pod that serves a file of several lines."""
    site = tmp_path / "site"
    site.mkdir()
    (site / "index.html").write_text("one\ntwo\nthree\n")

    def make(name: str, *, ready: bool = True) -> Object:
        serve = ["python3", "-m", "http.server", "8080", "--bind", "$(POD_IP)", "--directory", str(site)]
        container = {
            "name": "main",
            "command": serve,
            "ports": [{"name": "http", "containerPort": 8080}],
            "readinessProbe": {"httpGet": {"path": "/" if ready else "/missing", "port": "http"}},
        }
        meta = {"name": name, "labels": {"app": name}}
        return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {"containers": [container]}}

    return make


@pytest.fixture
async def silence(port: LocalPort, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Callable[[], None]]:
    """The supervisor stands still."""
    monkeypatch.setattr(objects, "SILENT_AFTER_S", 2.0)
    supervisor = (await port.sandbox())["pid"]
    yield lambda: os.kill(supervisor, signal.SIGSTOP)
    os.kill(supervisor, signal.SIGCONT)


@pytest.fixture
async def old_version(port: LocalPort, namespace: str) -> str:
    """A version that has fallen out of the window of changes."""
    made = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "churn", "namespace": namespace}}
    old: str = (await port.objects.create(made))["metadata"]["resourceVersion"]
    for count in range(2 * RETAINED_CHANGES + 1):
        await port.objects.patch(Ref("ConfigMap", "churn", namespace), {"data": {"count": str(count)}})
    return old
