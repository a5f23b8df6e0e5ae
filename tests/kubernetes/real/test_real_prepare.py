"""prepare_cuda on the real cluster, against an operator and a GitOps tool that put every foreign change back."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from offbus.errors import StepFailed
from offbus_steps.kubernetes.port import KubernetesPort
from offbus_steps.port import Ref
from offbus_steps.prepare.step_types import PREPARE_CUDA
from offbus_steps.testing.conformance.waiting import until
from offbus_steps.workloads.target import Target
from offbus_steps.workloads.workload_kinds import workload_of
from tests.kits.cluster.own_images import PYTHON_IMAGE, python_mounts
from tests.kits.kubernetes.graph_controller import GraphController
from tests.kits.kubernetes.installing import ClusterPaths
from tests.kits.kubernetes.programs import SAY_MAPPED
from tests.kits.steps.bench import Bench, bench_on

pytestmark = pytest.mark.anyio


def graph(namespace: str) -> dict[str, Any]:
    """A frontend without a GPU and two workers with one each, which say whether the shim is in their memory."""
    volumes, mounts, interpreter = python_mounts()

    def component(name: str, kind: str, replicas: int, **main: Any) -> dict[str, Any]:
        container = {
            "name": "main",
            "image": PYTHON_IMAGE,
            "imagePullPolicy": "Never",
            "command": [interpreter, "-c", SAY_MAPPED],
            "volumeMounts": mounts,
            **main,
        }
        container["readinessProbe"] = {"exec": {"command": [interpreter, "-c", "pass"]}, "periodSeconds": 1}
        pod = {"containers": [container], "volumes": volumes, "terminationGracePeriodSeconds": 1}
        return {"name": name, "type": kind, "replicas": replicas, "podTemplate": {"spec": pod}}

    gpu = {"resources": {"limits": {"nvidia.com/gpu": "1"}}}
    return {
        "apiVersion": "nvidia.com/v1beta1",
        "kind": "DynamoGraphDeployment",
        "metadata": {"name": "g", "namespace": namespace},
        "spec": {
            "components": [component("Frontend", "frontend", 1), component("Worker", "worker", 2, **gpu)]
        },
    }


@asynccontextmanager
async def put_back(port: KubernetesPort) -> AsyncIterator[GraphController]:
    controller = GraphController(port, fights=True)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(controller.run)
        yield controller
        tasks.cancel_scope.cancel()


async def said(one: Bench, target: Target) -> dict[str, str]:
    """What the processes of the target's pods found in their memory."""
    pods = [pod for pod in one.cluster.log.world.pods(target.namespace) if pod.active]
    return {pod.ref.name: (await one.objects.logs(pod.ref)).strip() for pod in pods}


@pytest.mark.guarantee("G20")
@pytest.mark.timeout(400)
async def test_a_patch_is_put_back_and_said_so_and_admission_passes(
    paths: ClusterPaths, port: KubernetesPort, namespace: str, tmp_path: Path
) -> None:
    obj = graph(namespace)
    async with put_back(port) as controller, bench_on(port, tmp_path) as one:
        await port.objects.create(obj)
        await until(port, Ref.of(obj), lambda found: workload_of(found).rolled_out)
        target = Target.of(workload_of(await port.objects.get(Ref.of(obj))))
        before = (await port.objects.get(target.ref))["spec"]

        with pytest.raises(StepFailed, match="was reverted by field manager"):
            await one.run(PREPARE_CUDA, target=target)
        assert target.ref in controller.reverted
        assert await one.undo_all() == ["nothing"]
        assert (await port.objects.get(target.ref))["spec"] == before

        reverted = list(controller.reverted)
        out = await one.run(PREPARE_CUDA, target=target, by="admission")
        now = await said(one, target)
        assert len(out.pods) == 2
        assert {name for name, text in now.items() if text == "shim mapped"} == set(out.pods)
        assert list(now.values()).count("no shim") == 1
        assert controller.reverted == reverted
        assert (await port.objects.get(target.ref))["spec"] == before

        assert await one.undo_all() == ["restored"]
        assert set((await said(one, target)).values()) == {"no shim"}
        assert controller.reverted == reverted
