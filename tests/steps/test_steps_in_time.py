"""Steps that wait, on virtual time: load, hold, await_recovery, inject."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest

from offbus.errors import StepError, StepFailed
from offbus_steps.cluster.wait import until_gone
from offbus_steps.inference.load import GRACE_S
from offbus_steps.inference.step_types import LOAD, VERIFY_INFERENCE, LoadOutputs
from offbus_steps.inject.step_types import ARM_CUDA, INJECT_XID
from offbus_steps.observe.step_types import AWAIT_RECOVERY, HOLD
from offbus_steps.port import Ref
from offbus_steps.workloads.gpus import DEVICES_ANNOTATION, GPU_RESOURCE
from offbus_steps.workloads.shim_mounts import LIBRARY
from tests.kits.steps.faults import FAULT, TARGET
from tests.kits.steps.timed_port import deployment, node, ok, pod, timed_bench
from tests.kits.virtual_time import in_virtual_time, meanwhile

ASK = "POST /v1/chat/completions"
GOOD = ok('{"choices": [{"finish_reason": "stop"}]}')
WEB = (node("node-1"), node("node-2"), deployment("web", 1), pod("web-1", "web", "node-2"))


def answering(after_s: Callable[[int], float | None]) -> Any:
    """A target that answers its n-th request after so many seconds; None: never."""
    count = 0

    async def answer(_method: str, _path: str, _body: Any) -> Any:
        nonlocal count
        count += 1
        seconds = after_s(count)
        await (anyio.sleep_forever() if seconds is None else anyio.sleep(seconds))
        return GOOD

    return answer


@dataclass(frozen=True)
class Loaded:
    """A load that has ended."""

    outputs: LoadOutputs
    asked: list[float]
    ended: float
    told: int
    """How often the success rate of late was measured."""


async def loaded(folder: Path, answer: Any, *, stop_at: float) -> Loaded:
    """Ten requests a second until the load is asked to stop."""
    async with timed_bench(folder, *WEB) as (one, port):
        port.traffic.answer = answer
        limit = timedelta(minutes=10)
        params = {"target": TARGET, "model": "m", "rate": 10, "request_timeout": limit}
        async with meanwhile((stop_at, one.asked_to_stop.set)):
            outputs = await one.run(LOAD, within_s=3600, **params)
        told = [m for m in one.events("metric") if m["name"] == "requests.success_rate_window"]
        return Loaded(outputs, port.traffic.times(ASK), anyio.current_time(), len(told))


@pytest.mark.timer("steps/offbus_steps/inference/load.py")
@in_virtual_time
async def test_requests_that_hang_delay_no_other(tmp_path: Path) -> None:
    done = await loaded(tmp_path, answering(lambda _: None), stop_at=60.05)
    assert done.asked == [pytest.approx(number / 10) for number in range(601)]
    assert done.ended == pytest.approx(60.05 + GRACE_S), "the last of them are given up then"
    assert done.outputs.sent == 0, "what did not end is not counted"


@pytest.mark.timer("steps/offbus_steps/inference/load.py")
@in_virtual_time
async def test_what_is_on_its_way_at_the_stop_may_end(tmp_path: Path) -> None:
    """Answers take 3 s, but for the last, which does not come."""
    done = await loaded(tmp_path, answering(lambda n: None if n == 101 else 3.0), stop_at=10.05)
    assert (done.outputs.sent, done.outputs.failed) == (100, 0)
    assert done.ended == pytest.approx(10.05 + GRACE_S)


@in_virtual_time
async def test_a_load_that_has_all_answers_does_not_wait(tmp_path: Path) -> None:
    done = await loaded(tmp_path, answering(lambda _: 3.0), stop_at=10.05)
    assert (done.outputs.sent, done.ended) == (101, pytest.approx(13.0))


@in_virtual_time
async def test_the_success_rate_of_late_is_measured_once_a_second(tmp_path: Path) -> None:
    done = await loaded(tmp_path, answering(lambda _: 0.0), stop_at=9.95)
    assert (done.outputs.sent, done.told) == (100, 10)


BOTH = FAULT.model_copy(update={"others": [FAULT.model_copy(update={"id": "g", "node": "node-2"})]})


async def held(folder: Path, change_at: float, cordoned: str = "node-1", **where: Any) -> float:
    """Hold for 30 s while a node is cordoned at a time; when it ended."""
    where = where or {"node": "node-1"}
    params = {"expr": "node.schedulable", "for": timedelta(seconds=30), "target": TARGET, **where}
    async with timed_bench(folder, *WEB) as (one, port):

        def cordon() -> None:
            port.store.patch(Ref("Node", cordoned), {"spec": {"unschedulable": True}})

        async with meanwhile((change_at, cordon)):
            await one.run(HOLD, **params)
    return anyio.current_time()


@pytest.mark.timer("steps/offbus_steps/observe/hold.py")
@in_virtual_time
async def test_what_holds_is_looked_at_for_the_whole_time_and_no_longer(tmp_path: Path) -> None:
    assert await held(tmp_path, change_at=30.5) == 30


@in_virtual_time
async def test_what_does_not_hold_fails_at_once(tmp_path: Path) -> None:
    began = anyio.current_time()
    with pytest.raises(StepFailed, match="did not hold"):
        await held(tmp_path, change_at=29.5)
    assert anyio.current_time() - began == 29.5


@pytest.mark.guarantee("G23")
@in_virtual_time
async def test_what_could_not_be_seen_is_not_said_to_have_held(tmp_path: Path) -> None:
    """The watch is silent, as a load balancer's dropped connection is, and nobody has noticed it yet."""
    params = {"expr": "node.schedulable", "for": timedelta(seconds=30), "target": TARGET, "node": "node-1"}
    async with timed_bench(tmp_path, *WEB) as (one, port):

        def go_dark() -> None:
            port.objects.drop_watches(noticed_after_s=75)
            for cordoned in (True, False):
                port.store.patch(Ref("Node", "node-1"), {"spec": {"unschedulable": cordoned}})

        async with meanwhile((10, go_dark)):
            with pytest.raises(StepError, match="could not be seen: the watch of Node objects"):
                await one.run(HOLD, **params)


