"""Targets of other kinds than Deployments, deployed, prepared and undone on a real sandbox."""

import json
from pathlib import Path
from typing import Any

import pytest

from offbus.errors import StepError
from offbus.runner.fingerprint_diff import differences
from offbus_sandbox.config import SandboxConfig
from offbus_sandbox.layout import Layout
from offbus_steps.cluster.wait import target_objects
from offbus_steps.deploy.step_types import DEPLOY
from offbus_steps.port import Invalid, Ref
from offbus_steps.prepare.step_types import PREPARE_CUDA
from offbus_steps.workloads.shim_mounts import LIBRARY
from tests.kits.steps.bench import bench, pods_of

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

SANDBOX = SandboxConfig(nodes=2, gpus_per_node=2, responder=None)
"""Two nodes with two GPUs each, real agents, and no responder."""


@pytest.fixture
def anyio_backend() -> str:
    """Environments run on asyncio (design.md, section 4)."""
    return "asyncio"


def stateful_set() -> dict[str, Any]:
    obj = pods_of("ordered", 2)
    return {**obj, "kind": "StatefulSet", "spec": {**obj["spec"], "serviceName": "ordered"}}


def beta_graph() -> dict[str, Any]:
    """A frontend without a GPU, and two workers with one each."""

    def component(name: str, kind: str, **main: Any) -> dict[str, Any]:
        container = {"name": "main", "command": ["sleep", "3600"], "readinessProbe": None, **main}
        pod = {"terminationGracePeriodSeconds": 1, "containers": [container]}
        return {"name": name, "type": kind, "replicas": 1, "podTemplate": {"spec": pod}}

    gpu = {"resources": {"limits": {"nvidia.com/gpu": "1"}}}
    return {
        "apiVersion": "nvidia.com/v1beta1",
        "kind": "DynamoGraphDeployment",
        "metadata": {"name": "graph", "namespace": "drill-a"},
        "spec": {
            "components": [
                component("Frontend", "frontend"),
                component("Decode", "decode", **gpu),
                component("Prefill", "prefill", **gpu),
            ]
        },
    }


def merged_graph() -> dict[str, Any]:
    """As Dynamo's merged manifests are: the engine is a native sidecar, with the GPU, and `main` runs beside it."""
    graph = beta_graph()
    for part in graph["spec"]["components"][1:]:
        pod = part["podTemplate"]["spec"]
        (main,) = pod["containers"]
        pod["initContainers"] = [{**main, "name": "engine", "restartPolicy": "Always"}]
        del main["resources"]
    return graph


def proxied_set() -> dict[str, Any]:
    """A mesh's proxy comes first."""
    obj = stateful_set()
    proxy = {"name": "proxy", "command": ["sleep", "3600"]}
    obj["spec"]["template"]["spec"]["containers"].insert(0, proxy)
    return obj


@pytest.mark.parametrize(
    ("obj", "prepared"),
    [(stateful_set(), 2), (beta_graph(), 2), (merged_graph(), 2), (proxied_set(), 2)],
    ids=["stateful set", "graph v1beta1", "graph with sidecars", "proxy first"],
)
async def test_a_target_is_deployed_prepared_and_left_as_it_was(
    sandbox: Layout, tmp_path: Path, obj: dict[str, Any], prepared: int
) -> None:
    (tmp_path / "target.yaml").write_text(json.dumps(obj))
    async with bench(sandbox, tmp_path) as one:
        before = await one.cluster.fingerprint()
        deployed = await one.run(DEPLOY, manifest="target.yaml", port=8000)
        spec = (await one.objects.get(Ref.of(obj)))["spec"]
        out = await one.run(PREPARE_CUDA, target=deployed.target)
        assert len(out.pods) == prepared
        loaded = [pod for pod in one.cluster.log.world.pods("drill-a") if pod.shim]
        assert sorted(pod.ref.name for pod in loaded) == out.pods
        assert all(pod.gpus for pod in loaded)
        assert (await one.undo(one.undos.pop())).result == "restored"
        assert LIBRARY not in str(await one.objects.get(Ref.of(obj)))
        assert (await one.objects.get(Ref.of(obj)))["spec"] == spec
        assert not any(pod.shim for pod in one.cluster.log.world.pods("drill-a"))
        await one.undo_all()
        assert differences(before, await one.cluster.fingerprint()) == []


