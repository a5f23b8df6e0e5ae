"""The reaper finishes what a killed runner left, from what the cluster kept; real processes, a real API server."""

import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from offbus_steps.kubernetes.ownership.published_reports import report_name
from offbus_steps.kubernetes.ownership.run_lease import LEASE, RunLease
from offbus_steps.kubernetes.ownership.run_records import RECORDS_LABEL, records_name
from offbus_steps.kubernetes.port import KubernetesPort
from offbus_steps.kubernetes.rbac.reaper import REAPER, reaper_rights
from offbus_steps.kubernetes.rbac.rights import roles
from offbus_steps.port import NotFound, Ref
from tests.kits.kubernetes.killed_runs import Drill, Process, changes, gone, seen
from tests.kits.kubernetes.kubernetes_world import Users, bind_role
from tests.kits.kubernetes.lone_server import LoneServer

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(300)]

FINALIZER = "offbus.test/hold"
Objects = dict[str, str]


@pytest.fixture
async def drill(server: LoneServer, namespace: str, tmp_path: Path) -> AsyncIterator[Drill]:
    with Drill(tmp_path, server.kubeconfig("admin"), namespace).ending_all() as drill:
        yield drill


async def in_the_middle(drill: Drill, port: KubernetesPort) -> tuple[Process, str]:
    """A runner that has done all of its effects; its run."""
    runner = drill.run()
    await seen(port, drill.made[-1], runner)
    lease = await port.objects.get(Ref("Lease", LEASE, drill.namespace))
    return runner, lease["spec"]["holderIdentity"].partition("/")[0]


async def everything(port: KubernetesPort, namespace: str) -> Objects:
    """Each object of the namespace with its version: equal means that nothing was written."""
    found = {}
    for kind in ("ConfigMap", "Deployment", "Lease"):
        for one in (await port.objects.list(kind, namespace=namespace)).items:
            found[f"{kind}/{one['metadata']['name']}"] = one["metadata"]["resourceVersion"]
    return found


async def nothing_left(port: KubernetesPort, drill: Drill, run: str) -> None:
    for ref in (*drill.made, Ref("Lease", LEASE, drill.namespace)):
        with pytest.raises(NotFound):
            await port.objects.get(ref)
    with pytest.raises(NotFound):
        await port.objects.get(Ref("ConfigMap", records_name(run), drill.namespace))


async def report_of(port: KubernetesPort, drill: Drill, run: str, process: Process) -> dict[str, Any]:
    return (await seen(port, Ref("ConfigMap", report_name(run), drill.namespace), process))["data"]


@pytest.mark.guarantee("G19")
async def test_a_run_whose_runner_was_killed_is_finished(drill: Drill, port: KubernetesPort) -> None:
    runner, run = await in_the_middle(drill, port)
    reaper = drill.reaper()
    runner.kill()
    await gone(port, Ref("Lease", LEASE, drill.namespace), reaper)
    data = await report_of(port, drill, run, reaper)
    await nothing_left(port, drill, run)
    assert data["summary"] == f"stands, run {run}: 2 of 2 undone, residue: none"
    report = json.loads(data["report.json"])
    assert report["residue"] == []
    assert [one["tries"][-1]["by"] for one in report["undos"]] == ["reaper", "reaper"]
    kinds = [json.loads(line)["kind"] for line in data["journal.jsonl"].splitlines()]
    assert kinds[:5] == ["run_started", "environment_opened", "fingerprint", "undo_recorded", "undo_recorded"]
    assert kinds[-1] == "run_ended"


@pytest.mark.guarantee("G19")
async def test_the_run_of_a_cell_is_finished(drill: Drill, port: KubernetesPort) -> None:
    drill.matrix = True
    runner, run = await in_the_middle(drill, port)
    reaper = drill.reaper()
    runner.kill()
    data = await report_of(port, drill, run, reaper)
    assert data["summary"] == f"stands[n=1], run {run}: 2 of 2 undone, residue: none"
    assert json.loads(data["report.json"])["cell"] == "n-1"
    await nothing_left(port, drill, run)


async def test_the_reaper_s_own_rights_are_enough(
    drill: Drill, port: KubernetesPort, server: LoneServer
) -> None:
    """deploy/'s generated roles, on the API server's own RBAC."""
    own = Users.REAPER
    for role, where in zip(
        roles(drill.namespace, REAPER, reaper_rights()), ("", drill.namespace, "", ""), strict=True
    ):
        await bind_role(port, role, own, where)
    runner, run = await in_the_middle(drill, port)
    reaper = drill.reaper(kubeconfig=server.kubeconfig(own))
    runner.kill()
    data = await report_of(port, drill, run, reaper)
    assert data["summary"] == f"stands, run {run}: 2 of 2 undone, residue: none"
    await nothing_left(port, drill, run)


@pytest.mark.guarantee("G19")
async def test_a_run_whose_runner_lives_is_left_alone(drill: Drill, port: KubernetesPort) -> None:
    runner, run = await in_the_middle(drill, port)
    reaper = drill.reaper()
    versions = set()
    lease = Ref("Lease", LEASE, drill.namespace)
    listing = await port.objects.list("Lease", namespace=drill.namespace)
    async with changes(port, lease, listing.resource_version) as events:
        async for event in events:
            versions.add(event.object["metadata"]["resourceVersion"])
            if len(versions) == 6:  # twice the duration
                break
    assert (await port.objects.get(lease))["spec"]["holderIdentity"].startswith(f"{run}/1@")
    runner.send(signal.SIGINT)
    assert await runner.ended() == 130
    await nothing_left(port, drill, run)
    assert [one["event"] for one in reaper.logged] == ["watching"]


