"""A run's folder that came as an archive belongs to who unpacked it: what it alone says, `offbus recover` does not do.

Each folder is recovered twice over: as a stranger wrote it, and where the cluster's own records hold the same undo.
"""

from collections.abc import AsyncIterator, Collection
from datetime import timedelta
from pathlib import Path

import pytest

from offbus.journal.events import Event
from offbus.journal.kinds import ENVIRONMENT_OPENED, RUN_STARTED, UNDO_RECORDED
from offbus.journal.writer import JournalWriter
from offbus.runner.clock import SystemClock
from offbus.undo import Undo
from offbus_steps.inject.undo_consequences import ClearConsequences
from offbus_steps.kubernetes.ownership.run_records import RECORDS_LABEL, RunRecords, records_name
from offbus_steps.kubernetes.port import KubernetesPort
from offbus_steps.nvsentinel.cause import Cause
from offbus_steps.port import NotFound, Object, Ref
from offbus_steps.prepare.admission_kinds import admission_name
from offbus_steps.prepare.undo_admission import RemoveAdmission
from offbus_steps.prepare.undo_fields import RestoreFields
from offbus_steps.workloads.fields import Field
from offbus_steps.workloads.shim_mounts import LIBRARY
from offbus_steps.workloads.target import Target
from tests.kits.kubernetes.deployments import deployed, deployment
from tests.kits.kubernetes.killed_runs import Process, offbus_process
from tests.kits.kubernetes.lone_server import LoneServer
from tests.kits.kubernetes.pod_player import playing
from tests.kits.steps.responder_marks import (
    condition_of,
    event,
    finding,
    quarantined,
    repair,
    taking_uncordons,
)

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(300)]

RUN = "abcd1234"
HEAD = {
    "name": "x",
    "summary": "",
    "scenario": "x.yaml",
    "digest": "0" * 64,
    "inputs": {},
    "environment": "kubernetes",
    "identity": "kubernetes:x",
    "versions": {},
    "steps": [],
    "expect": [],
    "timeout_s": 60.0,
    "undo_timeout_s": 20.0,
    "host": "h",
    "pid": 1,
}
OPENED = {
    "environment": "kubernetes",
    "state": {"options": {"lease_s": 5}, "guards": {}, "holder": "", "expired": ""},
}


class Archive:
    """An unfinished run's folder, unpacked, with one undo."""

    def __init__(self, where: Path, type_name: str, undo: Undo) -> None:
        self.path = where / "archive" / f"20260101T000000.000Z-x-{RUN}"
        self.path.mkdir(parents=True, mode=0o700)
        self.path.parent.chmod(0o700)
        self._where = where
        record = {
            "undo": 1,
            "type": type_name,
            "distribution": "offbus",
            "phase": "restore",
            "describe": "harmless",
            "record": undo.model_dump(mode="json"),
        }
        writer = JournalWriter(self.path / "journal.jsonl", RUN, SystemClock())
        made = (RUN_STARTED(HEAD), ENVIRONMENT_OPENED(OPENED), UNDO_RECORDED(record))  # type: ignore[arg-type]
        self.events: list[Event] = [writer.append(one) for one in made]
        writer.close()
        (self.path / "unfinished").write_text('{"identity": "kubernetes:x"}')

    async def recovered(self) -> tuple[int, Process]:
        process = offbus_process(self._where, "recover", str(self.path), "--no-settle")
        return await process.ended(), process


