"""Records of undos that somebody else wrote: what no drill records is left alone, whatever the world looks like.

Each type's allow-list, from the record alone (`Undo.refusal`) and from what the cluster says.
"""

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest

from offbus.plugins import UNDOS, installed
from offbus.undo import Undo, UndoContext
from offbus_steps.agents.fault_model import Fault
from offbus_steps.deploy.undo_collect import CollectEvidence
from offbus_steps.deploy.undo_delete import DeleteObject
from offbus_steps.inject.undo_breaker import CheckBreaker
from offbus_steps.inject.undo_consequences import ClearConsequences
from offbus_steps.inject.undo_disarm import DisarmFault
from offbus_steps.inject.undo_restart import Holder, RestartFaulted
from offbus_steps.nvsentinel import names
from offbus_steps.port import Ref
from offbus_steps.prepare.undo_admission import RemoveAdmission
from offbus_steps.prepare.undo_fields import RestoreFields
from offbus_steps.residue.fingerprint import RUN_LABEL
from offbus_steps.workloads.fields import Field, plan
from offbus_steps.workloads.shim_fields import is_shim_field, preload_fields
from offbus_steps.workloads.shim_mounts import FOLDER, LIBRARY
from offbus_steps.workloads.target import Target
from offbus_steps.workloads.workload_kinds import workload_of
from tests.kits.steps.faults import FAULT, TARGET
from tests.kits.steps.manifests import (
    agg,
    beta_agg,
    deployment,
    disagg_router,
    leader_worker_set,
    stateful_set,
)
from tests.kits.steps.timed_port import node, ok, pod, timed_bench
from tests.kits.virtual_time import in_virtual_time

RUN = "testrun1"
MINE = f"{RUN}-inject-0a1b2c"
NODE = Ref("Node", "node-1")
EVERY_KIND = [agg(), disagg_router(), deployment(), beta_agg(), stateful_set(), leader_worker_set()]
CONTAINER = ("spec", "template", "spec", "containers", ("name", "main"))
PRELOAD = (*CONTAINER, "env", ("name", "LD_PRELOAD"))


def field(path: Any, intended: Any, **more: Any) -> Field:
    return Field(**{"path": path, "existed": False, "intended": intended, "created": 4, **more})


def preload(value: str, **more: Any) -> Field:
    return field(PRELOAD, {"name": "LD_PRELOAD", "value": value}, **more)


def fields(*found: Field, **more: Any) -> RestoreFields:
    record = {"kind": "Deployment", "name": "web", "namespace": "drill", "uid": "u", "fields": found}
    return RestoreFields(**{**record, **more})


def consequences(**more: Any) -> ClearConsequences:
    record: dict[str, Any] = {
        "node": "node-1",
        "uid": "u",
        "fault": MINE,
        "expected": False,
        "patience": timedelta(seconds=5),
        "cordoned": False,
        "labels": {},
        "annotations": {},
        "taints": (),
        "conditions": (),
    }
    return ClearConsequences(**{**record, "maintenance": (), **more})


def fault(**more: Any) -> Fault:
    return FAULT.model_copy(update={"id": MINE, **more})


def target(**more: Any) -> Target:
    return TARGET.model_copy(update=more)


def holder(**more: Any) -> Holder:
    return Holder(**{"name": "web-1", "namespace": "drill", "uid": "u", "restarts": 0, **more})


def restart(*holders: Holder, **more: Any) -> RestartFaulted:
    return RestartFaulted(**{"node": "node-1", "fault": MINE, "holders": holders, **more})


