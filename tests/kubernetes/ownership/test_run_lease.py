"""The run's Lease and its records in the cluster: one owner at a time, and every undo known there before its effect."""

from typing import Any, cast

import anyio
import pytest

from offbus.errors import CouldNotRun, StepError
from offbus.journal.events import VERSION, Event
from offbus_steps.kubernetes.ownership.run_lease import LEASE, RunLease
from offbus_steps.kubernetes.ownership.run_records import RunRecords, events_in, records_name
from offbus_steps.kubernetes.port import KubernetesPort
from offbus_steps.port import NotFound, Ref
from tests.kits.kubernetes.kubernetes_world import PortFor
from tests.kits.kubernetes.lone_server import LoneServer

pytestmark = pytest.mark.anyio

WATCHDOG_S = 60


def lease(port: KubernetesPort, namespace: str, holder: str, *, duration_s: int = 30) -> RunLease:
    return RunLease(port.objects, namespace, holder, duration_s=duration_s)


def event(kind: str, data: dict[str, Any], seq: int = 1) -> Event:
    head: dict[str, Any] = {
        "v": VERSION,
        "seq": seq,
        "run": "run-a",
        "t": "2026-01-01T00:00:00.000000Z",
        "mono_ns": seq,
        "clock": "c",
    }
    return cast(Event, {**head, "kind": kind, "data": data})


def record(number: int, describe: str = "uncordon node-1", **more: str) -> Event:
    data = {
        "undo": number,
        "type": "restore_fields",
        "distribution": "offbus-steps",
        "phase": "restore",
        "describe": describe,
        "record": {"name": "node-1", **more},
    }
    return event("undo_recorded", data, number)


async def test_two_runs_exclude_each_other_by_name(port: KubernetesPort, namespace: str) -> None:
    await lease(port, namespace, "run-a/1@here").take()
    with pytest.raises(CouldNotRun, match=r"the cluster is in use by run run-a.*run-a/1@here") as refused:
        await lease(port, namespace, "run-b/1@there").take()
    assert "offbus recover run-a" in str(refused.value)


async def test_a_lease_that_was_given_up_is_free(port: KubernetesPort, namespace: str) -> None:
    first = lease(port, namespace, "run-a/1@here")
    await first.take()
    await first.give_up()
    await lease(port, namespace, "run-b/1@there").take()
    await first.give_up()  # it is another's now
    found = await port.objects.get(Ref("Lease", LEASE, namespace))
    assert found["spec"]["holderIdentity"] == "run-b/1@there"


async def test_a_recovery_takes_the_lease_of_the_dead_runner_at_once(
    port: KubernetesPort, namespace: str
) -> None:
    await lease(port, namespace, "run-a/1@here").take()
    with anyio.fail_after(10):  # far less than the Lease's duration
        await lease(port, namespace, "run-a/2@here").take_over("run-a/1@here")
    with pytest.raises(CouldNotRun, match="the cluster is in use by run run-a"):
        await lease(port, namespace, "run-b/2@here").take_over("run-b/1@here")


async def test_an_owner_that_is_alive_keeps_the_lease(port: KubernetesPort, namespace: str) -> None:
    reaper = lease(port, namespace, "run-a/2@reaper", duration_s=3)
    await reaper.take()
    async with anyio.create_task_group() as group:
        group.start_soon(reaper.keep, pytest.fail)
        with (
            anyio.fail_after(WATCHDOG_S),
            pytest.raises(CouldNotRun, match="held by run-a/2@reaper, which is still renewing"),
        ):
            await lease(port, namespace, "run-a/2@here").take_over("run-a/1@here")
        group.cancel_scope.cancel()


async def test_a_lease_that_is_not_renewed_lapses_for_whoever_watched_it(
    port: KubernetesPort, namespace: str
) -> None:
    await lease(port, namespace, "run-a/2@reaper", duration_s=1).take()
    with anyio.fail_after(WATCHDOG_S):
        await lease(port, namespace, "run-a/3@here").take_over("run-a/1@here")
    found = await port.objects.get(Ref("Lease", LEASE, namespace))
    assert found["spec"]["holderIdentity"] == "run-a/3@here"


