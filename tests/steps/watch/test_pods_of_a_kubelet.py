"""Any node's kubelet may create pods with a target's labels, ready, at any address: they are none of the target's."""

from pathlib import Path
from typing import Any

import anyio
import pytest

from offbus.masking import Masking
from offbus_steps.agents.live_faults import LiveFault
from offbus_steps.cluster.wait import target_objects
from offbus_steps.deploy.collect import collect
from offbus_steps.deploy.undo_delete import DeleteObject
from offbus_steps.kubernetes.frontends import Frontends
from offbus_steps.kubernetes.objects import KubernetesObjects
from offbus_steps.kubernetes.rest.discovery import ServedKinds
from offbus_steps.observe.await_recovery import _complete
from offbus_steps.port import Object, PortError, Ref
from offbus_steps.prepare.undo_fields import RestoreFields
from offbus_steps.residue.fingerprint import RUN_LABEL
from offbus_steps.watch.target_pods import target_pods
from offbus_steps.workloads.fields import apply, merge_patch, plan
from offbus_steps.workloads.pods import is_of_kubelet
from offbus_steps.workloads.shim_mounts import LIBRARY
from tests.kits.steps.faults import FAULT, TARGET
from tests.kits.steps.timed_api import Answer, answering
from tests.kits.steps.timed_port import deployment, node, pod, put, timed_bench
from tests.kits.virtual_time import in_virtual_asyncio_time, in_virtual_time

OWNER = {"apiVersion": "v1", "kind": "Node", "name": "evil", "uid": "n", "controller": True}
MARKS: dict[str, dict[str, Any]] = {
    "as NodeRestriction wants them": {
        "annotations": {"kubernetes.io/config.mirror": "x"},
        "ownerReferences": [OWNER],
    },
    "without an owner": {"annotations": {"kubernetes.io/config.mirror": "x"}},
    "without the annotation": {"ownerReferences": [OWNER]},
}
of_a_kubelet = pytest.mark.parametrize("marks", MARKS.values(), ids=MARKS)
ENV = ("spec", "template", "spec", "containers", ("name", "main"), "env", ("name", "LD_PRELOAD"))


def forged(name: str, marks: dict[str, Any]) -> Object:
    """Such a pod, with the shim in it."""
    made = pod(name, "web", "evil")
    made["spec"]["containers"] = [
        {"name": "main", "image": "none", "env": [{"name": "LD_PRELOAD", "value": LIBRARY}]}
    ]
    return {**made, "metadata": {**made["metadata"], **marks}}


@pytest.mark.parametrize(
    ("meta", "is_one"),
    [
        *((marks, True) for marks in MARKS.values()),
        ({}, False),
        ({"annotations": None, "ownerReferences": None}, False),
        ({"ownerReferences": [{**OWNER, "kind": "ReplicaSet"}]}, False),
        ({"ownerReferences": [{**OWNER, "controller": False}]}, False),
    ],
)
def test_pods_of_a_kubelet_are_told_by_what_it_cannot_leave_out(
    meta: dict[str, Any], *, is_one: bool
) -> None:
    assert is_of_kubelet({"metadata": meta}) is is_one


@pytest.mark.guarantee("G32")
@of_a_kubelet
@in_virtual_time
async def test_they_make_no_target_complete(tmp_path: Path, marks: dict[str, Any]) -> None:
    objects = (deployment("web", 3), pod("web-0", "web", "node-1"), forged("web-1", marks))
    async with timed_bench(tmp_path, node("node-1"), *objects) as (one, port):
        await one.cluster.observer.watch_target(TARGET)
        put(port.store, forged("web-2", marks))
        put(port.store, pod("web-9", "web", "node-1"))
        await one.cluster.log.until(
            lambda world: (
                True if any(each.ref.name == "web-9" for each in target_pods(world, TARGET)) else None
            )
        )
        own = ["web-0", "web-9"]
        assert [each.ref.name for each in target_pods(one.cluster.log.world, TARGET)] == own
        assert [each["metadata"]["name"] for each in await target_objects(one.cluster, TARGET)] == own
        assert not _complete(TARGET, {"node-9"})(one.cluster.log.world)