@in_virtual_time
async def test_what_went_while_the_watch_was_silent_is_gone(tmp_path: Path) -> None:
    ref = Ref("Pod", "web-1", "drill")
    async with timed_bench(tmp_path, *WEB) as (_, port):
        uid = port.store.get(ref)["metadata"]["uid"]

        def go_dark() -> None:
            port.objects.drop_watches(noticed_after_s=75)
            port.store.remove(ref)

        async with meanwhile((10, go_dark)):
            await until_gone(port.objects, ref, uid)
        assert anyio.current_time() == 85


@in_virtual_time
async def test_what_holds_must_hold_on_every_faulted_node(tmp_path: Path) -> None:
    with pytest.raises(StepFailed, match="did not hold on node-2"):
        await held(tmp_path, change_at=1.0, cordoned="node-2", fault=BOTH)


@in_virtual_time
async def test_where_a_node_is_named_the_others_may_be_as_they_like(tmp_path: Path) -> None:
    assert await held(tmp_path, change_at=1.0, cordoned="node-2", fault=BOTH, node="node-1") == 30


@in_virtual_time
async def test_what_proves_one_node_dead_proves_nothing_of_another(tmp_path: Path) -> None:
    """Pods without HTTP: the calls that count are those of the fault on the node that is asked about."""
    async with timed_bench(tmp_path, *WEB) as (one, _port):
        ask = {"target": TARGET, "model": "m", "expect": "failure"}
        with pytest.raises(StepError, match=r"no pod of .* held the GPUs of fault g"):
            await one.run(VERIFY_INFERENCE, fault=BOTH, node="node-2", **ask)
        with pytest.raises(StepError, match="no fault was injected on node-3"):
            await one.run(VERIFY_INFERENCE, fault=BOTH, node="node-3", **ask)


@pytest.mark.timer("steps/offbus_steps/observe/await_recovery.py")
@in_virtual_time
async def test_a_target_that_fails_is_asked_again_after_each_pause_until_enough_answers_are_good(
    tmp_path: Path,
) -> None:
    async with timed_bench(tmp_path, *WEB) as (one, port):
        port.traffic.answer = good_from(2.0)
        await one.run(AWAIT_RECOVERY, target=TARGET, fault=FAULT, model="m", pause=timedelta(seconds=0.5))
        assert port.traffic.times(ASK) == [pytest.approx(number / 2) for number in range(9)]


@pytest.mark.timer("steps/offbus_steps/observe/await_recovery.py")
@in_virtual_time
async def test_a_target_that_does_not_tell_its_models_is_asked_again_after_each_pause(tmp_path: Path) -> None:
    async with timed_bench(tmp_path, *WEB) as (one, port):
        port.traffic.answer = good_from(2.0)
        await one.run(AWAIT_RECOVERY, target=TARGET, fault=FAULT, pause=timedelta(seconds=0.5))
        assert port.traffic.times("GET /v1/models") == [0.0, 0.5, 1.0, 1.5, 2.0]
        assert len(port.traffic.times(ASK)) == 5