async def test_a_former_owner_learns_that_it_lost_the_lease(port: KubernetesPort, namespace: str) -> None:
    first = lease(port, namespace, "run-a/1@here", duration_s=1)
    await first.take()
    await lease(port, namespace, "run-a/2@here").take_over("run-a/1@here")
    lost: list[str] = []
    with anyio.fail_after(WATCHDOG_S):
        await first.keep(lost.append)
    assert "taken from run run-a by run-a/2@here" in lost[0]


async def test_a_lease_outlives_a_restart_of_the_api_server(
    server: LoneServer, port: KubernetesPort, namespace: str
) -> None:
    mine = lease(port, namespace, "run-a/1@here")
    await mine.take()
    before = (await port.objects.get(Ref("Lease", LEASE, namespace)))["spec"]["renewTime"]
    server.kill_api()
    server.launch_api()
    renewing = lease(port, namespace, "run-a/1@here", duration_s=3)
    await renewing.take_over("run-a/1@here")
    async with anyio.create_task_group() as group:
        group.start_soon(renewing.keep, pytest.fail)
        with anyio.fail_after(WATCHDOG_S):
            events = port.objects.watch(
                "Lease", namespace=namespace, resource_version=(await listed(port, namespace))
            )
            async for event in events:
                if event.object.get("spec", {}).get("renewTime", "") > before:
                    break
            await events.aclose()
        group.cancel_scope.cancel()


async def listed(port: KubernetesPort, namespace: str) -> str:
    return (await port.objects.list("Lease", namespace=namespace)).resource_version


async def stored(port: KubernetesPort, namespace: str) -> list[Event]:
    return events_in(await port.objects.get(Ref("ConfigMap", records_name("run-a"), namespace)))


async def test_every_record_is_read_back_in_order(port: KubernetesPort, namespace: str) -> None:
    records = RunRecords(port.objects, namespace, "run-a")
    await records.begin([])
    async with anyio.create_task_group() as group:
        for number in (2, 1, 3):
            group.start_soon(records.persist, record(number))
    assert await stored(port, namespace) == [record(n) for n in (1, 2, 3)]


async def test_a_former_owner_cannot_add_a_record(port: KubernetesPort, namespace: str) -> None:
    first, second = (RunRecords(port.objects, namespace, "run-a") for _ in range(2))
    await first.begin([])
    await first.persist(record(1))
    await second.begin([record(1)])
    await second.persist(record(2))
    with pytest.raises(StepError, match="cannot record 'cordon' in the cluster, so nothing is changed"):
        await first.persist(record(3, "cordon"))
    assert [one["data"]["undo"] for one in await stored(port, namespace)] == [1, 2]


async def test_a_record_that_is_too_large_is_refused(port: KubernetesPort, namespace: str) -> None:
    records = RunRecords(port.objects, namespace, "run-a")
    await records.begin([])
    with pytest.raises(StepError, match="cannot record"):
        await records.persist(record(1, more="x" * (2 << 20)))
    await records.persist(record(2))
    assert [one["data"]["undo"] for one in await stored(port, namespace)] == [2]


async def test_records_are_gone_when_the_run_has_ended(port: KubernetesPort, namespace: str) -> None:
    records = RunRecords(port.objects, namespace, "run-a")
    await records.begin([])
    await records.end()
    await records.end()
    with pytest.raises(NotFound):
        await port.objects.get(Ref("ConfigMap", records_name("run-a"), namespace))


async def test_a_record_is_refused_while_the_cluster_is_away(
    server: LoneServer,
    port: KubernetesPort,
    namespace: str,
    monkeypatch: pytest.MonkeyPatch,
    port_for: PortFor,
) -> None:
    from offbus_steps.kubernetes.rest import api

    records = RunRecords(port.objects, namespace, "run-a")
    await records.begin([])
    monkeypatch.setattr(api, "PATIENCE_S", 0.5)
    server.kill_api()
    try:
        with pytest.raises(StepError, match="so nothing is changed"):
            await records.persist(record(1))
    finally:
        await anyio.to_thread.run_sync(server.start_api)
