"""Faults on several nodes and GPUs in one step, on a real sandbox: chosen as asked, each with a proof and an undo."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from offbus.errors import GuardRefused, StepError, StepFailed
from offbus.runner.fingerprint_diff import differences
from offbus_sandbox.config import SandboxConfig
from offbus_sandbox.layout import Layout
from offbus_steps.deploy.step_types import DEPLOY
from offbus_steps.inject.step_types import INJECT_XID, XidParams
from offbus_steps.port import Ref
from offbus_steps.safety.guards import ClusterGuards
from tests.kits.steps.bench import Bench, Context, bench, pods_of

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

SANDBOX = SandboxConfig(nodes=3, gpus_per_node=2, responder=None)
"""Three nodes with two GPUs each, real agents, and no responder."""

CLIQUE = "nvidia.com/gpu.clique"
SOON = timedelta(seconds=0.2)


@pytest.fixture
def anyio_backend() -> str:
    """Environments run on asyncio (design.md, section 4)."""
    return "asyncio"


@asynccontextmanager
async def deployed(
    sandbox: Layout, folder: Path, *, replicas: int = 3, gpus: int = 2, **guards: Any
) -> AsyncIterator[tuple[Bench, Any]]:
    """A target with one pod on each node; everything is undone afterwards, and nothing is left."""
    (folder / "target.yaml").write_text(yaml.safe_dump(pods_of("target", replicas, gpus=gpus)))
    async with bench(sandbox, folder, ClusterGuards(**guards)) as one:
        before = await one.cluster.fingerprint()
        out = await one.run(DEPLOY, manifest="target.yaml", port=8000)
        yield one, out.target
        await one.undo_all()
        assert differences(before, await one.cluster.fingerprint()) == []


async def line(one: Bench, target: Any, xid: int = 94, **where: Any) -> Any:
    return await one.run(INJECT_XID, target=target, xid=xid, patience=SOON, **where)


async def uuids(one: Bench, node: str) -> list[str]:
    """By index."""
    gpus = (await one.cluster.agents.health(node))["gpus"]
    return [gpu["uuid"] for gpu in sorted(gpus, key=lambda gpu: gpu["index"])]


def log_of(sandbox: Layout, node: str) -> str:
    return (sandbox.node(node) / "kmsg").read_text()


@pytest.mark.guarantee("G22")
async def test_each_node_has_a_fault_a_proof_and_undos_of_its_own(sandbox: Layout, tmp_path: Path) -> None:
    async with deployed(sandbox, tmp_path) as (one, target):
        before = len(one.undos)
        out = await line(one, target, node_count=2)
        assert len(set(out.nodes)) == len({fault.id for fault in out.faults}) == 2
        assert (out.node, out.fault, out.gpus) == (out.nodes[0], out.faults[0], out.faults[0].gpus)
        assert out.all_gpus == [gpu for fault in out.faults for gpu in fault.gpus]
        assert all(fault.nodes == out.nodes for fault in out.faults)
        assert {one["fault"] for one in one.events("fault_declared")} == {f.id for f in out.faults}
        proven = {(one["fault"], one["evidence"]["node"]) for one in one.events("fault_proven")}
        assert proven == {(fault.id, fault.node) for fault in out.faults}
        for fault in out.faults:
            assert f"offbus={fault.id}" in log_of(sandbox, fault.node)
        (left,) = {"node-1", "node-2", "node-3"} - set(out.nodes)
        assert not any(fault.id in log_of(sandbox, left) for fault in out.faults)
        assert [undo.describe().split()[0] for undo in one.undos[before:]] == ["clear", "disarm"] * 2


async def test_nodes_are_chosen_by_name_share_label_and_domain(sandbox: Layout, tmp_path: Path) -> None:
    async with deployed(sandbox, tmp_path) as (one, target):
        first = (await line(one, target)).node
        others = sorted({"node-1", "node-2", "node-3"} - {first})
        assert set((await line(one, target, nodes=others)).nodes) == set(others)
        assert len((await line(one, target, node_percent=34)).nodes) == 2
        assert len((await line(one, target, node_percent=100)).nodes) == 3
        for node, clique in ((first, "a.0"), (others[0], "a.0"), (others[1], "b.0")):
            await one.objects.patch(Ref("Node", node), {"metadata": {"labels": {CLIQUE: clique}}})
        assert set((await line(one, target, nvlink_domain="own")).nodes) == {first, others[0]}
        assert (await line(one, target, nvlink_domain="b.0")).nodes == [others[1]]
        assert (await line(one, target, node_label=f"{CLIQUE}=b.0")).nodes == [others[1]]
        with pytest.raises(StepFailed, match=r"on a node with nvidia.com/gpu.clique=c.0"):
            await line(one, target, nvlink_domain="c.0")
        for node in (first, *others):
            await one.objects.patch(Ref("Node", node), {"metadata": {"labels": {CLIQUE: None}}})
        with pytest.raises(StepError, match="its NVLink domain is unknown"):
            await line(one, target, nvlink_domain="own")
        with pytest.raises(StepFailed, match=r"4 nodes of .* are needed, there are 3"):
            await line(one, target, node_count=4)


async def test_gpus_are_chosen_by_index_uuid_count_and_share(sandbox: Layout, tmp_path: Path) -> None:
    async with deployed(sandbox, tmp_path) as (one, target):
        known = {node: await uuids(one, node) for node in ("node-1", "node-2", "node-3")}
        by_index = await line(one, target, nodes=["node-2", "node-3"], gpus=[1])
        assert by_index.all_gpus == [known["node-2"][1], known["node-3"][1]]
        by_uuid = await line(one, target, gpus=[known["node-3"][0]])
        assert (by_uuid.nodes, by_uuid.gpus) == (["node-3"], [known["node-3"][0]])
        both = await line(one, target, gpus=[known["node-2"][0], known["node-1"][1]])
        assert set(both.nodes) == {"node-1", "node-2"}
        assert set(both.all_gpus) == {known["node-2"][0], known["node-1"][1]}
        half = await line(one, target, node_percent=100, gpu_percent=50)
        assert [len(fault.gpus) for fault in half.faults] == [1, 1, 1]
        assert len((await line(one, target, node="node-1", gpu_count=2)).gpus) == 2
        with pytest.raises(
            StepFailed, match="3 GPUs that the target holds on node-1 are needed, there are 2"
        ):
            await line(one, target, node="node-1", gpu_count=3)
        with pytest.raises(StepError, match=r"node-1 has no GPU 7 \(it has 0, 1\)"):
            await line(one, target, node="node-1", gpus=[7])
        with pytest.raises(StepError, match="node-1 has no GPU GPU-none"):
            await line(one, target, node="node-1", gpus=["GPU-none"])


async def test_staggered_faults_come_one_after_another(sandbox: Layout, tmp_path: Path) -> None:
    async with deployed(sandbox, tmp_path) as (one, target):
        out = await line(one, target, node_count=3, gpu_count=1, stagger=timedelta(milliseconds=1))
        order = [
            (event["kind"], event["data"]["fault"])
            for event in one.all_events()
            if event["kind"] in ("fault_declared", "fault_proven")
        ]
        assert order == [
            (kind, fault.id) for fault in out.faults for kind in ("fault_declared", "fault_proven")
        ]
        assert [fault.mark for fault in out.faults] == sorted(fault.mark for fault in out.faults)


@pytest.mark.guarantee("G22")
async def test_what_fails_half_way_is_undone_whole(
    sandbox: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with deployed(sandbox, tmp_path) as (one, target):
        second = sorted(pod.ref.name for pod in one.cluster.log.world.pods(target.namespace))[1]

        async def meanwhile(_self: Context, _duration: timedelta) -> None:
            await one.objects.delete(Ref("Pod", second, target.namespace), grace_seconds=0)

        monkeypatch.setattr(Context, "sleep", meanwhile)
        with pytest.raises(StepError, match=f"{second} is gone|{second} has moved"):
            await line(one, target, node_count=3, stagger=timedelta(seconds=1))
        assert len(one.events("fault_declared")) == 1
        nodes = {pod.node for pod in one.cluster.log.world.pods(target.namespace) if pod.node}
        assert sum([len(await one.cluster.agents.faults(node)) for node in nodes]) == 1


@pytest.mark.guarantee("G22")
async def test_guards_count_all_nodes_before_anything_is_touched(sandbox: Layout, tmp_path: Path) -> None:
    async with deployed(sandbox, tmp_path, replicas=2, max_cordoned_nodes=1) as (one, target):
        with pytest.raises(GuardRefused, match=r"max_cordoned_nodes: 2 nodes \(node-\d, node-\d\) would be"):
            await line(one, target, xid=79, node_count=2)
        assert one.events("fault_declared") == []


@pytest.mark.guarantee("G22")
async def test_evictions_of_all_nodes_have_to_fit_together(sandbox: Layout, tmp_path: Path) -> None:
    async with deployed(sandbox, tmp_path, replicas=2, max_cordoned_nodes=2) as (one, target):
        with pytest.raises(GuardRefused, match=r"evicted from node-\d, node-\d do not fit .* 2 GPU"):
            await line(one, target, xid=79, node_count=2)
        assert one.events("fault_declared") == []


@pytest.mark.guarantee("G22")
async def test_a_node_that_is_about_to_be_cordoned_counts_already(sandbox: Layout, tmp_path: Path) -> None:
    async with deployed(sandbox, tmp_path, replicas=2, max_cordoned_nodes=1) as (one, target):
        first = await line(one, target, xid=79)
        other = next(
            pod.node for pod in one.cluster.log.world.pods(target.namespace) if pod.node != first.node
        )
        with pytest.raises(GuardRefused, match="max_cordoned_nodes: 2 nodes"):
            await line(one, target, xid=79, node=other)
        assert len(one.events("fault_declared")) == 1


@pytest.mark.guarantee("G22")
async def test_replicas_of_all_nodes_are_missing_together(sandbox: Layout, tmp_path: Path) -> None:
    guards = {"max_cordoned_nodes": 3, "min_healthy_replicas": 1}
    async with deployed(sandbox, tmp_path, **guards) as (one, target):
        with pytest.raises(GuardRefused, match=r"min_healthy_replicas: 0 of .* would remain"):
            await line(one, target, xid=79, node_percent=100)
        assert one.events("fault_declared") == []


@pytest.mark.parametrize(
    ("where", "why"),
    [
        ({"node": "n", "nodes": ["m"]}, "one of node, nodes"),
        ({"node": "n", "node_count": 2}, "names one node"),
        ({"node_count": 1, "node_percent": 50}, "one of node_count, node_percent"),
        ({"gpus": [0], "gpu_count": 1}, "one of gpus, gpu_count"),
        ({"node_percent": 0}, "greater than 0"),
        ({"node_percent": 101}, "less than or equal to 100"),
        ({"gpu_count": 0}, "greater than or equal to 1"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_contradictions_are_found_before_the_run(where: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        XidParams(**where)