@pytest.mark.guarantee("G27")
@pytest.mark.parametrize("obj", EVERY_KIND, ids=lambda obj: obj["kind"])
@pytest.mark.parametrize("prefix", ["", "$(OFFBUS_NODE_ROOT)"])
@pytest.mark.parametrize("chained", ["", "/opt/a.so:/opt/b.so"])
def test_what_prepare_records_may_be_undone(obj: dict[str, Any], prefix: str, chained: str) -> None:
    workload = workload_of(obj)
    images = {one.container: chained for one in workload.gpu_templates()} if chained else {}
    made = preload_fields(
        workload, [], lambda path, sub: prefix + path + (f"/{sub}" if prefix and sub else ""), images
    )
    undo = RestoreFields.of({**obj, "metadata": {"namespace": "drill", **obj["metadata"], "uid": "u"}}, made)
    assert undo.refusal(RUN) is None


def test_what_was_preloaded_before_may_be_restored() -> None:
    before = {"name": "LD_PRELOAD", "value": "/opt/a.so"}
    obj = {"spec": {"template": {"spec": {"containers": [{"name": "main", "env": [before]}]}}}}
    made = plan(obj, PRELOAD, {"name": "LD_PRELOAD", "value": f"{LIBRARY}:/opt/a.so"})
    assert (made.existed, is_shim_field(made)) == (True, True)


@pytest.mark.guarantee("G27")
@pytest.mark.parametrize(
    "undo",
    [
        consequences(),
        consequences(
            labels={names.CORDON_BY: "NVSentinel"},
            annotations={names.CORDONED_ANNOTATION: "True"},
            maintenance=("RebootNode/x",),
        ),
        DisarmFault(fault=fault()),
        CheckBreaker(namespaces=("nvsentinel",)),
        restart(holder()),
        RemoveAdmission(policy=f"offbus-{RUN}-prepare", target=TARGET),
        CollectEvidence(target=TARGET, folder="/run"),
        *(DeleteObject(kind=kind, name="a", namespace="drill") for kind in ("ConfigMap", "Deployment")),
        DeleteObject(kind="Namespace", name="drill"),
    ],
    ids=lambda undo: undo.describe(),
)
def test_what_a_drill_records_may_be_undone(undo: Undo) -> None:
    assert undo.refusal(RUN) is None


