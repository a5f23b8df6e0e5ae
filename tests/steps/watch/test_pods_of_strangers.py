"""Anybody who may create pods in a namespace may give them a target's labels: that makes none of them the target's."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import anyio
import pytest

from offbus.errors import GuardRefused, StepError
from offbus.masking import Masking
from offbus.preflight import Intent, checks_of_steps
from offbus_sandbox.store.owners import owner_reference
from offbus_steps.agents.live_faults import LiveFault
from offbus_steps.cluster.preflight import DrillPreflight
from offbus_steps.cluster.wait import target_objects
from offbus_steps.deploy.collect import collect
from offbus_steps.deploy.undo_delete import DeleteObject
from offbus_steps.inference.step_types import BASELINE, LOAD
from offbus_steps.inference.strangers import strangers_behind
from offbus_steps.inject.location import find_locations
from offbus_steps.inject.step_types import InjectParams
from offbus_steps.kubernetes.frontends import Frontends
from offbus_steps.kubernetes.objects import KubernetesObjects
from offbus_steps.kubernetes.rest.discovery import ServedKinds
from offbus_steps.observe.await_recovery import _complete
from offbus_steps.observe.step_types import AWAIT_RECOVERY
from offbus_steps.port import Forbidden, Object, PortError, Ref
from offbus_steps.prepare.replace_pods import replace_pods
from offbus_steps.prepare.undo_admission import RemoveAdmission
from offbus_steps.prepare.undo_fields import RestoreFields
from offbus_steps.residue.fingerprint import RUN_LABEL
from offbus_steps.safety.guards import ClusterGuards
from offbus_steps.watch.event_log import World
from offbus_steps.watch.readiness import ready_pods
from offbus_steps.watch.target_pods import target_pods
from offbus_steps.workloads.fields import apply, merge_patch, plan
from offbus_steps.workloads.shim_mounts import LIBRARY
from tests.kits.steps.bench import Bench
from tests.kits.steps.faults import FAULT, TARGET
from tests.kits.steps.timed_api import Answer, answering
from tests.kits.steps.timed_port import TimedPort, deployment, node, pod, put, timed_bench
from tests.kits.virtual_time import in_virtual_asyncio_time, in_virtual_time

Owners = list[dict[str, Any]]
SET = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-1", "uid": "forged", "controller": True}
OWNERS: dict[str, Owners] = {
    "no owner": [],
    "an owner that is no controller": [{**SET, "controller": False}],
    "a uid that the ReplicaSet has not": [SET],
    "a ReplicaSet that there is not": [{**SET, "name": "web-none"}],
    "the Deployment itself": [{**SET, "kind": "Deployment", "name": "web"}],
    "a kind of which nobody knows": [{**SET, "apiVersion": "x/v1", "kind": "Maker"}],
}
of_a_stranger = pytest.mark.parametrize("owners", OWNERS.values(), ids=OWNERS)
ENV = ("spec", "template", "spec", "containers", ("name", "main"), "env", ("name", "LD_PRELOAD"))
GPU = {"limits": {"nvidia.com/gpu": "1"}}


def stranger(name: str, owners: Owners, on: str = "node-9") -> Object:
    """A pod of somebody else, with the target's labels, ready, with a GPU and with the shim."""
    made = pod(name, "web", on)
    env = [{"name": "LD_PRELOAD", "value": LIBRARY}]
    made["spec"]["containers"] = [{"name": "main", "image": "none", "env": env, "resources": GPU}]
    made["metadata"] |= {"ownerReferences": owners}
    return made


def join(port: TimedPort, name: str, owners: Owners, on: str = "node-9") -> None:
    """Make such a pod. It knows the uid of the Deployment: who may read it does."""
    uid = port.store.get(TARGET.ref)["metadata"]["uid"]
    put(
        port.store,
        stranger(name, [{**one, "uid": uid} if one["kind"] == "Deployment" else one for one in owners], on),
    )


def seen(name: str) -> Any:
    """As a condition to wait for: the observer knows that pod."""
    return lambda world: True if Ref("Pod", name, "drill") in world.projections else None