@pytest.fixture(autouse=True)
async def as_admin(
    server: LoneServer, port: KubernetesPort, agent_namespace: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[None]:
    """The user's kubeconfig; what a run leaves in offbus's namespace is removed."""
    monkeypatch.setenv("KUBECONFIG", str(server.kubeconfig("admin")))
    yield
    for ref in (
        Ref("Lease", "offbus", agent_namespace),
        Ref("ConfigMap", records_name(RUN), agent_namespace),
    ):
        try:
            await port.objects.delete(ref)
        except NotFound:
            continue


async def pods_with_the_shim(port: KubernetesPort, target: Target) -> Collection[str]:
    pods = (await port.objects.list("Pod", namespace=target.namespace)).items
    return {one["metadata"]["uid"] for one in pods}


async def shim_loaded(port: KubernetesPort, namespace: str) -> Target:
    """A tenant's workload that loads the shim for good."""
    return await deployed(
        port, deployment("tenant", namespace, env=[{"name": "LD_PRELOAD", "value": LIBRARY}])
    )


def admission_of(target: Target) -> RemoveAdmission:
    return RemoveAdmission(policy=admission_name(RUN, "x"), target=target)


@pytest.mark.guarantee("G27")
async def test_no_pods_are_replaced_on_the_word_of_a_folder(
    port: KubernetesPort, namespace: str, agent_namespace: str, tmp_path: Path
) -> None:
    async with playing(port, namespace):
        target = await shim_loaded(port, namespace)
        before = await pods_with_the_shim(port, target)
        code, process = await Archive(tmp_path, "remove_admission", admission_of(target)).recovered()
        assert await pods_with_the_shim(port, target) == before, process.said
    assert code == 4, process.said
    assert "nothing in the cluster shows that this run" in process.said
    assert f"kubectl -n {namespace} delete pod tenant-0 tenant-1" in process.said
    # What the cluster stores is what the next owner of the run believes: the reaper, too.
    records = await port.objects.get(Ref("ConfigMap", records_name(RUN), agent_namespace))
    assert not [key for key in records["data"] if key.startswith("undo-")], records["data"]
    assert records["metadata"]["labels"][RECORDS_LABEL] == RUN


async def test_a_copied_folder_replaces_the_pods_where_the_cluster_has_its_record(
    port: KubernetesPort, namespace: str, agent_namespace: str, tmp_path: Path
) -> None:
    async with playing(port, namespace):
        target = await shim_loaded(port, namespace)
        before = await pods_with_the_shim(port, target)
        archive = Archive(tmp_path, "remove_admission", admission_of(target))
        await RunRecords(port.objects, agent_namespace, RUN).begin(archive.events)
        _, process = await archive.recovered()
        assert await pods_with_the_shim(port, target) != before, process.said


@pytest.mark.guarantee("G27")
async def test_another_record_under_the_number_of_a_real_one_is_not_believed(
    port: KubernetesPort, namespace: str, agent_namespace: str, tmp_path: Path
) -> None:
    async with playing(port, namespace):
        target = await shim_loaded(port, namespace)
        before = await pods_with_the_shim(port, target)
        other = target.model_copy(update={"name": "another"})
        (tmp_path / "real").mkdir()
        real = Archive(tmp_path / "real", "remove_admission", admission_of(other))
        await RunRecords(port.objects, agent_namespace, RUN).begin(real.events)
        stored = await port.objects.get(Ref("ConfigMap", records_name(RUN), agent_namespace))
        code, process = await Archive(tmp_path, "remove_admission", admission_of(target)).recovered()
        assert await pods_with_the_shim(port, target) == before, process.said
    assert code == 4, process.said
    now = await port.objects.get(Ref("ConfigMap", records_name(RUN), agent_namespace))
    assert now["data"]["undo-00001"] == stored["data"]["undo-00001"]


async def fields_of(port: KubernetesPort, target: Target) -> RestoreFields:
    """As `prepare_cuda` records them for a workload that had nothing of it before."""
    path = ("spec", "template", "spec", "containers", ("name", "main"), "env", ("name", "LD_PRELOAD"))
    made = Field(path=path, existed=False, intended={"name": "LD_PRELOAD", "value": LIBRARY}, created=6)
    return RestoreFields.of(await port.objects.get(target.ref), [made], rollout=target)


@pytest.mark.guarantee("G27")
@pytest.mark.parametrize("stored", [False, True], ids=["only in the folder", "in the cluster, too"])
async def test_a_workloads_spec_is_restored_only_where_the_cluster_has_the_record(
    port: KubernetesPort, namespace: str, agent_namespace: str, tmp_path: Path, *, stored: bool
) -> None:
    async with playing(port, namespace):
        target = await shim_loaded(port, namespace)
        before = await pods_with_the_shim(port, target)
        archive = Archive(tmp_path, "restore_fields", await fields_of(port, target))
        if stored:
            await RunRecords(port.objects, agent_namespace, RUN).begin(archive.events)
        code, process = await archive.recovered()
        assert (await pods_with_the_shim(port, target) == before) is not stored, process.said
    assert code == (0 if stored else 4), process.said
    assert ("nothing in the cluster shows that this run" in process.said) is not stored, process.said


@pytest.fixture
async def broken_node(port: KubernetesPort) -> AsyncIterator[Object]:
    """A node in a real quarantine, without an agent."""
    ref = Ref("Node", "gpu-7")
    await port.objects.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "gpu-7"}, "spec": {}})
    await port.objects.patch(ref, quarantined({**event(), "nodeName": "gpu-7"}))
    fallen = condition_of(finding(said="MESSAGE=NVRM: Xid (PCI:0000:3b:00): 79, pid=1, fallen off the bus."))
    await port.objects.patch(ref, {"status": {"conditions": [fallen]}}, status=True)
    made = await port.objects.create(repair("e1", node="gpu-7"))
    yield await port.objects.get(ref)
    await port.objects.delete(ref)
    try:
        await port.objects.delete(Ref.of(made))
    except NotFound:
        return


def consequences_on(node: Object) -> ClearConsequences:
    return ClearConsequences(
        node="gpu-7",
        uid=node["metadata"]["uid"],
        fault=f"{RUN}-inject-0123456789",
        cause=Cause(codes=("79",), uuids=("GPU-1",)),
        expected=False,
        patience=timedelta(seconds=1),
        cordoned=False,
        labels={},
        annotations={},
        taints=(),
        conditions=(),
        maintenance=(),
    )


def marks(node: Object) -> object:
    conditions = [one["type"] for one in node["status"].get("conditions", [])]
    meta = node["metadata"]
    return node["spec"].get("unschedulable"), meta.get("annotations"), meta.get("labels"), conditions


@pytest.mark.guarantee("G27")
async def test_no_quarantine_is_lifted_on_the_word_of_a_folder(
    port: KubernetesPort, broken_node: Object, tmp_path: Path
) -> None:
    async with taking_uncordons(port.objects):
        code, process = await Archive(
            tmp_path, "clear_consequences", consequences_on(broken_node)
        ).recovered()
    assert marks(await port.objects.get(Ref("Node", "gpu-7"))) == marks(broken_node), process.said
    assert [one["metadata"]["name"] for one in (await port.objects.list("RebootNode")).items] == [
        "maintenance-gpu-7-e1"
    ]
    assert code == 4, process.said
    assert "the agent of gpu-7 cannot be asked" in process.said


async def test_a_copied_folder_lifts_it_where_the_cluster_has_its_record(
    port: KubernetesPort, broken_node: Object, agent_namespace: str, tmp_path: Path
) -> None:
    archive = Archive(tmp_path, "clear_consequences", consequences_on(broken_node))
    await RunRecords(port.objects, agent_namespace, RUN).begin(archive.events)
    async with taking_uncordons(port.objects):
        code, process = await archive.recovered()
    assert code == 0, process.said
    assert not (await port.objects.get(Ref("Node", "gpu-7")))["spec"].get("unschedulable"), process.said
