"""`offbus residue` and `offbus recover --plan` only look: they make nothing in the cluster, and no note here."""

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest

from offbus.cli.handlers.recover_remote import recover_from
from offbus.cli.handlers.residue import compare_named, compare_run
from offbus.errors import CouldNotRun
from offbus.journal.events import Event, EventKind
from offbus.journal.kinds import ENVIRONMENT_OPENED, FINGERPRINT, RUN_STARTED, UNDO_RECORDED
from offbus.journal.writer import JournalWriter
from offbus.open_run import create_run
from offbus.runner.clock import SystemClock
from offbus_steps.deploy.undo_delete import DeleteObject
from offbus_steps.kubernetes.options import KubernetesOptions
from offbus_steps.kubernetes.ownership.run_lease import LEASE, RunLease
from offbus_steps.kubernetes.ownership.run_records import RunRecords
from offbus_steps.kubernetes.port import KubernetesPort
from offbus_steps.port import NotFound, Ref
from tests.kits.kubernetes.lone_server import LoneServer

pytestmark = pytest.mark.anyio

HEAD = {
    "name": "nightly",
    "summary": "",
    "scenario": "x",
    "digest": "x",
    "environment": "kubernetes",
    "identity": "kubernetes:x",
    "versions": {},
    "steps": [],
    "expect": [],
    "timeout_s": 1.0,
    "undo_timeout_s": 60.0,
    "host": "ci",
    "pid": 1,
}
UNDO = {
    "undo": 1,
    "type": "delete_object",
    "distribution": "offbus",
    "phase": "restore",
    "describe": "x",
    "record": DeleteObject(kind="ConfigMap", name="n", namespace="d").model_dump(mode="json"),
}


@pytest.fixture(autouse=True)
async def agents(
    server: LoneServer,
    port: KubernetesPort,
    agent_namespace: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[None]:
    """The namespace of the agents, which ends as empty as it began."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("KUBECONFIG", str(server.kubeconfig("admin")))
    yield
    assert list((tmp_path / "state/offbus/opened").glob("*")) == []
    with pytest.raises(NotFound):
        await port.objects.get(Ref("Lease", LEASE, agent_namespace))
    assert (await port.objects.list("ConfigMap", namespace=agent_namespace)).items == []


def unfinished(base: Path) -> str:
    """The folder of a run that somebody else made, and that keeps its Lease for as long as it may."""
    with create_run(base, "nightly", "kubernetes:x") as folder:
        journal = JournalWriter(folder.journal, folder.id, SystemClock())
        options = KubernetesOptions(lease_s=3600).model_dump(mode="json")
        state = {"options": options, "guards": {}, "holder": ""}
        journal.append(RUN_STARTED(HEAD))
        journal.append(ENVIRONMENT_OPENED({"environment": "kubernetes", "state": state}))
        journal.append(FINGERPRINT({"when": "before", "items": {}}))
        journal.append(UNDO_RECORDED(UNDO))
        journal.close()
    return str(folder.path)


async def test_residue_of_an_unfinished_run_takes_and_stores_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await anyio.to_thread.run_sync(partial(compare_run, unfinished(tmp_path), runs=None))
    assert "nightly" not in capsys.readouterr().err


async def test_residue_of_a_cluster_takes_and_stores_nothing(tmp_path: Path) -> None:
    saved = tmp_path / "saved.json"
    named = partial(compare_named, "kubernetes", {})
    assert await anyio.to_thread.run_sync(partial(named, save=saved, against=None)) == 0
    assert await anyio.to_thread.run_sync(partial(named, save=None, against=saved)) == 0


async def test_while_another_run_changes_the_cluster_nothing_is_compared(
    port: KubernetesPort, agent_namespace: str, tmp_path: Path
) -> None:
    other = RunLease(port.objects, agent_namespace, "0ther123/1@ci#x")
    await other.take()
    with pytest.raises(CouldNotRun, match="in use by run 0ther123"):
        await anyio.to_thread.run_sync(partial(compare_run, unfinished(tmp_path), runs=None))
    await other.give_up()


async def test_the_plan_of_a_recovery_from_the_cluster_leaves_nothing_here(
    port: KubernetesPort, agent_namespace: str, tmp_path: Path
) -> None:
    records = RunRecords(port.objects, agent_namespace, "0123abcd")

    def event(seq: int, kind: EventKind, data: dict[str, Any]) -> Event:
        stamp = {"v": 2, "run": "0123abcd", "t": "2026-01-31T12:00:00.000000Z", "clock": "c"}
        return {**stamp, "seq": seq, "mono_ns": seq, "kind": kind.value, "data": data}  # type: ignore[typeddict-item]  # as stored

    state = {"options": KubernetesOptions().model_dump(mode="json"), "guards": {}, "holder": ""}
    await records.begin(
        [
            event(1, EventKind.RUN_STARTED, HEAD),
            event(2, EventKind.ENVIRONMENT_OPENED, {"environment": "kubernetes", "state": state}),
            event(3, EventKind.UNDO_RECORDED, UNDO),
        ]
    )
    plan = partial(recover_from, "kubernetes", {}, "all", plan_only=True, runs=tmp_path)
    assert await anyio.to_thread.run_sync(plan) == 0
    await records.end()