def names(world: World) -> list[str]:
    """Of the target's pods."""
    return [one.ref.name for one in target_pods(world, TARGET)]


def told(one: Bench) -> list[str]:
    """What the timeline says of pods that are none of the target's."""
    said = one.events("observed")
    return [f"{each['subject']} {each['to']}" for each in said if "none of its pods" in each["to"]]


@of_a_stranger
@in_virtual_time
async def test_they_make_no_target_complete(tmp_path: Path, owners: Owners) -> None:
    objects = (deployment("web", 2), pod("web-0", "web", "node-1"))
    async with timed_bench(tmp_path, node("node-1"), *objects) as (one, port):
        join(port, "web-1", owners)
        await one.cluster.observer.watch_target(TARGET)
        join(port, "web-2", owners)
        put(port.store, pod("other", "tenant", "node-1"))
        await one.cluster.log.until(seen("other"))
        world = one.cluster.log.world
        assert names(world) == ["web-0"]
        assert [each["metadata"]["name"] for each in await target_objects(one.cluster, TARGET)] == ["web-0"]
        assert ready_pods(world, TARGET) == 1
        assert not _complete(TARGET, {"node-8"})(world)
        for name in ("web-1", "web-2"):
            said = [each for each in told(one) if each.startswith(f"Pod/drill/{name} ")]
            # One whose controller is not there is deleted by the garbage collector, as is the last pod of a workload.
            orphaned = any(owner["controller"] and owner["kind"] == "ReplicaSet" for owner in owners)
            assert len(said) == (0 if orphaned else 1)
            assert all(
                "has the labels of Deployment/drill/web, and is none of its pods: " in each for each in said
            )


@of_a_stranger
@in_virtual_time
async def test_they_prove_no_fault(tmp_path: Path, owners: Owners) -> None:
    async with timed_bench(tmp_path, node("node-1"), deployment("web", 1)) as (one, port):
        join(port, "web-9", owners, "node-1")
        put(port.store, pod("web-0", "web", "node-1"))
        await one.cluster.observer.watch_target(TARGET)
        call = {"plane": "cuda", "function": "cuInit", "code": 719, "code_name": "X", "pid": 7, "tid": 7}
        for name, proves in (("web-9", False), ("web-0", True)):
            uid = port.store.get(Ref("Pod", name, "drill"))["metadata"]["uid"]
            call |= {"host_pid": 4242, "pod_uid": uid, "gpu": "GPU-1", "at_ns": 5}
            assert one.cluster.faults.called(LiveFault(FAULT, TARGET), call) is proves


@of_a_stranger
@in_virtual_time
async def test_no_fault_goes_to_them(tmp_path: Path, owners: Owners) -> None:
    async with timed_bench(tmp_path, node("node-9"), deployment("web", 1)) as (one, port):
        join(port, "a-first", owners)
        await one.cluster.observer.watch_target(TARGET)
        with pytest.raises(StepError, match="has no ready pod that requests GPUs"):
            await find_locations(one.cluster, TARGET, InjectParams(xid=79))


@of_a_stranger
@in_virtual_time
async def test_they_are_no_healthy_replica(tmp_path: Path, owners: Owners) -> None:
    guards = ClusterGuards(min_healthy_replicas=1)
    async with timed_bench(tmp_path, node("node-9"), deployment("web", 1)) as (one, port):
        join(port, "web-1", owners)
        await one.cluster.observer.watch_target(TARGET)
        with pytest.raises(GuardRefused, match="min_healthy_replicas: 0 of Deployment/drill/web would"):
            guards.require_healthy_elsewhere(one.cluster.log.world, TARGET, ["node-1"])
        assert guards.broken(one.cluster.log.world, [TARGET]) is not None


@of_a_stranger
@in_virtual_time
async def test_they_keep_no_undo_of_deploy_from_ending(tmp_path: Path, owners: Owners) -> None:
    own = deployment("web", 2, {RUN_LABEL: "testrun1"})
    async with timed_bench(tmp_path, own) as (one, port):
        join(port, "web-1", owners)
        undone = await one.undo(DeleteObject(kind="Deployment", name="web", namespace="drill"))
        assert undone.result == "restored"
        assert port.store.get(Ref("Pod", "web-1", "drill"))


