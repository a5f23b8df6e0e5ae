"""The test cluster of this machine (tests.kits.cluster) with deploy/ installed, and ports to it."""

import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing
from typing import Any
from uuid import uuid4

import anyio
import pytest

from offbus_steps.kubernetes.port import KubernetesPort, open_port
from offbus_steps.kubernetes.rest.api import Call
from offbus_steps.kubernetes.rest.connection import Login
from offbus_steps.kubernetes.rest.watch_stream import events_after
from offbus_steps.port import Object, Ref
from tests.kits.cluster.client import Cluster
from tests.kits.cluster.fixtures import cluster
from tests.kits.cluster.own_images import PYTHON_IMAGE, python_mounts
from tests.kits.kubernetes.installing import ClusterPaths, install

__all__ = ["cluster"]

SERVE = """
import http.server, os
os.makedirs("/tmp/site", exist_ok=True)
open("/tmp/site/index.html", "w").write("one\\ntwo\\nthree\\n")
os.chdir("/tmp/site")
http.server.ThreadingHTTPServer(("", 8080), http.server.SimpleHTTPRequestHandler).serve_forever()
"""


@pytest.fixture(scope="session")
def paths(cluster: Cluster) -> ClusterPaths:
    """The cluster, with agents."""
    install(cluster.paths, "base")
    return cluster.paths


@pytest.fixture(scope="module")
def drill_paths(paths: ClusterPaths) -> Iterator[ClusterPaths]:
    """The cluster with all that a drill needs: the stand-in responder, and what plays Dynamo's operator, which ends
    with the module: others bring one that fights."""
    install(paths, "responder")
    with (paths.logs / "graph-controller.log").open("wb") as log:
        operator = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "tests.kits.kubernetes.graph_controller",
                "--kubeconfig",
                str(paths.kubeconfig),
            ],
            stdout=log,
            stderr=log,
        )
    yield paths
    assert operator.poll() is None, (paths.logs / "graph-controller.log").read_text()[-2000:]
    operator.send_signal(signal.SIGINT)
    operator.wait(60)


@pytest.fixture
async def port(paths: ClusterPaths) -> AsyncIterator[KubernetesPort]:
    """The administrator's port."""
    async with open_port(Login(str(paths.kubeconfig)), qps=200, burst=400) as port:
        yield port


@pytest.fixture
async def namespace(port: KubernetesPort) -> AsyncIterator[str]:
    """A namespace of the test's own and its neighbour `…-b`, where pods can be made; both are removed."""
    name = f"conformance-{uuid4().hex[:8]}"
    for one in (name, f"{name}-b"):
        await port.objects.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": one}})
        await default_account(port, one)
    yield name
    for one in (name, f"{name}-b"):
        await port.objects.delete(Ref("Namespace", one))


async def default_account(port: KubernetesPort, namespace: str) -> None:
    """Until it is there, no pod can be made. Listed first: a watch from no version waits for the server's cache."""
    path, one = f"/api/v1/namespaces/{namespace}/serviceaccounts", {"fieldSelector": "metadata.name=default"}
    with anyio.fail_after(60):
        listed = await port.api.json(Call("GET", path, params=one))
        version = listed["metadata"]["resourceVersion"]
        if not listed["items"]:
            async with aclosing(events_after(port.api, path, one, version)) as accounts:
                await anext(accounts)


@pytest.fixture
def node() -> str:
    """A node with an agent."""
    return "n1"


@pytest.fixture
def old_version() -> str:
    """None can be made here without a restart of the API server that others use."""
    pytest.skip("tested on the lone API server, which may be restarted")


@pytest.fixture
def server_pod() -> Callable[..., Object]:
    """A pod that serves a file of several lines."""
    volumes, mounts, interpreter = python_mounts()

    def make(name: str, *, ready: bool = True) -> Object:
        container: dict[str, Any] = {
            "name": "main",
            "image": PYTHON_IMAGE,
            "imagePullPolicy": "Never",
            "command": [interpreter, "-u", "-c", SERVE],
            "ports": [{"name": "http", "containerPort": 8080}],
            "readinessProbe": {
                "httpGet": {"path": "/" if ready else "/missing", "port": "http"},
                "periodSeconds": 1,
            },
            "volumeMounts": mounts,
        }
        meta = {"name": name, "labels": {"app": name}}
        spec = {"containers": [container], "volumes": volumes, "terminationGracePeriodSeconds": 1}
        return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}

    return make
