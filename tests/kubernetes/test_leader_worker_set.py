"""A LeaderWorkerSet with its real controllers: found as a target, prepared by patch, and as it was again.

Beside an API server of the test's own run the project's controllers and webhooks, Kubernetes' StatefulSet controller
that they build on, and kwok, which plays the node and the pods.
"""

import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from offbus_steps.deploy.step_types import DEPLOY
from offbus_steps.kubernetes.port import KubernetesPort
from offbus_steps.kubernetes.rest.api import Call
from offbus_steps.port import Object, Ref
from offbus_steps.prepare.step_types import PREPARE_CUDA
from offbus_steps.testing.conformance.waiting import until
from offbus_steps.workloads.shim_mounts import LIBRARY
from offbus_steps.workloads.workload_kinds import workload_of
from tests.kits.cluster.kwok import FAKE, SERVER_OPTION, kwok
from tests.kits.cluster.lws import lws, lws_definition, lws_webhooks
from tests.kits.kubernetes.definitions import define
from tests.kits.kubernetes.kubernetes_world import port_to, server_of_its_own
from tests.kits.kubernetes.lone_server import ADMISSION, LoneServer, free_port, program
from tests.kits.steps.bench import Bench, bench_on

pytestmark = [pytest.mark.anyio, pytest.mark.long]  # long: the first time, the controllers and kwok are built

NODE, SPACE = "n1", "drill"
SET = Ref("LeaderWorkerSet", "llm", SPACE)
PODS = ["llm-0", "llm-0-1", "llm-1", "llm-1-1"]
"""Two groups: each a leader, and its worker."""
HOOKS = "/apis/admissionregistration.k8s.io/v1"
GPU = {"limits": {"nvidia.com/gpu": "1"}}
OWN = "/own.so"


@pytest.fixture(scope="module")
def groups(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoneServer]:
    """An API server with the controllers."""
    folder = tmp_path_factory.mktemp("groups")
    with ExitStack() as held:
        server = held.enter_context(server_of_its_own(folder, flags=(*ADMISSION, SERVER_OPTION)))
        kubeconfig, hooks = server.kubeconfig("admin"), free_port()
        anyio.run(installed, server)
        commands = {
            "lws": lws(folder, kubeconfig, hooks),
            "kwok": kwok(folder, kubeconfig, node_ip="127.0.0.1", port=free_port()),
            "manager": [
                program("kube-controller-manager"),
                f"--kubeconfig={kubeconfig}",
                "--controllers=statefulset-controller,garbage-collector-controller,namespace-controller",
                "--leader-elect=false",
                "--bind-address=127.0.0.1",
                f"--secure-port={free_port()}",
                f"--cert-dir={folder / 'manager'}",
            ],
        }
        for name, command in commands.items():
            held.enter_context(running(folder, name, command))
        anyio.run(hooked, server, folder, hooks)
        yield server


@contextmanager
def running(folder: Path, name: str, command: list[str]) -> Iterator[None]:
    """A program, while the block runs; it must not end by itself."""
    log = folder / f"{name}.log"
    with log.open("wb") as said:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, cwd=folder)
    try:
        yield
        assert process.poll() is None, log.read_text()[-3000:]
    finally:
        process.kill()
        process.wait()


async def installed(server: LoneServer) -> None:
    """The definition, a node that kwok plays, and a namespace."""
    async with port_to(server) as port:
        definition = lws_definition()
        await define(port, [definition])
        await port.objects.create(
            {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE, "annotations": FAKE}}
        )
        await port.objects.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SPACE}})


async def hooked(server: LoneServer, folder: Path, port_of_hooks: int) -> None:
    """The webhooks, once they answer: from then on nothing is made without them."""
    with anyio.fail_after(120):
        while True:
            try:
                stream = await anyio.connect_tcp("127.0.0.1", port_of_hooks)
            except OSError:  # nothing tells when a server listens
                await anyio.sleep(0.2)
            else:
                await stream.aclose()
                break
    async with port_to(server) as port:
        for one in lws_webhooks(folder, port_of_hooks):
            await port.api.json(Call("POST", f"{HOOKS}/{one['kind'].lower()}s", body=one))


@pytest.fixture
async def port(groups: LoneServer) -> AsyncIterator[KubernetesPort]:
    """An administrator's."""
    async with port_to(groups) as port:
        yield port


def leader_worker_set() -> dict[str, Any]:
    """Two groups of two; leaders serve HTTP, all hold a GPU."""

    def template(**more: Any) -> dict[str, Any]:
        # a preload of its own: that of an image is read off the process, and here is none
        env = [{"name": "LD_PRELOAD", "value": OWN}]
        container = {"name": "main", "image": "none", "resources": GPU, "env": env, **more}
        return {
            "metadata": {"labels": {"app": "llm"}},
            "spec": {
                "nodeName": NODE,
                "terminationGracePeriodSeconds": 1,
                "containers": [container, {"name": "sidecar", "image": "none"}],
            },
        }

    leader = template(ports=[{"name": "http", "containerPort": 8000}])
    spec = {
        "replicas": 2,
        "leaderWorkerTemplate": {"size": 2, "leaderTemplate": leader, "workerTemplate": template()},
    }
    meta = {"name": SET.name, "namespace": SPACE}
    return {"apiVersion": "leaderworkerset.x-k8s.io/v1", "kind": SET.kind, "metadata": meta, "spec": spec}


async def pods_of(one: Bench) -> dict[str, Object]:
    listed = await one.objects.list("Pod", namespace=SPACE)
    return {pod["metadata"]["name"]: pod for pod in listed.items}


def preloads(pod: Object) -> list[str | None]:
    """LD_PRELOAD of each container."""
    return [
        next((e.get("value") for e in c.get("env") or () if e["name"] == "LD_PRELOAD"), None)
        for c in pod["spec"]["containers"]
    ]


@pytest.mark.timeout(600)
async def test_it_is_found_prepared_by_patch_and_as_it_was_again(
    port: KubernetesPort, tmp_path: Path
) -> None:
    async with bench_on(port, tmp_path) as one:
        await port.objects.create(leader_worker_set())
        await until(port, SET, lambda found: workload_of(found).rolled_out)
        existing = {"kind": SET.kind, "name": SET.name, "namespace": SPACE}
        target = (await one.run(DEPLOY, existing=existing, within_s=200)).target
        before, pods = (await port.objects.get(SET))["spec"], await pods_of(one)
        assert target.port == 8000
        assert sorted(pods) == PODS

        out = await one.run(PREPARE_CUDA, target=target, within_s=200)
        now = await pods_of(one)
        assert out.pods == PODS
        assert sorted(now) == PODS
        assert {name: preloads(pod) for name, pod in now.items()} == {
            name: [f"{LIBRARY}:{OWN}", None] for name in PODS
        }
        assert all(now[name]["metadata"]["uid"] != pods[name]["metadata"]["uid"] for name in PODS)
        assert one.aborted == []

        said = [(await one.undo(undo, within_s=200)).result for undo in reversed(one.undos)]
        assert "restored" in said
        await until(port, SET, lambda found: workload_of(found).rolled_out)
        again = await pods_of(one)
        assert (await port.objects.get(SET))["spec"] == before
        assert {name: preloads(pod) for name, pod in again.items()} == {name: [OWN, None] for name in PODS}