@in_virtual_time
async def test_the_undo_of_deploy_waits_for_its_own_pods(tmp_path: Path) -> None:
    """Also when what made them is gone already."""
    own = deployment("web", 1, {RUN_LABEL: "testrun1"})
    async with timed_bench(tmp_path, own, pod("web-0", "web", "node-1")) as (one, port):
        ended = anyio.Event()

        async def undo() -> None:
            await one.undo(DeleteObject(kind="Deployment", name="web", namespace="drill"), within_s=600)
            ended.set()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(undo)
            await anyio.sleep(30)
            port.store.delete(Ref("ReplicaSet", "web-1", "drill"))
            await anyio.sleep(30)
            assert not ended.is_set()
            port.store.delete(Ref("Pod", "web-0", "drill"), grace_seconds=0)
            with anyio.fail_after(30):
                await ended.wait()


@of_a_stranger
@in_virtual_time
async def test_they_keep_no_undo_of_a_rollout_from_ending(tmp_path: Path, owners: Owners) -> None:
    async with timed_bench(tmp_path, deployment("web", 0)) as (one, port):
        join(port, "web-1", owners)
        before = port.store.get(TARGET.ref)
        fields = [plan(before, ENV, {"name": "LD_PRELOAD", "value": "/shim.so"})]
        port.store.patch(TARGET.ref, merge_patch(before, apply(before, fields)))
        generation = port.store.get(TARGET.ref)["metadata"]["generation"] + 1
        port.store.set_status(TARGET.ref, {**before["status"], "observedGeneration": generation})
        undone = await one.undo(RestoreFields.of(before, fields, rollout=TARGET), within_s=600)
        assert undone.result == "restored"


@of_a_stranger
@in_virtual_time
async def test_they_are_not_replaced(tmp_path: Path, owners: Owners) -> None:
    async with timed_bench(tmp_path, deployment("web", 0)) as (one, port):
        join(port, "web-1", owners)
        await one.cluster.observer.watch_target(TARGET)
        with anyio.fail_after(60):
            assert await replace_pods(one.cluster, TARGET, lambda each: each.shim, lambda _: None) == 0
        assert port.store.get(Ref("Pod", "web-1", "drill"))


@in_virtual_time
async def test_those_that_keep_the_shim_of_admission_are_named(tmp_path: Path) -> None:
    """Whoever made them has to replace them: a pod that nobody owns does not come back when it is deleted."""
    async with timed_bench(tmp_path, deployment("web", 0)) as (one, port):
        join(port, "web-1", [])
        undone = await one.undo(RemoveAdmission(policy="offbus-r1-prepare", target=TARGET))
        assert port.store.get(Ref("Pod", "web-1", "drill"))
    assert "none of its pods, but its labels and the shim: web-1" in undone.detail


@of_a_stranger
@in_virtual_time
async def test_they_are_no_evidence(tmp_path: Path, owners: Owners) -> None:
    async with timed_bench(tmp_path, deployment("web", 1)) as (one, port):
        join(port, "web-1", owners)
        with anyio.fail_after(60):
            done = await collect(one.cluster, TARGET, tmp_path, Masking())
    assert "workload.yaml" in done.files
    assert not any("web-1" in name for name in [*done.files, *done.missing])


WEB = Ref("Deployment", "web", "drill")
SERVICE = {
    "metadata": {"name": "web"},
    "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": "http"}]},
}
"""It sends requests to every ready pod with these labels."""