@pytest.mark.guarantee("G27")
@pytest.mark.parametrize(
    "undo",
    [
        DeleteObject(kind="Secret", name="a", namespace="drill"),
        DeleteObject(kind="Node", name="node-1"),
        DeleteObject(kind="Pod", name="a", namespace="drill"),
        DeleteObject(kind="Deployment", name="a"),
        DeleteObject(kind="Namespace", name="drill", namespace="drill"),
        DeleteObject(kind="ConfigMap", name="../secrets/a", namespace="drill"),
        DeleteObject(kind="ConfigMap", name="a", namespace="kube-system/secrets/b?x="),
        DeleteObject(kind="ConfigMap", name="", namespace="drill"),
        RemoveAdmission(policy="gatekeeper", target=TARGET),
        RemoveAdmission(policy="offbus-otherrun-prepare", target=TARGET),
        RemoveAdmission(policy=f"offbus-{RUN}-../x", target=TARGET),
        RemoveAdmission(policy=f"offbus-{RUN}-prepare", target=target(selector={})),
        RemoveAdmission(policy=f"offbus-{RUN}-prepare", target=target(kind="DaemonSet")),
        CollectEvidence(target=target(namespace="../../.."), folder="/run"),
        CollectEvidence(target=target(name="../x"), folder="/run"),
        CollectEvidence(target=target(kind="Secret"), folder="/run"),
        CheckBreaker(namespaces=("nvsentinel", "../secrets")),
        DisarmFault(fault=fault(id="otherrun-inject-0a1b2c")),
        DisarmFault(fault=fault(id=f"{RUN}-../../faults/x")),
        DisarmFault(fault=fault(node="../x")),
        restart(holder(), fault="otherrun-inject-0a1b2c"),
        restart(holder(name="../x")),
        restart(holder(namespace="")),
        restart(holder(), node=""),
        consequences(fault="otherrun-inject-0a1b2c"),
        consequences(node="../x"),
        consequences(labels={"node-role.kubernetes.io/control-plane": ""}),
        consequences(annotations={"projectcalico.org/IPv4Address": "1.2.3.4"}),
        consequences(conditions=({"type": "Ready", "status": "True", "reason": "KubeletReady"},)),
        consequences(maintenance=("Node/node-1",)),
        fields(preload(LIBRARY), kind="Secret"),
        fields(preload(LIBRARY), kind="Node", namespace=""),
        fields(preload(LIBRARY), kind="DaemonSet"),
        fields(preload(LIBRARY), name="a/b"),
        fields(preload(LIBRARY), rollout=target(name="other")),
        fields(field(("spec", "replicas"), 3)),
        fields(field(("spec", "template", "spec", "serviceAccountName"), "a")),
        fields(field(("metadata", "labels", "a"), "b")),
        fields(preload("/evil.so")),
        fields(preload(f"/evil.so:{LIBRARY}")),
        fields(preload(f"{LIBRARY}:/a.so", existed=True, before={"name": "LD_PRELOAD", "value": "/evil.so"})),
        fields(preload(LIBRARY, existed=True, before={"name": "LD_PRELOAD", "value": "/evil.so"})),
        fields(preload(LIBRARY, before={"name": "LD_PRELOAD", "value": "/evil.so"})),
        fields(preload(f"{LIBRARY}:/a.so", existed=True, before="/a.so")),
        fields(
            preload(
                f"{LIBRARY}:/a.so",
                existed=True,
                before={"name": "LD_PRELOAD", "value": "/a.so", "valueFrom": {}},
            )
        ),
        fields(preload(LIBRARY, created=-1)),
        fields(preload(LIBRARY, created=99)),
        fields(
            preload(LIBRARY),
            field((*CONTAINER, "command"), ["sh"], existed=True, before=["sh", "-c", "evil"]),
        ),
        fields(field((*CONTAINER, "args", ("name", "LD_PRELOAD")), {"name": "LD_PRELOAD", "value": LIBRARY})),
        fields(field((*CONTAINER, "env", ("name", "PATH")), {"name": "PATH", "value": "/evil"})),
        fields(
            field(
                (*CONTAINER, "env", ("name", "OFFBUS_PAGE_DIR")),
                {"name": "OFFBUS_PAGE_DIR", "value": FOLDER},
                existed=True,
                before={"name": "OFFBUS_PAGE_DIR", "value": "/evil"},
            )
        ),
        fields(
            field(
                ("spec", "template", "spec", "volumes", ("name", "offbus")),
                {"name": "offbus", "hostPath": {"path": "/", "type": "Directory"}},
            )
        ),
        fields(
            field(
                ("spec", "template", "spec", "volumes", ("name", "offbus")),
                {"name": "offbus", "hostPath": {"path": FOLDER, "type": "Directory"}},
                existed=True,
                before={"name": "offbus", "hostPath": {"path": "/"}},
            )
        ),
        fields(
            field(
                (*CONTAINER, "volumeMounts", ("mountPath", "/etc")), {"name": "offbus", "mountPath": "/etc"}
            )
        ),
    ],
    ids=lambda undo: undo.describe(),
)
def test_what_no_drill_records_is_refused(undo: Undo) -> None:
    assert undo.refusal(RUN)


@pytest.mark.guarantee("G27")
def test_every_undo_type_of_ours_says_what_it_allows() -> None:
    registry = installed()
    ours = {name: registry.undo_type(name) for name in registry.names(UNDOS)}
    assert {name for name, kind in ours.items() if kind.refusal is Undo.refusal} == set()


def shimmed(name: str, **labels: str) -> Any:
    one = pod(name, "web", "node-1")
    one["spec"]["containers"][0]["env"] = [{"name": "LD_PRELOAD", "value": LIBRARY}]
    one["metadata"]["labels"] |= labels
    return one


