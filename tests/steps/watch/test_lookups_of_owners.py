"""Whoever may create pods decides how many name controllers that nobody knows, not how often the cluster is asked."""

from pathlib import Path
from typing import Any

import anyio
import pytest

from offbus_sandbox.store.owners import owner_reference
from offbus_steps.port import Object, Ref, Unavailable
from offbus_steps.watch.event_log import World
from offbus_steps.watch.target_pods import target_pods
from tests.kits.steps.bench import Bench
from tests.kits.steps.faults import TARGET
from tests.kits.steps.timed_port import TimedPort, deployment, pod, put, timed_bench
from tests.kits.virtual_time import in_virtual_time

SET = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "controller": True}
LOOKS = "list ReplicaSet"


def forged(number: int) -> Object:
    """A pod with the target's labels and a controller of its maker's invention."""
    made = pod(f"forged-{number}", "web", "node-1")
    made["metadata"]["ownerReferences"] = [{**SET, "name": f"none-{number}", "uid": f"u-{number}"}]
    return made


async def flood(port: TimedPort, *numbers: int, every_s: float = 0.1) -> None:
    """Make such pods one after the other, each after the one before was told."""
    for number in numbers:
        put(port.store, forged(number))
        await anyio.sleep(every_s)


def rolled_out(port: TimedPort, name: str) -> None:
    """Make a pod of a ReplicaSet that is new, as a rollout of the target does."""
    owner = port.store.get(TARGET.ref)
    meta = {"name": f"web-{name}", "namespace": "drill", "ownerReferences": [owner_reference(owner)]}
    body = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": meta, "spec": owner["spec"]}
    body["metadata"]["labels"] = {"app": "web"}
    of = port.store.create(body)
    made = pod(name, "web", "node-1")
    made["metadata"]["ownerReferences"] = [owner_reference(of)]
    put(port.store, made)


def names(world: World) -> list[str]:
    return [one.ref.name for one in target_pods(world, TARGET)]


def told(one: Bench) -> list[str]:
    said: list[dict[str, Any]] = one.events("observed")
    return [each["to"] for each in said if each["subject"] == "owners of pods"]


@pytest.mark.timer("steps/offbus_steps/watch/lookups.py")
@in_virtual_time
async def test_forged_owners_make_no_request_each(tmp_path: Path) -> None:
    async with timed_bench(tmp_path, deployment("web", 1), pod("web-0", "web", "node-1")) as (one, port):
        await one.cluster.observer.watch_target(TARGET)
        began = anyio.current_time()
        await flood(port, *range(300))
        await anyio.sleep(60)
        asked = port.objects.times(LOOKS, since=began)
        assert len(asked) <= 50 + 30 + 1, "50 at once, then one a second, for 30 s"
        assert len([at for at in asked if at > began + 32]) == 0, "one list answers for all that wait"
        assert names(one.cluster.log.world) == ["web-0"]
        assert len(told(one)) == 1
        assert "looked up once a second" in told(one)[0]


@pytest.mark.timer("steps/offbus_steps/watch/lookups.py")
@in_virtual_time
async def test_a_pod_of_the_target_is_found_in_the_flood_a_second_later(tmp_path: Path) -> None:
    async with timed_bench(tmp_path, deployment("web", 1), pod("web-0", "web", "node-1")) as (one, port):
        await one.cluster.observer.watch_target(TARGET)
        await flood(port, *range(100), every_s=0.01)
        rolled_out(port, "new-0")
        await flood(port, 100)
        assert names(one.cluster.log.world) == ["web-0"]
        with anyio.fail_after(1.1):
            await one.cluster.log.until(lambda world: True if "new-0" in names(world) else None)
        assert names(one.cluster.log.world) == ["new-0", "web-0"]


@in_virtual_time
async def test_a_look_that_fails_is_made_again(tmp_path: Path) -> None:
    async with timed_bench(tmp_path, deployment("web", 1), pod("web-0", "web", "node-1")) as (one, port):
        await one.cluster.observer.watch_target(TARGET)
        await flood(port, *range(100), every_s=0.01)
        rolled_out(port, "new-0")
        port.objects.refusals[LOOKS] = Unavailable("503")
        await anyio.sleep(3.5)
        assert len(port.objects.times(LOOKS, since=anyio.current_time() - 3)) == 3
        del port.objects.refusals[LOOKS]
        await anyio.sleep(1)
        assert names(one.cluster.log.world) == ["new-0", "web-0"]
        assert one.aborted == []


@in_virtual_time
async def test_there_is_an_end_to_it_which_is_told_once(tmp_path: Path) -> None:
    async with timed_bench(tmp_path, deployment("web", 1), pod("web-0", "web", "node-1")) as (one, port):
        await one.cluster.observer.watch_target(TARGET)
        await anyio.sleep(1)
        one.cluster.observer.lookups.remaining = 3
        began = anyio.current_time()
        await flood(port, *range(20), every_s=10)
        assert len(port.objects.times(LOOKS, since=began)) == 3
        rolled_out(port, "new-0")
        await anyio.sleep(600)
        assert len(port.objects.times(LOOKS, since=began)) == 3
        assert names(one.cluster.log.world) == ["web-0"]
        [said] = told(one)
        assert "are none of the target's from now on" in said
        assert "not looked up" in str(await one.cluster.observer.missed_changes())


@in_virtual_time
async def test_a_stranger_is_forgotten_with_its_pod(tmp_path: Path) -> None:
    """Who makes and deletes pods for as long as a run lasts fills no memory with them."""
    async with timed_bench(tmp_path, deployment("web", 1), pod("web-0", "web", "node-1")) as (one, port):
        await one.cluster.observer.watch_target(TARGET)
        for number in range(20):
            made = pod(f"s-{number}", "web", "node-1")
            made["metadata"]["ownerReferences"] = []
            put(port.store, made)
            await anyio.sleep(1)
            port.store.delete(Ref("Pod", f"s-{number}", "drill"), grace_seconds=0)
            await anyio.sleep(1)
        assert len([each for each in one.events("observed") if "none of its pods" in each["to"]]) == 20
        assert not one.cluster.observer.lookups.strangers
