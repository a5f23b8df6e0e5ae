"""Local clusters for tests: real supervisors, real processes, small and quick."""

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import anyio
import pytest

from offbus_sandbox.adapter.port import LocalPort
from offbus_sandbox.config import SandboxConfig
from offbus_sandbox.layout import Layout
from offbus_sandbox.local.launch import start, stop
from offbus_sandbox.store.database import Database
from offbus_sandbox.store.store import Store
from tests.kits.sandbox.local_cluster import QUICK, Pipe


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
    store = Store(Database(tmp_path / "store.sqlite"), retained_changes=10)
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


@pytest.fixture
def pipe(tmp_path: Path) -> Iterator[Pipe]:
    """A named pipe for programs in pods."""
    pipe = Pipe(tmp_path / "pipe")
    yield pipe
    pipe.close()