@in_virtual_time
async def test_good_answers_of_another_target_are_no_recovery_of_this_one(tmp_path: Path) -> None:
    async with timed_bench(tmp_path, *WEB) as (one, port):
        port.traffic.answer = good_from(0.0)
        other = TARGET.model_copy(update={"namespace": "tenant"})
        await one.run(VERIFY_INFERENCE, target=other, requests=6)
        assert len(port.traffic.times(ASK)) == 6
        await one.run(AWAIT_RECOVERY, target=TARGET, fault=FAULT, pause=timedelta(seconds=0.5))
        assert len(port.traffic.times(ASK)) == 6 + 5
        assert len(port.traffic.times("GET /v1/models")) == 2, "each is asked for its own model"


@in_virtual_time
async def test_a_model_whose_name_is_endless_is_not_asked_for(tmp_path: Path) -> None:
    """Every request would carry it."""

    async def answer(_method: str, _path: str, _body: Any) -> Any:
        return ok(json.dumps({"data": [{"id": "m" * 257}]}))

    async with timed_bench(tmp_path, *WEB) as (one, port):
        port.traffic.answer = answer
        with pytest.raises(StepError, match="names a model with 257 characters"):
            await one.run(VERIFY_INFERENCE, target=TARGET, requests=1)


def good_from(seconds: float) -> Any:
    async def answer(method: str, _path: str, _body: Any) -> Any:
        if anyio.current_time() < seconds:
            return ok("no worker", 503)
        return GOOD if method == "POST" else ok('{"data": [{"id": "m"}]}')

    return answer


def gpu_pod(number: int) -> Any:
    one = pod(f"web-{number}", "web", f"node-{number}")
    one["metadata"]["annotations"] = {
        DEVICES_ANNOTATION: f'{{"devices": {{"{GPU_RESOURCE}": ["GPU-{number}"]}}}}'
    }
    one["spec"]["containers"][0]["resources"] = {"limits": {GPU_RESOURCE: "1"}}
    return one


async def agent(_method: str, path: str, _body: Any) -> Any:
    """An agent of three GPUs that injects whatever it is asked to; nothing happens afterwards."""
    if path == "/health":
        gpus = [{"index": number, "uuid": f"GPU-{number}"} for number in (1, 2, 3)]
        planes = {"kernel": {"ok": True}, "cuda": {"ok": True}}
        health = {"boot_id": "b", "now_ns": 0, "planes": planes, "gpus": gpus}
        return ok(json.dumps(health))
    if path.partition("?")[0].endswith("/events"):
        await anyio.sleep(20)
        return ok('{"next": 0, "events": []}')
    fault = {"id": "f", "state": "armed", "xid": 79, "gpus": []}
    return ok(json.dumps({**fault, "kernel": [{"seq": 1, "line": "Xid", "at_ns": 0}]}), 201)


@pytest.mark.timer("steps/offbus_steps/inject/inject.py")
@pytest.mark.parametrize(("stagger_s", "asked"), [(0, [0, 0, 0]), (7, [0, 7, 14])])
@in_virtual_time
async def test_faults_of_several_nodes_come_at_once_or_one_after_another(
    tmp_path: Path, stagger_s: float, asked: list[float]
) -> None:
    nodes = [node(f"node-{number}") for number in (1, 2, 3)]
    pods = [gpu_pod(number) for number in (1, 2, 3)]
    async with timed_bench(tmp_path, *nodes, deployment("web", 3), *pods) as (one, port):
        port.agents.answer = agent
        stagger = timedelta(seconds=stagger_s)
        out = await one.run(INJECT_XID, target=TARGET, xid=94, node_count=3, stagger=stagger)
        assert out.nodes == ["node-1", "node-2", "node-3"]
        assert port.agents.times("POST /faults") == asked


@pytest.mark.timer("steps/offbus_steps/inject/inject.py")
@in_virtual_time
async def test_a_fault_with_a_duration_is_disarmed_after_it_and_renewed_no_more(tmp_path: Path) -> None:
    one_pod = gpu_pod(1)
    one_pod["spec"]["containers"][0]["env"] = [{"name": "LD_PRELOAD", "value": LIBRARY}]
    async with timed_bench(tmp_path, node("node-1"), deployment("web", 1), one_pod) as (one, port):
        port.agents.answer = agent
        # Not a multiple of the 5 s between two renewals: which comes first of two in one moment is nobody's promise.
        lasts, ttl = timedelta(seconds=38), timedelta(seconds=15)
        out = await one.run(ARM_CUDA, target=TARGET, xid=48, duration=lasts, ttl=ttl)
        await anyio.sleep(60)
        path = f"/faults/{out.fault.id}"
        assert port.agents.times(f"POST {path}/renew") == [5, 10, 15, 20, 25, 30, 35]
        assert port.agents.times(f"POST {path}/disarm") == [38]
