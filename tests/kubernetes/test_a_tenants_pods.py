"""What a tenant gains on a real API server who may create pods in a target's namespace, and nothing else: nothing."""

import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from offbus_steps.agents.live_faults import LiveFault
from offbus_steps.kubernetes.port import KubernetesPort
from offbus_steps.observe.await_recovery import _complete
from offbus_steps.port import Forbidden, Object, Ref
from offbus_steps.prepare.step_types import PREPARE_CUDA
from offbus_steps.prepare.undo_fields import RestoreFields
from offbus_steps.watch.target_pods import target_pods
from offbus_steps.workloads.shim_fields import preload_fields
from offbus_steps.workloads.shim_mounts import LIBRARY
from offbus_steps.workloads.target import Target
from offbus_steps.workloads.workload_kinds import workload_of
from tests.kits.kubernetes.deployments import deployed, deployment, pods_of, preloads
from tests.kits.kubernetes.killed_runs import Drill, seen
from tests.kits.kubernetes.kubernetes_world import bind_role, port_to, server_of_its_own
from tests.kits.kubernetes.lone_server import ADMIN, LoneServer
from tests.kits.kubernetes.pod_player import READY, playing
from tests.kits.steps.bench import Bench, bench_on
from tests.kits.steps.faults import FAULT

pytestmark = [pytest.mark.anyio, pytest.mark.cluster]

TENANT = "tenant"
EVIL = "$(HOME)/evil.so relative.so /models/evil.so"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoneServer]:
    """An API server with somebody who may only create pods, in one namespace for each test."""
    with server_of_its_own(tmp_path_factory.mktemp("tenants"), {**ADMIN, TENANT: "tenants"}) as made:
        yield made


@pytest.fixture
async def port(server: LoneServer) -> AsyncIterator[KubernetesPort]:
    async with port_to(server) as admin:
        yield admin


class Stranger:
    """The tenant, with the target's labels."""

    def __init__(self, port: KubernetesPort, kubelet: KubernetesPort, namespace: str) -> None:
        self._port, self._kubelet, self._namespace = port, kubelet, namespace

    async def create(self, labels: dict[str, str], preload: str = "", node: str = "") -> Object:
        """A pod, ready as its kubelet reports it."""
        env = [{"name": "LD_PRELOAD", "value": preload}] if preload else []
        spec: dict[str, Any] = {"containers": [{"name": "main", "image": "none", "env": env}]}
        meta = {"name": "innocent", "namespace": self._namespace, "labels": labels}
        body = {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}
        made: Object = await self._port.objects.create({**body, "spec": {**spec, "nodeName": node or None}})
        await self._kubelet.objects.patch(Ref.of(body), {"status": READY}, status=True)
        return made

    async def patch(self, ref: Ref) -> None:
        """What it may not."""
        await self._port.objects.patch(ref, {"metadata": {"labels": {"x": "y"}}})


@asynccontextmanager
async def tenant_of(server: LoneServer, port: KubernetesPort, namespace: str) -> AsyncIterator[Stranger]:
    """Who may create pods in a new namespace."""
    await port.objects.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": "pods", "namespace": namespace},
        "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["create"]}],
    }
    await bind_role(port, role, TENANT, "")
    async with port_to(server, TENANT) as own:
        yield Stranger(own, port, namespace)


@asynccontextmanager
async def standing(port: KubernetesPort, folder: Path, namespace: str) -> AsyncIterator[tuple[Bench, Target]]:
    """A target with two pods; its controllers play while it comes up."""
    async with bench_on(port, folder) as one:
        async with playing(port, namespace):
            target = await deployed(port, deployment("llm", namespace))
        yield one, target


async def test_it_writes_no_library_into_the_workload(
    server: LoneServer, port: KubernetesPort, tmp_path: Path
) -> None:
    space = "writes-none"
    async with tenant_of(server, port, space) as stranger, standing(port, tmp_path, space) as (one, target):
        with pytest.raises(Forbidden):
            await stranger.patch(target.ref)
        await stranger.create(dict(target.selector), EVIL)
        with anyio.move_on_after(10):  # nobody plays the rollout
            await one.run(PREPARE_CUDA, target=target, by="patch")
        found = await port.objects.get(target.ref)
        [main, _] = preloads({"spec": found["spec"]["template"]["spec"]})
        assert main in (None, LIBRARY)


async def test_its_pod_completes_no_target_and_proves_no_fault(
    server: LoneServer, port: KubernetesPort, tmp_path: Path
) -> None:
    space = "completes-none"
    async with tenant_of(server, port, space) as stranger, standing(port, tmp_path, space) as (one, target):
        await one.cluster.observer.watch_target(target)
        await one.cluster.log.until(lambda world: _complete(target, set())(world) or None)
        lost, _ = await pods_of(one, target)
        await port.objects.delete(Ref.of(lost), grace_seconds=0)
        made = await stranger.create(dict(target.selector), node="n1")
        innocent = Ref("Pod", "innocent", space)
        with anyio.fail_after(60):
            await one.cluster.log.until(
                lambda world: any(pod.ref == innocent and pod.ready for pod in world.pods()) or None
            )
        world = one.cluster.log.world
        assert len(target_pods(world, target)) == 1
        assert not _complete(target, set())(world)
        call = {"plane": "cuda", "function": "cuInit", "code": 719, "code_name": "X", "pid": 7, "tid": 7}
        call |= {"host_pid": 4242, "pod_uid": made["metadata"]["uid"], "gpu": "GPU-1", "at_ns": 5}
        fault = FAULT.model_copy(update={"node": "n1"})
        assert not one.cluster.faults.called(LiveFault(fault, target), call)


async def test_it_keeps_no_undo_of_a_rollout_from_ending(
    server: LoneServer, port: KubernetesPort, tmp_path: Path
) -> None:
    space = "keeps-none"
    async with tenant_of(server, port, space) as stranger, standing(port, tmp_path, space) as (one, target):
        found = await port.objects.get(target.ref)
        fields = preload_fields(workload_of(found), await pods_of(one, target), port.host_path)
        await stranger.create(dict(target.selector), LIBRARY)
        undone = await one.undo(RestoreFields.of(found, fields, rollout=target))
        assert undone.result == "nothing"


async def test_it_keeps_no_run_from_undoing(server: LoneServer, port: KubernetesPort, tmp_path: Path) -> None:
    """The real program, with the runner's own roles' reads, ended by Ctrl-C."""
    space = "ends"
    async with tenant_of(server, port, space) as stranger:
        with Drill(tmp_path, server.kubeconfig("admin"), space, undo_timeout="60s").ending_all() as drill:
            runner = drill.run()
            await seen(port, drill.made[-1], runner)
            await stranger.create({"app": "llm"})
            runner.send(signal.SIGINT)
            assert await runner.ended() == 130, runner.said
        assert await port.objects.get(Ref("Pod", "innocent", space))