@pytest.mark.guarantee("G32")
@of_a_kubelet
@in_virtual_time
async def test_they_prove_no_fault(tmp_path: Path, marks: dict[str, Any]) -> None:
    made = forged("web-9", {**marks, "uid": "uid-9"})
    made["spec"]["nodeName"] = "node-1"
    async with timed_bench(tmp_path, node("node-1"), made) as (one, port):
        await one.cluster.observer.watch("Pod", "drill")
        uid = port.store.get(Ref("Pod", "web-9", "drill"))["metadata"]["uid"]
        call = {"plane": "cuda", "function": "cuInit", "code": 719, "code_name": "X", "pid": 7, "tid": 7}
        call |= {"host_pid": 4242, "pod_uid": uid, "gpu": "GPU-1", "at_ns": 5}
        assert not one.cluster.faults.called(LiveFault(FAULT, TARGET), call)


@pytest.mark.guarantee("G32")
@of_a_kubelet
@in_virtual_time
async def test_they_keep_no_undo_of_deploy_from_ending(tmp_path: Path, marks: dict[str, Any]) -> None:
    own = deployment("web", 2, {RUN_LABEL: "testrun1"})
    async with timed_bench(tmp_path, own, forged("web-1", marks)) as (one, port):
        undone = await one.undo(DeleteObject(kind="Deployment", name="web", namespace="drill"))
        assert undone.result == "restored"
        assert port.store.get(Ref("Pod", "web-1", "drill"))


@pytest.mark.guarantee("G32")
@of_a_kubelet
@in_virtual_time
async def test_they_keep_no_undo_of_a_rollout_from_ending(tmp_path: Path, marks: dict[str, Any]) -> None:
    async with timed_bench(tmp_path, deployment("web", 0), forged("web-1", marks)) as (one, port):
        before = port.store.get(TARGET.ref)
        fields = [plan(before, ENV, {"name": "LD_PRELOAD", "value": "/shim.so"})]
        port.store.patch(TARGET.ref, merge_patch(before, apply(before, fields)))
        generation = port.store.get(TARGET.ref)["metadata"]["generation"] + 1
        port.store.set_status(TARGET.ref, {**before["status"], "observedGeneration": generation})
        undone = await one.undo(RestoreFields.of(before, fields, rollout=TARGET), within_s=600)
        assert undone.result == "restored"


@of_a_kubelet
@in_virtual_time
async def test_they_are_no_evidence(tmp_path: Path, marks: dict[str, Any]) -> None:
    async with timed_bench(tmp_path, deployment("web", 1), forged("web-1", marks)) as (one, _):
        with anyio.fail_after(60):
            done = await collect(one.cluster, TARGET, tmp_path, Masking())
    assert "workload.yaml" in done.files
    assert not any("web-1" in name for name in [*done.files, *done.missing])


@pytest.mark.guarantee("G32")
@of_a_kubelet
@in_virtual_asyncio_time
async def test_they_get_no_request_of_a_target_without_a_service(
    tmp_path: Path, marks: dict[str, Any]
) -> None:
    def says(call: str) -> Answer:
        path = call.split()[1].partition("?")[0]
        if path.endswith("/deployments/web"):
            made = deployment("web", 1)
            return Answer(body={**made, "metadata": {**made["metadata"], "uid": "d"}})
        items = {"pods": [forged("web-1", marks)], "services": []}.get(path.rpartition("/")[2], [])
        return Answer(body={"metadata": {"resourceVersion": "1"}, "items": items})

    async with answering(tmp_path, says) as (api, _):
        ways = Frontends(KubernetesObjects(api, ServedKinds(api)))
        with pytest.raises(PortError, match="has no ready frontend pod"):
            await ways.path(Ref("Deployment", "web", "drill"), 8000, "/")
