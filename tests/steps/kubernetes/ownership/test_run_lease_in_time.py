"""The run's Lease in a cluster, on virtual time: renewed, lost, taken over, and watched until it has expired."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest

from offbus.errors import CouldNotRun, TakenOver
from offbus_steps.kubernetes.ownership.lease_watch import DOUBLINGS, PAUSE_S, ExpiredLease, LeaseWatch
from offbus_steps.kubernetes.ownership.run_lease import AGAIN_S, DURATION_S, FRESH, LEASE, RunLease
from offbus_steps.kubernetes.ownership.run_records import RECORDS_LABEL
from offbus_steps.port import Ref, Unavailable
from tests.kits.steps.timed_port import TimedPort
from tests.kits.virtual_time import VirtualClock, in_virtual_time, meanwhile

REF = Ref("Lease", LEASE, "offbus-system")
RENEW = "patch Lease"


@pytest.fixture
def port(tmp_path: Path) -> Iterator[TimedPort]:
    """A cluster without anything."""
    made = TimedPort(tmp_path)
    yield made
    made.store.close()


def lease(port: TimedPort, holder: str, clock: VirtualClock | None = None) -> RunLease:
    return RunLease(port.objects, REF.namespace, holder, clock=(clock or VirtualClock()).mono_ns)


@asynccontextmanager
async def kept(port: TimedPort) -> AsyncIterator[list[tuple[float, str]]]:
    """A Lease of run-a that is taken now and renewed from here on; when it was lost, and why."""
    mine, lost = lease(port, "run-a/1@here"), []
    await mine.take()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(mine.keep, lambda why: lost.append((anyio.current_time(), why)))
        yield lost
        tasks.cancel_scope.cancel()


def stolen(port: TimedPort) -> None:
    port.store.patch(REF, {"spec": {"holderIdentity": "run-a/2@there"}})


@pytest.mark.timer("steps/offbus_steps/kubernetes/ownership/run_lease.py")
@in_virtual_time
async def test_it_is_renewed_every_third_of_its_duration(port: TimedPort) -> None:
    async with kept(port) as lost:
        await anyio.sleep(95)
        assert port.objects.times(RENEW) == [float(at) for at in range(10, 95, 10)]
        assert lost == []


@pytest.mark.timer("steps/offbus_steps/kubernetes/ownership/run_lease.py")
@in_virtual_time
async def test_while_the_server_is_away_it_is_tried_every_second_and_lost_after_its_duration(
    port: TimedPort,
) -> None:
    async with kept(port) as lost:
        await anyio.sleep(11)  # renewed at 10
        port.objects.leave()
        await anyio.sleep(60)
        tries = port.objects.times(RENEW, since=11)
        assert tries == [20 + number * AGAIN_S for number in range(len(tries))]
        assert tries[-1] > 60, "it goes on: the server may come back, and nobody else may have it"
        assert [at for at, _ in lost] == [41.0], "the first try after 10 + 30 s, once"
        port.objects.come_back()
        await anyio.sleep(60)
        assert len(lost) == 1
        assert port.objects.times(RENEW, since=75) == [81.0, 91.0, 101.0, 111.0, 121.0]


@in_virtual_time
async def test_a_server_that_is_away_for_less_than_its_duration_costs_nothing(port: TimedPort) -> None:
    async with kept(port) as lost:
        await anyio.sleep(11)
        port.objects.leave()
        await anyio.sleep(28)
        port.objects.come_back()
        await anyio.sleep(60)
        assert lost == []


@in_virtual_time
async def test_one_that_was_taken_is_noticed_at_the_next_renewal(port: TimedPort) -> None:
    async with kept(port) as lost:
        await anyio.sleep(11)
        stolen(port)
        await anyio.sleep(600)
        assert lost == [
            (20.0, "the Lease Lease/offbus-system/offbus was taken from run run-a by run-a/2@there")
        ]


@pytest.mark.guarantee("G19")
@in_virtual_time
async def test_an_owner_that_was_suspended_asks_before_its_next_effect(port: TimedPort) -> None:
    """Within two thirds of the duration nobody else can have it; after that only the server knows."""
    clock = VirtualClock()
    mine = lease(port, "run-a/1@here", clock)
    await mine.take()
    clock.passed_s = DURATION_S * FRESH
    await mine.confirm()
    assert port.objects.times(RENEW) == []
    clock.passed_s += 1
    await mine.confirm()
    assert len(port.objects.times(RENEW)) == 1, "it is ours, and renewed"
    stolen(port)
    clock.passed_s += DURATION_S
    with pytest.raises(TakenOver, match="by run-a/2@there"):
        await mine.confirm()
    clock.passed_s = 0
    with pytest.raises(TakenOver):
        await mine.confirm()


@in_virtual_time
async def test_an_owner_that_cannot_ask_may_do_nothing(port: TimedPort) -> None:
    clock = VirtualClock()
    mine = lease(port, "run-a/1@here", clock)
    await mine.take()
    port.objects.leave()
    clock.passed_s = DURATION_S * FRESH + 1
    with pytest.raises(Unavailable):
        await mine.confirm()


@pytest.mark.timer("steps/offbus_steps/kubernetes/ownership/run_lease.py")
@in_virtual_time
async def test_one_that_nobody_renews_is_taken_over_after_its_whole_duration(port: TimedPort) -> None:
    await lease(port, "run-a/2@reaper").take()
    await anyio.sleep(100)  # how long it was unrenewed before does not count: nobody watched it
    await lease(port, "run-a/3@here").take_over("run-a/1@here")
    assert anyio.current_time() == 100 + DURATION_S
    assert port.store.get(REF)["spec"]["holderIdentity"] == "run-a/3@here"


@in_virtual_time
async def test_one_that_is_renewed_is_not_taken_over(port: TimedPort) -> None:
    async with kept(port):
        await anyio.sleep(11)
        with pytest.raises(CouldNotRun, match="which is still renewing"):
            await lease(port, "run-a/3@here").take_over("somebody")
        assert anyio.current_time() == 20


@asynccontextmanager
async def watched(port: TimedPort) -> AsyncIterator[LeaseWatch]:
    watch = LeaseWatch(port, REF.namespace)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watch.follow)
        yield watch
        tasks.cancel_scope.cancel()


async def expired(port: TimedPort, *script: tuple[float, Any]) -> tuple[ExpiredLease, float]:
    """What has expired, and when."""
    async with watched(port) as watch, meanwhile(*script):
        return await watch.expired(), anyio.current_time()


@pytest.mark.guarantee("G19")
@pytest.mark.timer("steps/offbus_steps/kubernetes/ownership/lease_watch.py")
@in_virtual_time
async def test_a_run_expires_when_its_lease_was_watched_unrenewed_for_its_duration(port: TimedPort) -> None:
    await lease(port, "run-a/1@here").take()
    await anyio.sleep(100)
    found, at = await expired(port)
    assert (found.run, found.epoch, found.watched_s, at) == ("run-a", 1, DURATION_S, 130)


@in_virtual_time
async def test_each_renewal_begins_anew(port: TimedPort) -> None:
    mine = lease(port, "run-a/1@here")
    await mine.take()

    def renewed() -> None:
        port.store.patch(
            REF, {"spec": {"renewTime": f"2026-01-01T00:00:{anyio.current_time():02.0f}.000000Z"}}
        )

    _, at = await expired(port, (10, renewed), (29, renewed), (58, renewed))
    assert at == 58 + DURATION_S


@pytest.mark.timer("steps/offbus_steps/kubernetes/ownership/lease_watch.py")
@pytest.mark.parametrize(("epoch", "durations"), [(1, 1), (2, 2), (3, 4), (6, 32), (9, 2**DOUBLINGS)])
@in_virtual_time
async def test_each_owner_doubles_the_wait(port: TimedPort, epoch: int, durations: int) -> None:
    await lease(port, f"run-a/{epoch}@here").take()
    assert (await expired(port))[1] == durations * DURATION_S


@in_virtual_time
async def test_a_watch_that_broke_begins_anew(port: TimedPort) -> None:
    """While the server is away nobody can renew."""
    await lease(port, "run-a/1@here").take()
    _, at = await expired(port, (20, port.objects.leave), (22, port.objects.come_back))
    assert at == 20 + DURATION_S


@pytest.mark.guarantee("G19")
@pytest.mark.timer("steps/offbus_steps/kubernetes/ownership/lease_watch.py")
@in_virtual_time
async def test_nothing_expires_while_the_server_is_away(port: TimedPort) -> None:
    await lease(port, "run-a/1@here").take()
    found, at = await expired(port, (20, port.objects.leave), (3600, port.objects.come_back))
    assert found.run == "run-a"
    assert 3600 < at <= 3600 + PAUSE_S + DURATION_S


@in_virtual_time
async def test_a_run_that_renews_expires_for_no_reaper_whose_watch_is_silent(port: TimedPort) -> None:
    """Neither before the silence is noticed (the Lease is read once more) nor afterwards (the wait starts over)."""
    async with kept(port), watched(port) as watch:
        with anyio.move_on_after(20):
            await watch.expired()
        port.objects.drop_watches(noticed_after_s=75)
        with anyio.move_on_after(300) as waited:
            await watch.expired()
        assert waited.cancelled_caught


@in_virtual_time
async def test_a_run_that_ended_in_silence_is_finished_once_that_is_noticed(port: TimedPort) -> None:
    """A Lease that came after the watch was dropped: there is nothing to wait for until the silence is noticed."""
    taken = lease(port, "run-a/1@here").take
    async with watched(port) as watch:
        await anyio.sleep(1)
        port.objects.drop_watches(noticed_after_s=75)
        await taken()
        assert (await watch.expired()).run == "run-a"
        assert anyio.current_time() == 1 + 75 + PAUSE_S + DURATION_S


@in_virtual_time
async def test_records_without_a_lease_lapse_in_the_same_way(port: TimedPort) -> None:
    meta = {"name": "offbus-run-run-b", "namespace": REF.namespace, "labels": {RECORDS_LABEL: "run-b"}}
    port.store.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta})
    found, at = await expired(port)
    assert (found.run, found.lease, at) == ("run-b", None, DURATION_S)


def records(port: TimedPort, *runs: str) -> None:
    for run in runs:
        meta = {"name": f"offbus-run-{run}", "namespace": REF.namespace, "labels": {RECORDS_LABEL: run}}
        port.store.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta})


@in_virtual_time
async def test_records_that_cannot_be_finished_do_not_stop_the_others(port: TimedPort) -> None:
    """Each is waited for on its own, and longer after each try."""
    records(port, "00000000", "ffffffff")
    async with watched(port) as watch:
        found = [((await watch.expired()).run, anyio.current_time()) for _ in range(6)]
    assert found == [
        *(("00000000", 30.0), ("ffffffff", 30.0)),
        *(("00000000", 60.0), ("ffffffff", 60.0)),
        *(("00000000", 120.0), ("ffffffff", 120.0)),
    ]


@in_virtual_time
async def test_records_that_come_without_a_lease_are_seen(port: TimedPort) -> None:
    found, at = await expired(port, (100, partial(records, port, "run-b")))
    assert (found.run, at) == ("run-b", 130)


@in_virtual_time
async def test_records_that_come_and_go_do_not_keep_a_lease_from_expiring(port: TimedPort) -> None:
    await lease(port, "run-a/1@here").take()
    found, at = await expired(port, *((5 * n, partial(records, port, f"r{n}")) for n in range(1, 6)))
    assert (found.run, at) == ("run-a", DURATION_S)


@in_virtual_time
async def test_records_wait_for_the_lease_of_another_run(port: TimedPort) -> None:
    """A cluster has one Lease; they are watched from its end on."""
    records(port, "run-b")
    await lease(port, "run-a/1@here").take()
    async with watched(port) as watch, meanwhile((20, partial(port.store.remove, REF))):
        assert ((await watch.expired()).run, anyio.current_time()) == ("run-b", 20 + DURATION_S)


@in_virtual_time
async def test_a_lease_that_was_given_up_in_time_never_lapses(port: TimedPort) -> None:
    await lease(port, "run-a/1@here").take()
    async with watched(port) as watch, meanwhile((20, partial(port.store.remove, REF))):
        with anyio.move_on_after(3600) as waited:
            await watch.expired()
        assert waited.cancelled_caught
