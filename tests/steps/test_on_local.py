"""Steps and undos on a real sandbox: real objects, processes, agents and kernel logs."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
import yaml

from offbus.errors import GuardRefused, StepError, StepFailed
from offbus.runner.fingerprint_diff import differences
from offbus_sandbox.config import SandboxConfig
from offbus_sandbox.layout import Layout
from offbus_steps.agents.client import AgentRefused
from offbus_steps.deploy.step_types import DEPLOY
from offbus_steps.deploy.undo_delete import DeleteObject
from offbus_steps.inject.step_types import ARM_CUDA, INJECT_XID
from offbus_steps.inject.undo_consequences import ClearConsequences
from offbus_steps.inject.undo_disarm import DisarmFault
from offbus_steps.nvsentinel.cause import Cause
from offbus_steps.observe.step_types import HOLD
from offbus_steps.port import NotFound, Ref
from offbus_steps.prepare.undo_fields import RestoreFields
from offbus_steps.safety.guards import ClusterGuards
from offbus_steps.workloads.fields import apply, merge_patch, plan
from tests.kits.steps.bench import Bench, bench, pods_of
from tests.kits.steps.responder_marks import taking_uncordons

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

SANDBOX = SandboxConfig(nodes=2, gpus_per_node=2, responder=None)
"""Two nodes with two GPUs each, real agents, and no responder: tests play its part."""

STATE = "dgxc.nvidia.com/nvsentinel-state"
HELD = "quarantineHealthEventIsCordoned"


@pytest.fixture
def anyio_backend() -> str:
    """Environments run on asyncio (design.md, section 4)."""
    return "asyncio"


@asynccontextmanager
async def deployed(
    sandbox: Layout, folder: Path, *, replicas: int = 1, **guards: Any
) -> AsyncIterator[tuple[Bench, Any]]:
    """A bench with a target of `replicas` pods; everything is undone afterwards, and nothing is left."""
    (folder / "target.yaml").write_text(yaml.safe_dump(pods_of("target", replicas)))
    async with bench(sandbox, folder, ClusterGuards(**guards) if guards else None) as one:
        before = await one.cluster.fingerprint()
        out = await one.run(DEPLOY, manifest="target.yaml", port=8000)
        yield one, out.target
        await one.undo_all()
        assert differences(before, await one.cluster.fingerprint()) == []


async def config_map(one: Bench, **data: str) -> dict[str, Any]:
    """A fresh ConfigMap."""
    ref = Ref("ConfigMap", "probe", "default")
    await gone(one, ref)
    meta = {"name": ref.name, "namespace": ref.namespace}
    obj = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data}
    made: dict[str, Any] = await one.objects.create(obj)
    return made


async def gone(one: Bench, ref: Ref) -> None:
    """See to it that an object is not there."""
    try:
        await one.objects.delete(ref)
    except NotFound:
        return


@pytest.mark.parametrize(
    ("theirs", "result", "data"),
    [
        ({}, "restored", {"kept": "x"}),
        ({"ours": None}, "nothing", {"kept": "x"}),
        ({"ours": "theirs"}, "conflict", {"kept": "x", "ours": "theirs"}),
        ({"more": "y"}, "restored", {"kept": "x", "more": "y"}),
    ],
    ids=["ours", "gone", "theirs", "beside"],
)
async def test_fields_are_restored_three_ways_and_a_second_time_changes_nothing(
    sandbox: Layout, tmp_path: Path, theirs: dict[str, Any], result: str, data: dict[str, str]
) -> None:
    async with bench(sandbox, tmp_path) as one:
        obj = await config_map(one, kept="x")
        fields = [plan(obj, ("data", "ours"), "intended")]
        undo = RestoreFields.of(obj, fields)
        ref = Ref.of(obj)
        await one.objects.patch(ref, merge_patch(obj, apply(obj, fields)))
        await one.objects.patch(ref, {"data": theirs})
        assert (await one.undo(undo)).result == result
        assert (await one.objects.get(ref))["data"] == data
        assert (await one.undo(undo)).result == ("conflict" if result == "conflict" else "nothing")


async def test_fields_of_an_object_that_was_replaced_are_left_alone(sandbox: Layout, tmp_path: Path) -> None:
    async with bench(sandbox, tmp_path) as one:
        obj = await config_map(one)
        undo = RestoreFields.of(obj, [plan(obj, ("data", "ours"), "intended")])
        await config_map(one, ours="intended")
        result = await one.undo(undo)
        assert (result.result, result.detail) == ("nothing", "the object was replaced by another of its name")


async def test_only_objects_with_the_runs_label_are_deleted(sandbox: Layout, tmp_path: Path) -> None:
    async with bench(sandbox, tmp_path) as one:
        ref = Ref.of(await config_map(one))
        undo = DeleteObject(kind=ref.kind, name=ref.name, namespace=ref.namespace)
        assert (await one.undo(undo)).result == "conflict"
        await one.objects.patch(ref, {"metadata": {"labels": {"offbus.dev/run": "testrun1"}}})
        assert (await one.undo(undo)).result == "restored"
        assert (await one.undo(undo)).result == "nothing"


async def test_deploy_refuses_what_exists_and_creates_nothing(sandbox: Layout, tmp_path: Path) -> None:
    async with deployed(sandbox, tmp_path) as (one, _):
        recorded = len(one.undos)
        with pytest.raises(
            StepError, match=r"Deployment/drill-a/target exists already \(left by run testrun1"
        ):
            await one.run(DEPLOY, manifest="target.yaml", port=8000)
        assert len(one.undos) == recorded


def kernel_log(sandbox: Layout, node: str) -> str:
    """What stands in a node's kernel log."""
    return (sandbox.node(node) / "kmsg").read_text()