@pytest.mark.guarantee("G21")
async def test_a_set_that_would_keep_its_pods_is_refused_and_left_alone(
    sandbox: Layout, tmp_path: Path
) -> None:
    obj = stateful_set()
    obj["spec"]["updateStrategy"] = {"type": "OnDelete"}
    (tmp_path / "target.yaml").write_text(json.dumps(obj))
    async with bench(sandbox, tmp_path) as one:
        deployed = await one.run(DEPLOY, manifest="target.yaml", port=8000)
        recorded = len(one.undos)
        with pytest.raises(StepError, match=r"would not replace its pods .* OnDelete"):
            await one.run(PREPARE_CUDA, target=deployed.target)
        assert len(one.undos) == recorded
        await one.undo_all()


async def test_by_admission_is_refused_where_no_policy_would_act(sandbox: Layout, tmp_path: Path) -> None:
    (tmp_path / "target.yaml").write_text(json.dumps(stateful_set()))
    async with bench(sandbox, tmp_path) as one:
        deployed = await one.run(DEPLOY, manifest="target.yaml", port=8000)
        recorded = len(one.undos)
        with pytest.raises(StepError, match="does not serve MutatingAdmissionPolicy") as raised:
            await one.run(PREPARE_CUDA, target=deployed.target, by="admission")
        assert "by: patch" in str(raised.value)
        assert len(one.undos) == recorded
        await one.undo_all()


async def test_what_nothing_here_would_make_true_is_refused(sandbox: Layout, tmp_path: Path) -> None:
    groups = {
        "apiVersion": "leaderworkerset.x-k8s.io/v1",
        "kind": "LeaderWorkerSet",
        "metadata": {"name": "groups", "namespace": "drill-a"},
        "spec": {"leaderWorkerTemplate": {"workerTemplate": {"spec": {"containers": []}}}},
    }
    (tmp_path / "target.yaml").write_text(json.dumps(groups))
    async with bench(sandbox, tmp_path) as one:
        with pytest.raises(Invalid, match="kind 'LeaderWorkerSet' is not served here"):
            await one.run(DEPLOY, manifest="target.yaml", port=8000)
        assert one.undos == []


async def test_a_canary_beside_the_target_is_not_the_targets(sandbox: Layout, tmp_path: Path) -> None:
    """Its selector says `track NotIn (canary)`, and the canary has all of its labels."""
    canary, stable = pods_of("canary", 1), pods_of("stable", 1)
    for obj, track in ((canary, "canary"), (stable, "stable")):
        labels = {"app": "inference", "track": track}
        obj["spec"]["template"]["metadata"]["labels"] = labels
        obj["spec"]["selector"] = {"matchLabels": labels}
    expression = {"key": "track", "operator": "NotIn", "values": ["canary"]}
    stable["spec"]["selector"] = {"matchLabels": {"app": "inference"}, "matchExpressions": [expression]}
    (tmp_path / "target.yaml").write_text(f"{json.dumps(canary)}\n---\n{json.dumps(stable)}")
    async with bench(sandbox, tmp_path) as one:
        before = await one.cluster.fingerprint()
        deployed = await one.run(DEPLOY, manifest="target.yaml", workload="stable", port=8000)
        assert deployed.replicas == 1
        out = await one.run(PREPARE_CUDA, target=deployed.target)
        assert [name.rpartition("-")[0].rpartition("-")[0] for name in out.pods] == ["stable"]
        listed = [pod["metadata"]["name"] for pod in await target_objects(one.cluster, deployed.target)]
        assert listed == out.pods
        await one.undo_all()
        assert differences(before, await one.cluster.fingerprint()) == []