def api_with(listed: list[Object], services: list[Object], **labels: str) -> Callable[[str], Answer]:
    """An API server that has the Deployment, its ReplicaSet, these pods, and these Services."""
    made = deployment("web", 1)
    made["metadata"]["uid"] = "d"
    made["spec"]["template"]["metadata"]["labels"] |= labels
    sets = [{"metadata": {"name": "web-1", "uid": "r", "ownerReferences": [owner_reference(made)]}}]

    def says(call: str) -> Answer:
        path, _, query = call.split()[1].partition("?")
        if path.endswith("/deployments/web"):
            return Answer(body=made)
        items = {"pods": listed, "services": services, "replicasets": sets}.get(path.rpartition("/")[2], [])
        wanted = [
            tuple(one.split("=")) for one in parse_qs(query).get("labelSelector", [""])[0].split(",") if one
        ]
        if path.endswith("/pods"):
            items = [one for one in items if set(wanted) <= one["metadata"]["labels"].items()]
        return Answer(body={"metadata": {"resourceVersion": "1"}, "items": items})

    return says


@pytest.mark.parametrize("services", [[], [SERVICE]], ids=["without a Service", "behind its Service"])
@of_a_stranger
@in_virtual_asyncio_time
async def test_they_get_no_request_of_the_targets(
    tmp_path: Path, owners: Owners, services: list[Object]
) -> None:
    """What answers well in its place is no proof that the target does: each request goes to a pod of its own."""
    of_the_target = [{**one, "uid": "d"} if one["kind"] == "Deployment" else one for one in owners]
    listed = [stranger("web-1", of_the_target)]
    async with answering(tmp_path, api_with(listed, services)) as (api, _):
        ways = Frontends(KubernetesObjects(api, ServedKinds(api)))
        with pytest.raises(PortError, match="has no ready frontend pod"):
            await ways.path(WEB, 8000, "/")
        listed.append(stranger("web-0", [{**SET, "uid": "r"}]))
        ways.forget(WEB)
        for _ in range(3):
            assert "/pods/web-0:8000/" in await ways.path(WEB, 8000, "/")


@in_virtual_asyncio_time
async def test_of_its_own_pods_those_are_asked_to_which_its_service_sends_and_at_the_port_of_each(
    tmp_path: Path,
) -> None:
    """The name of a port may stand for another number in the pods of each rollout."""
    service = {**SERVICE, "spec": {**SERVICE["spec"], "selector": {"app": "web", "role": "leader"}}}
    leader, other = (stranger(name, [{**SET, "uid": "r"}]) for name in ("web-0", "web-1"))
    leader["metadata"]["labels"]["role"] = "leader"
    leader["spec"]["containers"][0]["ports"] = [{"name": "http", "containerPort": 9000}]
    async with answering(tmp_path, api_with([other, leader], [service], role="leader")) as (api, _):
        ways = Frontends(KubernetesObjects(api, ServedKinds(api)))
        for _ in range(3):
            assert "/pods/web-0:9000/" in await ways.path(WEB, 8000, "/")


@in_virtual_time
async def test_whom_a_service_leads_to_besides_is_told(tmp_path: Path) -> None:
    """In `plan`, once for all steps that ask the target, and in the timeline."""
    service = {**SERVICE, "apiVersion": "v1", "kind": "Service"}
    service["metadata"] = {"name": "web", "namespace": "drill"}
    async with timed_bench(tmp_path, deployment("web", 1), pod("web-0", "web", "node-1")) as (one, port):
        assert await strangers_behind(one.cluster, TARGET) is None
        put(port.store, service)
        assert await strangers_behind(one.cluster, TARGET) is None
        for number in range(7):
            join(port, f"innocent-{number}", [])
        drill = DrillPreflight(one.cluster, "", TARGET)
        steps = [Intent(one.name, one.name, {}, one.load_preflight()) for one in (LOAD, AWAIT_RECOVERY)]
        [told] = await checks_of_steps(drill, steps)
        assert told.level == "warning"
        assert told.text.startswith(
            "Service/drill/web also leads to pods that are none of Deployment/drill/web's: "
        )
        assert "innocent-4 and 2 more" in told.text
        with pytest.raises(StepError, match="model"):
            await one.run(BASELINE, target=TARGET, requests=1)
        assert [said["to"] for said in one.events("observed") if said["lane"] == "requests"] == [told.text]