async def test_a_line_is_proven_and_its_undo_leaves_nothing(sandbox: Layout, tmp_path: Path) -> None:
    async with deployed(sandbox, tmp_path) as (one, target):
        out = await one.run(INJECT_XID, target=target, xid=79, patience=timedelta(seconds=2))
        (declared,) = one.events("fault_declared")
        (proven,) = one.events("fault_proven")
        assert declared["fault"] == proven["fault"] == out.fault.id
        assert f"offbus={out.fault.id}" in proven["evidence"]["line"]
        assert proven["evidence"]["line"] in kernel_log(sandbox, out.node)
    assert one.aborted == []


async def test_a_fault_that_was_taken_away_loses_its_lease_and_stops_the_run(
    sandbox: Layout, tmp_path: Path
) -> None:
    async with deployed(sandbox, tmp_path) as (one, target):
        out = await one.run(
            INJECT_XID, target=target, xid=79, ttl=timedelta(seconds=0.6), patience=timedelta(seconds=2)
        )
        await one.cluster.agents.act(out.node, out.fault.id, "recover")
        with anyio.fail_after(30):
            await one.stopped.wait()
        assert "lease" in one.aborted[0]
        with pytest.raises(StepError, match="lease"):
            one.cluster.leases.check()


async def test_cuda_faults_need_the_shim(sandbox: Layout, tmp_path: Path) -> None:
    async with deployed(sandbox, tmp_path) as (one, target):
        with pytest.raises(StepError, match=r"runs without the shim.*prepare_cuda"):
            await one.run(ARM_CUDA, target=target, xid=79)
        assert not any(isinstance(undo, DisarmFault) for undo in one.undos)


async def test_an_unknown_xid_is_refused_with_what_is_known() -> None:
    with pytest.raises(ValueError, match="4711"):
        INJECT_XID.params(xid=4711)


