"""Whoever may edit what a run made can take the run's label off: it is told, never left without a word."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from offbus.journal.writer import JournalWriter
from offbus.runner.clock import SystemClock
from offbus.runner.recorder import RunRecorder
from offbus.undo import Undo, UndoContext, UndoResult
from offbus_steps.cluster.cluster import open_cluster
from offbus_steps.deploy.undo_delete import DeleteObject
from offbus_steps.kubernetes.port import KubernetesPort
from offbus_steps.port import Object, Ref
from offbus_steps.prepare.admission_kinds import WEBHOOK
from offbus_steps.prepare.undo_admission import RemoveAdmission
from offbus_steps.residue.fingerprint import RUN_LABEL
from offbus_steps.safety.guards import ClusterGuards
from offbus_steps.workloads.target import Target

pytestmark = pytest.mark.anyio

RUN = "abcd1234"
MADE: dict[str, Object] = {
    "ConfigMap": {"apiVersion": "v1"},
    "Service": {"apiVersion": "v1", "spec": {"ports": [{"port": 80}]}},
    "PersistentVolumeClaim": {
        "apiVersion": "v1",
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    },
    "PodDisruptionBudget": {
        "apiVersion": "policy/v1",
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": {"app": "web"}}},
    },
}


@asynccontextmanager
async def undoing(port: KubernetesPort, folder: Path) -> AsyncIterator[Any]:
    """Plays undos of the run."""
    journal = JournalWriter(folder / "journal.jsonl", RUN, SystemClock())
    handle = RunRecorder(
        journal, 1, {}, environment="kubernetes", abort=pytest.fail, progress=lambda _step, _text: None
    )
    async with open_cluster(port, handle, ClusterGuards()) as cluster:

        async def undo(one: Undo) -> UndoResult:
            context = UndoContext(run=RUN, step="deploy", environment=cluster, recorder=handle.for_step("s"))
            return await one.undo(context)

        yield undo
    journal.close()


async def made(port: KubernetesPort, kind: str, namespace: str, name: str) -> tuple[Ref, Object]:
    """An object of the run, as the API server made it."""
    ref = Ref(kind, name, namespace)
    meta = {"name": name, "labels": {RUN_LABEL: RUN}} | ({"namespace": namespace} if namespace else {})
    return ref, await port.objects.create({**MADE[kind], "kind": kind, "metadata": meta})


@pytest.mark.guarantee("G3")
@pytest.mark.parametrize("recorded", [True, False], ids=["its uid is recorded", "killed before that"])
@pytest.mark.parametrize("kind", MADE)
async def test_what_has_lost_the_runs_label_is_told(
    port: KubernetesPort, namespace: str, tmp_path: Path, *, kind: str, recorded: bool
) -> None:
    ref, obj = await made(port, kind, namespace, "web")
    await port.objects.patch(ref, {"metadata": {"labels": {RUN_LABEL: None}}})
    more = {"uid": obj["metadata"]["uid"]} if recorded else {}
    async with undoing(port, tmp_path) as undo:
        result = await undo(DeleteObject(kind=kind, name="web", namespace=namespace, **more))
    assert result.result == "conflict"
    assert RUN_LABEL in result.detail
    assert (await port.objects.get(ref))["metadata"]["uid"] == obj["metadata"]["uid"]


async def test_what_somebody_made_in_its_place_stays(
    port: KubernetesPort, namespace: str, tmp_path: Path
) -> None:
    ref, obj = await made(port, "ConfigMap", namespace, "web")
    await port.objects.delete(ref)
    theirs = {"name": "web", "namespace": namespace}
    await port.objects.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": theirs})
    undo_it = DeleteObject(kind="ConfigMap", name="web", namespace=namespace, uid=obj["metadata"]["uid"])
    async with undoing(port, tmp_path) as undo:
        assert (await undo(undo_it)).result == "nothing"
    assert await port.objects.get(ref)


@pytest.mark.guarantee("G3")
async def test_a_webhook_that_has_lost_the_runs_label_is_told(
    port: KubernetesPort, namespace: str, tmp_path: Path
) -> None:
    name = f"offbus-{RUN}-prepare"
    hook = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": WEBHOOK, "metadata": {"name": name}}
    await port.objects.create(hook)
    target = Target(kind="Deployment", name="web", namespace=namespace, port=80, selector={"app": "web"})
    async with undoing(port, tmp_path) as undo:
        result = await undo(RemoveAdmission(policy=name, target=target))
    assert result.result == "conflict"
    assert f"{WEBHOOK}/{name}" in result.detail
    assert await port.objects.get(Ref(WEBHOOK, name))
    await port.objects.delete(Ref(WEBHOOK, name))