@in_virtual_time
async def test_pods_of_another_workload_with_the_same_labels_are_not_the_targets(tmp_path: Path) -> None:
    canary = deployment("web", 1)
    canary["metadata"]["name"] = "canary"
    async with timed_bench(tmp_path, canary, pod("canary-0", "web", "node-1")) as (one, port):
        put(port.store, deployment("web", 1))
        await one.cluster.observer.watch_target(TARGET)
        assert names(one.cluster.log.world) == []
        [said] = told(one)
        assert said.endswith("its chain of controllers ends with Deployment/canary")


@in_virtual_time
async def test_a_pod_that_is_adopted_is_the_targets(tmp_path: Path) -> None:
    """As a ReplicaSet adopts one that its selector selects; from then on it counts it."""
    async with timed_bench(tmp_path, deployment("web", 2), pod("web-0", "web", "node-1")) as (one, port):
        put(port.store, stranger("web-1", []))
        await one.cluster.observer.watch_target(TARGET)
        owners = port.store.get(Ref("Pod", "web-0", "drill"))["metadata"]["ownerReferences"]
        port.store.patch(Ref("Pod", "web-1", "drill"), {"metadata": {"ownerReferences": owners}})
        with anyio.fail_after(60):
            await one.cluster.log.until(lambda world: True if len(names(world)) == 2 else None)


@in_virtual_time
async def test_a_workload_that_takes_over_what_another_left_has_its_pods(tmp_path: Path) -> None:
    """`kubectl delete --cascade=orphan` and a new Deployment: its controller adopts the ReplicaSet."""
    async with timed_bench(tmp_path, deployment("web", 1), pod("web-0", "web", "node-1")) as (one, port):
        await one.cluster.observer.watch_target(TARGET)
        assert names(one.cluster.log.world) == ["web-0"]
        left = Ref("ReplicaSet", "web-1", "drill")
        port.store.patch(left, {"metadata": {"ownerReferences": []}})
        port.store.delete(TARGET.ref)
        put(port.store, deployment("web", 1))
        await anyio.sleep(1)
        assert names(one.cluster.log.world) == []
        owner = port.store.get(TARGET.ref)
        port.store.patch(left, {"metadata": {"ownerReferences": [owner_reference(owner)]}})
        port.store.set_status(TARGET.ref, {**owner["status"], "unavailableReplicas": 0})
        with anyio.fail_after(60):
            await one.cluster.log.until(lambda world: names(world) or None)


@in_virtual_time
async def test_many_strangers_are_told_apart_by_few_lists(tmp_path: Path) -> None:
    """Each names a ReplicaSet of its own invention; a read for each would keep the watch back for as long."""
    many = [stranger(f"s-{n}", [{**SET, "name": f"none-{n}", "uid": f"u-{n}"}]) for n in range(64)]
    objects = (deployment("web", 1), pod("web-0", "web", "node-1"), *many)
    async with timed_bench(tmp_path, *objects) as (one, port):
        await one.cluster.observer.watch_target(TARGET)
        assert names(one.cluster.log.world) == ["web-0"]
        assert len(port.objects.times("list ReplicaSet")) <= 2
        for n in range(64):
            put(port.store, stranger(f"t-{n}", [{**SET, "name": f"none-{n}", "uid": f"v-{n}"}]))
        with anyio.fail_after(60):
            await one.cluster.log.until(seen("t-63"))
        assert len(port.objects.times("list ReplicaSet")) <= 4


@in_virtual_time
async def test_where_owners_may_not_be_read_labels_decide_and_that_is_told(tmp_path: Path) -> None:
    """Roles from before: a run is refused without the right, and a recovery goes on."""
    async with timed_bench(tmp_path, deployment("web", 1), pod("web-0", "web", "node-1")) as (one, port):
        port.objects.refusals["list ReplicaSet"] = Forbidden("replicasets: forbidden")
        await one.cluster.observer.watch_target(TARGET)
        assert names(one.cluster.log.world) == ["web-0"]
        said = [event["to"] for event in one.events("observed")]
        assert said.count("pods are told by their labels alone: replicasets: forbidden") == 1