@pytest.mark.guarantee("G19")
async def test_of_two_reapers_one_finishes(drill: Drill, port: KubernetesPort) -> None:
    runner, run = await in_the_middle(drill, port)
    reapers = [drill.reaper("a"), drill.reaper("b")]
    runner.kill()
    await gone(port, Ref("Lease", LEASE, drill.namespace), reapers[0])
    await report_of(port, drill, run, reapers[0])
    await nothing_left(port, drill, run)
    for one in reapers:
        one.send(signal.SIGTERM)
        assert await one.ended() == 0
    finished = [line for one in reapers for line in one.logged if line["event"] == "finished"]
    assert len(finished) == 1


@pytest.mark.guarantee("G19")
async def test_a_reaper_that_is_killed_in_the_middle_is_finished_by_the_next(
    drill: Drill, port: KubernetesPort
) -> None:
    runner, run = await in_the_middle(drill, port)
    held = drill.made[0]
    await port.objects.patch(held, {"metadata": {"finalizers": [FINALIZER]}})
    first = drill.reaper("first")
    runner.kill()
    await gone(port, drill.made[1], first)
    await seen(port, held, first, deleting=True)
    first.kill()
    second = drill.reaper("second")
    await port.objects.patch(held, {"metadata": {"finalizers": None}})
    await gone(port, Ref("Lease", LEASE, drill.namespace), second)
    data = await report_of(port, drill, run, second)
    await nothing_left(port, drill, run)
    adopted = [json.loads(line) for line in data["journal.jsonl"].splitlines() if '"adopted"' in line]
    assert [one["data"]["epoch"] for one in adopted] == [2, 3]


@pytest.mark.guarantee("G19")
async def test_what_cannot_be_undone_is_told_and_tried_again(drill: Drill, port: KubernetesPort) -> None:
    drill.undo_timeout = "3s"
    runner, run = await in_the_middle(drill, port)
    held = drill.made[0]
    await port.objects.patch(held, {"metadata": {"finalizers": [FINALIZER]}})
    reaper = drill.reaper()
    runner.kill()
    data = await report_of(port, drill, run, reaper)
    assert f"residue: delete {held}: not undone" in data["summary"]
    lease = await port.objects.get(Ref("Lease", LEASE, drill.namespace))
    assert lease["spec"]["holderIdentity"].startswith(f"{run}/2@")
    assert RECORDS_LABEL in str(await port.objects.get(Ref("ConfigMap", records_name(run), drill.namespace)))
    await port.objects.patch(held, {"metadata": {"finalizers": None}})
    await gone(port, Ref("Lease", LEASE, drill.namespace), reaper)
    await nothing_left(port, drill, run)


@pytest.mark.guarantee("G19")
async def test_a_runner_that_comes_back_changes_nothing(drill: Drill, port: KubernetesPort) -> None:
    """Also not what another run, which has the cluster by then, relies on."""
    runner, run = await in_the_middle(drill, port)
    reaper = drill.reaper()
    runner.send(signal.SIGSTOP)
    await gone(port, Ref("Lease", LEASE, drill.namespace), reaper)
    await report_of(port, drill, run, reaper)
    await RunLease(port.objects, drill.namespace, "next/1@there", duration_s=300).take()
    before = await everything(port, drill.namespace)
    runner.send(signal.SIGCONT)
    assert await runner.ended() == 4
    assert await everything(port, drill.namespace) == before
    assert "was taken from run" in runner.said
    assert "next/1@there" in runner.said


async def test_a_lease_whose_owner_recorded_nothing_is_freed(drill: Drill, port: KubernetesPort) -> None:
    await RunLease(port.objects, drill.namespace, "r1/1@there", duration_s=1).take()
    reaper = drill.reaper()
    await gone(port, Ref("Lease", LEASE, drill.namespace), reaper)
    reaper.send(signal.SIGTERM)
    assert await reaper.ended() == 0
    assert [one["event"] for one in reaper.logged] == ["watching", "lease expired", "freed", "ends"]


@pytest.mark.guarantee("G19")
async def test_recover_finishes_a_run_of_another_machine(drill: Drill, port: KubernetesPort) -> None:
    runner, run = await in_the_middle(drill, port)
    planned = drill.recover("--plan")
    assert await planned.ended() == 0
    assert f"run {run}: 2 to undo" in planned.said
    alive = drill.recover(run)
    assert await alive.ended() == 3
    assert "which is still renewing its Lease" in alive.said
    runner.kill()
    recovered = drill.recover()
    assert await recovered.ended() == 0, recovered.said
    assert f"recovered run {run}: 2 of 2 undone, residue: none" in recovered.said
    await nothing_left(port, drill, run)
    again = drill.recover()
    assert await again.ended() == 0
    assert "nothing to recover: kubernetes has no unfinished run" in again.said


@pytest.mark.guarantee("G19")
async def test_recover_finishes_the_run_of_a_cell_of_another_machine(
    drill: Drill, port: KubernetesPort
) -> None:
    drill.matrix = True
    runner, run = await in_the_middle(drill, port)
    planned = drill.recover("--plan")
    assert await planned.ended() == 0, planned.said
    runner.kill()
    recovered = drill.recover()
    assert await recovered.ended() == 0, recovered.said
    assert f"recovered run {run}: 2 of 2 undone, residue: none" in recovered.said
    await nothing_left(port, drill, run)
