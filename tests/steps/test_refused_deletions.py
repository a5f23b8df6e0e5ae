"""A deletion that an admission webhook or a policy refuses is not done, whatever code it answers.

A validating webhook chooses its code: 409 is also the server's own word for "that uid is another object's", and 404 for
"it is gone". So what is there afterwards counts.
"""

import json
from pathlib import Path
from typing import Any

import anyio
import pytest

from offbus.errors import StepError
from offbus_steps.deploy.undo_delete import DeleteObject
from offbus_steps.inject.maintenance import maintenance_of, remove_maintenance
from offbus_steps.inject.undo_restart import Holder, RestartFaulted
from offbus_steps.kubernetes.ownership.run_lease import LEASE, RunLease
from offbus_steps.kubernetes.ownership.run_records import RunRecords, records_name
from offbus_steps.port import Conflict, NotFound, Object, PortError, Ref
from offbus_steps.prepare.replace_pods import replace_pods
from offbus_steps.residue.fingerprint import RUN_LABEL
from offbus_steps.residue.patching import change
from offbus_steps.workloads.shim_mounts import LIBRARY
from tests.kits.steps.faults import TARGET
from tests.kits.steps.responder_marks import repair
from tests.kits.steps.timed_port import TimedPort, deployment, node, ok, pod, timed_bench
from tests.kits.virtual_time import VirtualClock, in_virtual_time

REFUSED = 'admission webhook "h.tenant.example" denied the request: no deletions here'
ERRORS = pytest.mark.parametrize("error", [Conflict(REFUSED), NotFound(REFUSED)], ids=["409", "404"])
RUN, SPACE = "testrun1", "offbus-system"
POD = Ref("Pod", "web-1", TARGET.namespace)


def config(**meta: Any) -> Object:
    meta = {"name": "web", "namespace": "default", "labels": {RUN_LABEL: RUN}, **meta}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta}


def shimmed() -> Object:
    one = pod("web-1", "web", "node-1")
    one["spec"]["containers"][0]["env"] = [{"name": "LD_PRELOAD", "value": LIBRARY}]
    return one


async def faulted(_method: str, path: str, _body: Any) -> Any:
    """An agent that says that one process of its fault was faulted."""
    if path == "/health":
        return ok('{"boot_id": "b", "now_ns": 0, "planes": {}, "gpus": []}')
    said = {
        "id": "f",
        "state": "recovered",
        "xid": 79,
        "gpus": ["GPU-1"],
        "kernel": [],
        "unread": [],
        "counts": {},
        "first_faulted": [],
    }
    return ok(json.dumps({**said, "processes": [{"pid": 1, "faulted": 1}]}))


@pytest.mark.guarantee("G27")
@ERRORS
@in_virtual_time
async def test_an_object_that_is_still_there_is_not_called_deleted(tmp_path: Path, error: PortError) -> None:
    async with timed_bench(tmp_path, config()) as (one, port):
        port.objects.refusals["delete ConfigMap"] = error
        uid = port.store.get(Ref("ConfigMap", "web", "default"))["metadata"]["uid"]
        with pytest.raises(StepError, match="no deletions here"):
            await one.undo(DeleteObject(kind="ConfigMap", name="web", namespace="default", uid=uid))


@in_virtual_time
async def test_an_object_that_is_going_already_is_waited_for(tmp_path: Path) -> None:
    """A server answers 409 when a namespace that it is emptying is deleted once more."""
    space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "web", "labels": {RUN_LABEL: RUN}}}
    async with timed_bench(tmp_path, space) as (one, port):
        ref = Ref("Namespace", "web")
        await port.objects.delete(ref)
        assert port.store.get(ref)["metadata"]["deletionTimestamp"]
        port.objects.refusals["delete Namespace"] = Conflict("the system is ensuring all content is removed")
        with pytest.raises(TimeoutError):
            await one.undo(DeleteObject(kind="Namespace", name="web"), within_s=5)


@pytest.mark.guarantee("G27")
@ERRORS
@in_virtual_time
async def test_a_repair_that_is_still_there_is_not_called_removed(tmp_path: Path, error: PortError) -> None:
    async with timed_bench(tmp_path, repair()) as (one, port):
        port.objects.refusals["delete RebootNode"] = error
        with pytest.raises(StepError, match="no deletions here"):
            await remove_maintenance(one.cluster, "node-1", keep=(), ours=lambda _: True)
        assert await maintenance_of(one.cluster, "node-1") == ["RebootNode/maintenance-node-1-e1"]


@pytest.mark.guarantee("G27")
@ERRORS
@in_virtual_time
async def test_a_faulted_process_that_lives_on_is_not_called_restarted(
    tmp_path: Path, error: PortError
) -> None:
    async with timed_bench(tmp_path, node("node-1"), deployment("web", 1), shimmed()) as (one, port):
        port.agents.answer = faulted
        port.objects.refusals["delete Pod"] = error
        uid = port.store.get(POD)["metadata"]["uid"]
        holder = Holder(name=POD.name, namespace=POD.namespace, uid=uid, restarts=0)
        with pytest.raises(StepError, match="no deletions here"):
            await one.undo(RestartFaulted(node="node-1", fault=f"{RUN}-inject-ab", holders=(holder,)))


@ERRORS
@in_virtual_time
async def test_pods_that_may_not_be_deleted_are_not_waited_for(tmp_path: Path, error: PortError) -> None:
    async with timed_bench(tmp_path, node("node-1"), deployment("web", 1), shimmed()) as (one, port):
        await one.cluster.observer.watch_target(TARGET)
        port.objects.refusals["delete Pod"] = error
        with pytest.raises(StepError, match="no deletions here"), anyio.fail_after(60):
            await replace_pods(one.cluster, TARGET, lambda found: found.shim, lambda _: None)


@pytest.mark.guarantee("G27")
@ERRORS
@in_virtual_time
async def test_a_lease_that_stays_is_told(tmp_path: Path, error: PortError) -> None:
    port = TimedPort(tmp_path)
    lease = RunLease(port.objects, SPACE, "run-a/1@here", clock=VirtualClock().mono_ns)
    await lease.take()
    port.objects.refusals["delete Lease"] = error
    with pytest.raises(StepError, match="no deletions here"):
        await lease.give_up()
    port.objects.refusals.clear()
    await lease.give_up()
    with pytest.raises(NotFound):
        port.store.get(Ref("Lease", LEASE, SPACE))
    await lease.give_up()
    port.store.close()


@ERRORS
@in_virtual_time
async def test_records_of_a_run_that_stay_are_told(tmp_path: Path, error: PortError) -> None:
    port = TimedPort(tmp_path)
    objects: Any = port.objects
    records = RunRecords(objects, SPACE, RUN)
    await records.begin([])
    port.objects.refusals["delete ConfigMap"] = error
    with pytest.raises(StepError, match="no deletions here"):
        await records.end()
    port.objects.refusals.clear()
    await records.end()
    with pytest.raises(NotFound):
        port.store.get(Ref("ConfigMap", records_name(RUN), SPACE))
    await records.end()
    port.store.close()


@in_virtual_time
async def test_a_patch_that_is_refused_for_ever_says_what_refused_it(tmp_path: Path) -> None:
    async with timed_bench(tmp_path, node("node-1")) as (_, port):
        port.objects.refusals["patch Node"] = Conflict("denied by h.tenant.example")
        with pytest.raises(StepError, match=r"denied by h\.tenant\.example"):
            await change(
                port.objects, Ref("Node", "node-1"), lambda now: {**now, "spec": {"unschedulable": True}}
            )