async def faulted(_method: str, path: str, _body: Any) -> Any:
    """An agent that says of every fault that it is one, an XID 79 on GPU-1, and that it faulted a process."""
    if path == "/health":
        gpus = [{"index": 0, "uuid": "GPU-1", "pci": "0000:3b:00"}]
        return ok(json.dumps({"boot_id": "b", "now_ns": 0, "planes": {}, "gpus": gpus}))
    fault = {"id": "f", "state": "armed", "xid": 79, "gpus": ["GPU-1"], "unread": []}
    fault["kernel"] = [{"seq": 1, "line": "Xid", "at_ns": 0}]
    return ok(json.dumps({**fault, "lines": [], "processes": [{"faulted": 1}]}))


@pytest.mark.guarantee("G27")
@pytest.mark.parametrize(
    ("made", "where"), [(pod, "node-1"), (shimmed, "node-2")], ids=["no shim", "another node"]
)
@in_virtual_time
async def test_a_pod_that_no_fault_can_have_reached_is_not_restarted(
    tmp_path: Path, made: Callable[..., Any], where: str
) -> None:
    one = pod("web-1", "web", "node-1") if made is pod else made("web-1")
    async with timed_bench(tmp_path, node("node-1"), one) as (bench, port):
        port.agents.answer = faulted
        uid = port.store.get(Ref.of(one))["metadata"]["uid"]
        assert (await bench.undo(restart(holder(uid=uid), node=where))).result == "nothing"
        assert port.objects.times("delete Pod") == []


@pytest.mark.guarantee("G27")
@in_virtual_time
async def test_objects_of_another_run_are_not_deleted(tmp_path: Path) -> None:
    labelled = [deployment_of("mine", RUN), deployment_of("others", "otherrun"), deployment_of("nobodys", "")]
    async with timed_bench(tmp_path, *labelled) as (bench, port):
        for obj in labelled:
            ref = Ref.of(obj)
            await bench.undo(DeleteObject(kind=ref.kind, name=ref.name, namespace=ref.namespace))
        assert port.objects.times("delete ConfigMap") == [0.0]


def deployment_of(name: str, run: str) -> dict[str, Any]:
    labels = {RUN_LABEL: run} if run else {}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "drill", "labels": labels},
    }


@pytest.mark.guarantee("G27")
@in_virtual_time
async def test_evidence_is_written_into_the_runs_folder_alone(tmp_path: Path) -> None:
    elsewhere, run_dir = tmp_path / "elsewhere", tmp_path / "run"
    for folder in (elsewhere, run_dir):
        folder.mkdir()
    async with timed_bench(run_dir) as (bench, _):
        result = await bench.undo(CollectEvidence(target=TARGET, folder=str(elsewhere)))
        assert "on another machine, or was moved" in result.detail
        assert list(elsewhere.iterdir()) == []
        (run_dir / "collected").symlink_to(elsewhere)
        result = await bench.undo(CollectEvidence(target=TARGET, folder=str(run_dir)))
        assert result.evidence["files"] == []
        assert result.evidence["missing"]
        assert list(elsewhere.iterdir()) == []


@pytest.mark.guarantee("G27")
@in_virtual_time
async def test_evidence_is_not_written_through_a_link(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    run_dir = tmp_path / "run"
    folder = run_dir / "collected" / TARGET.namespace / TARGET.name
    folder.mkdir(parents=True)
    (folder / "events.yaml").symlink_to(victim)
    async with timed_bench(run_dir) as (bench, _):
        with anyio.fail_after(600):
            await bench.undo(CollectEvidence(target=TARGET, folder=str(run_dir)))
    assert victim.read_text() == "precious"
    assert (folder / "events.yaml").is_file()
    assert not (folder / "events.yaml").is_symlink()


def test_an_undo_gets_the_folder_of_its_run() -> None:
    assert UndoContext.__dataclass_fields__["run_dir"].default == ""