async def test_a_node_with_another_tenants_pod_is_refused(sandbox: Layout, tmp_path: Path) -> None:
    async with deployed(sandbox, tmp_path, namespaces=("drill-*",)) as (one, target):
        node = next(pod.node for pod in one.cluster.log.world.pods("drill-a"))
        foreign = pods_of("tenant", 1, namespace="prod", gpus=0)
        foreign["spec"]["template"]["spec"]["nodeSelector"] = {"kubernetes.io/hostname": node}
        await one.objects.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "prod"}})
        await one.objects.create(foreign)
        await one.cluster.observer.watch("Pod", "prod")
        await one.cluster.log.until(lambda world: any(pod.ready for pod in world.pods("prod")) or None)
        with pytest.raises(GuardRefused, match=f"guard namespaces: {node} also runs prod/tenant"):
            await one.run(INJECT_XID, target=target, xid=79)
        await one.objects.delete(Ref("Deployment", "tenant", "prod"))
        await one.cluster.log.until(lambda world: None if list(world.pods("prod")) else True)
        await one.objects.delete(Ref("Namespace", "prod"))


async def test_evictions_that_fit_nowhere_are_refused(sandbox: Layout, tmp_path: Path) -> None:
    async with deployed(sandbox, tmp_path, replicas=4) as (one, target):
        with pytest.raises(GuardRefused, match=r"do not fit on other nodes: missing 1 GPU\(s\) on one node"):
            await one.run(INJECT_XID, target=target, xid=79)
        assert one.events("fault_declared") == []


async def test_an_xid_that_cordons_nothing_needs_no_room(sandbox: Layout, tmp_path: Path) -> None:
    async with deployed(sandbox, tmp_path, replicas=4) as (one, target):
        await one.run(INJECT_XID, target=target, xid=94, patience=timedelta(0))
        assert len(one.events("fault_proven")) == 1


async def cordon(one: Bench, node: str, *, responder: bool) -> None:
    """Cordon as a responder does, or as somebody does by hand."""
    meta: dict[str, Any] = (
        {"labels": {STATE: "quarantined"}, "annotations": {HELD: "True"}} if responder else {}
    )
    await one.objects.patch(Ref("Node", node), {"metadata": meta, "spec": {"unschedulable": True}})
    await one.cluster.log.until(lambda world: world.node(node).cordoned or None)  # type: ignore[union-attr]


async def undo_of(one: Bench, node: str) -> ClearConsequences:
    """The undo that an injection would record now, and its fault, which the agent has had."""
    fault, gpu = f"testrun1-{node}", (await one.cluster.agents.health(node))["gpus"][0]["uuid"]
    request = {"id": fault, "xid": 79, "gpus": [gpu], "planes": ["cuda"], "ttl_s": 5, "armed": False}
    with suppress(AgentRefused):  # an earlier test's
        await one.cluster.agents.create(node, request)
    await one.cluster.agents.act(node, fault, "recover")
    obj = await one.objects.get(Ref("Node", node))
    return ClearConsequences.before(
        obj,
        fault=fault,
        cause=Cause.of(79, [gpu], []),
        expected=False,
        patience=timedelta(seconds=2),
        maintenance=(),
    )


async def test_a_quarantine_that_nobody_lifts_is_cancelled_and_removed(
    sandbox: Layout, tmp_path: Path
) -> None:
    async with bench(sandbox, tmp_path) as one:
        undo = await undo_of(one, "node-1")
        await cordon(one, "node-1", responder=True)
        async with taking_uncordons(one.objects):
            assert (await one.undo(undo)).result == "restored"
        node = await one.objects.get(Ref("Node", "node-1"))
        assert "unschedulable" not in node["spec"]
        assert STATE not in node["metadata"]["labels"]
        assert HELD not in node["metadata"].get("annotations", {})
        assert (await one.undo(undo)).result == "nothing"


