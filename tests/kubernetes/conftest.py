"""A lone API server for all tests here, and ports to it. Without its programs the tests are skipped, saying why."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, ExitStack, suppress
from pathlib import Path
from uuid import uuid4

import anyio
import pytest
import yaml

from offbus_steps.kubernetes.port import AGENT_NAMESPACE, KubernetesPort
from offbus_steps.kubernetes.rest import watch_stream
from offbus_steps.port import Conflict, Ref
from tests.kits import REPOSITORY
from tests.kits.kubernetes.definitions import define
from tests.kits.kubernetes.kubernetes_world import PortFor, Users, port_to, server_of_its_own
from tests.kits.kubernetes.lone_server import ADMIN, LoneServer

DEFINED = (
    *sorted((REPOSITORY / "tests/kits/kubernetes/manifests").glob("*-crd.yaml")),
    REPOSITORY / "deploy/responder/janitor-crd.yaml",
    REPOSITORY / "deploy/responder/validation-crd.yaml",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All tests here need the programs of a real cluster, so they run with `make test-cluster`."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.cluster)


@pytest.fixture
def anyio_backend() -> str:
    """Environments run on asyncio (design.md, section 4)."""
    return "asyncio"


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoneServer]:
    """One API server for all; tests that kill it start it again."""
    with server_of_its_own(tmp_path_factory.mktemp("lone-server"), {**ADMIN, **Users.all()}) as server:
        anyio.run(install, server)
        yield server


async def install(server: LoneServer) -> None:
    """The custom resources, established: only then are they served."""
    async with port_to(server) as port:
        documents = [one for path in DEFINED for one in yaml.safe_load_all(path.read_text())]
        await define(port, documents)


@pytest.fixture
def port_for(server: LoneServer) -> PortFor:
    """`async with port_for(user) as port`."""

    def make(user: str) -> AbstractAsyncContextManager[KubernetesPort]:
        return port_to(server, user)

    return make


@pytest.fixture
async def port(port_for: PortFor) -> AsyncIterator[KubernetesPort]:
    """An administrator's port."""
    async with port_for("admin") as port:
        yield port


@pytest.fixture
async def namespace(port: KubernetesPort) -> str:
    """A namespace of the test's own, and its neighbour `…-b`."""
    name = f"conformance-{uuid4().hex[:8]}"
    for one in (name, f"{name}-b"):
        await port.objects.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": one}})
    return name


@pytest.fixture
async def agent_namespace(port: KubernetesPort) -> str:
    """The namespace in which agents, Lease and records usually are; nothing deletes namespaces here."""
    with suppress(Conflict):
        meta = {"name": AGENT_NAMESPACE}
        await port.objects.create({"apiVersion": "v1", "kind": "Namespace", "metadata": meta})
    return AGENT_NAMESPACE


@pytest.fixture
def silence(server: LoneServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """The API server stands still, and its machine answers keep-alive probes."""
    monkeypatch.setattr(watch_stream, "ASKED_S", (3, 3))
    monkeypatch.setattr(watch_stream, "SLACK_S", 1.0)
    with ExitStack() as suspended:
        yield lambda: suspended.enter_context(server.suspended())


@pytest.fixture
async def old_version(server: LoneServer, port: KubernetesPort, namespace: str) -> str:
    """Of before the API server began to keep changes: it keeps none of before its start."""
    made = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "old", "namespace": namespace}}
    old: str = (await port.objects.create(made))["metadata"]["resourceVersion"]
    for count in range(3):
        await port.objects.patch(Ref("ConfigMap", "old", namespace), {"data": {"count": str(count)}})
    server.kill_api()
    await anyio.to_thread.run_sync(server.start_api)
    return old