async def test_a_node_that_was_cordoned_before_stays_so(sandbox: Layout, tmp_path: Path) -> None:
    async with bench(sandbox, tmp_path) as one:
        await cordon(one, "node-1", responder=False)
        undo = await undo_of(one, "node-1")
        await cordon(one, "node-1", responder=True)
        await one.objects.patch(Ref("Node", "node-1"), {"spec": {"unschedulable": None}})
        await one.cluster.log.until(lambda world: None if world.node("node-1").cordoned else True)  # type: ignore[union-attr]
        async with taking_uncordons(one.objects):
            assert (await one.undo(undo)).result == "restored"
        assert (await one.objects.get(Ref("Node", "node-1")))["spec"]["unschedulable"] is True
        await one.objects.patch(Ref("Node", "node-1"), {"spec": {"unschedulable": None}})


async def test_somebody_elses_cordon_is_left_and_told(sandbox: Layout, tmp_path: Path) -> None:
    async with bench(sandbox, tmp_path) as one:
        undo = await undo_of(one, "node-2")
        await cordon(one, "node-2", responder=False)
        result = await one.undo(undo)
        assert (result.result, result.evidence["others"]) == ("nothing", ["a cordon"])
        assert (await one.objects.get(Ref("Node", "node-2")))["spec"]["unschedulable"] is True
        await one.objects.patch(Ref("Node", "node-2"), {"spec": {"unschedulable": None}})


async def test_a_guard_that_breaks_during_the_run_stops_it(sandbox: Layout, tmp_path: Path) -> None:
    async with bench(sandbox, tmp_path, ClusterGuards(max_cordoned_nodes=0)) as one:
        await cordon(one, "node-1", responder=False)
        assert one.aborted[0].startswith("guard max_cordoned_nodes: node-1 are cordoned")
        await one.objects.patch(Ref("Node", "node-1"), {"spec": {"unschedulable": None}})


async def test_a_fault_that_would_leave_too_few_replicas_is_refused(sandbox: Layout, tmp_path: Path) -> None:
    async with deployed(sandbox, tmp_path, replicas=2, min_healthy_replicas=2) as (one, target):
        with pytest.raises(GuardRefused, match=r"guard min_healthy_replicas: 1 of Deployment/drill-a/target"):
            await one.run(INJECT_XID, target=target, xid=79)
        assert one.events("fault_declared") == []


async def test_too_few_replicas_while_a_fault_is_armed_stop_the_run(sandbox: Layout, tmp_path: Path) -> None:
    async with deployed(sandbox, tmp_path, replicas=2, min_healthy_replicas=1) as (one, target):
        await one.run(INJECT_XID, target=target, xid=94, patience=timedelta(0))
        assert one.aborted == []
        await one.objects.patch(target.ref, {"spec": {"replicas": 0}})
        with anyio.fail_after(30):
            await one.stopped.wait()
        assert one.aborted[0].startswith(
            "guard min_healthy_replicas: 0 of Deployment/drill-a/target are ready"
        )


async def test_hold_fails_with_what_it_saw(sandbox: Layout, tmp_path: Path) -> None:
    async with deployed(sandbox, tmp_path) as (one, target), anyio.create_task_group() as tasks:
        tasks.start_soon(_cordon_and_back, one)
        with pytest.raises(
            StepFailed, match=r"node\.schedulable did not hold on node-2: node\.cordoned=True"
        ):
            await one.run(HOLD, expr="node.schedulable", node="node-2", target=target, **{"for": "30s"})


async def _cordon_and_back(one: Bench) -> None:
    await cordon(one, "node-2", responder=False)
    await one.objects.patch(Ref("Node", "node-2"), {"spec": {"unschedulable": None}})


async def test_hold_passes_when_nothing_happens(sandbox: Layout, tmp_path: Path) -> None:
    async with deployed(sandbox, tmp_path) as (one, target):
        out = await one.run(
            HOLD, expr="target.ready == target.replicas", node="node-1", target=target, **{"for": "300ms"}
        )
        assert out.evaluated >= 1
