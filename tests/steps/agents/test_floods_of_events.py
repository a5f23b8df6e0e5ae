"""A node may be anybody's by now: what its agent tells of a fault, and how often, is bounded, and holds nothing up."""

import itertools
import json
from pathlib import Path
from typing import Any

import anyio
import pytest

from offbus_steps.agents.live_faults import MOST_EVENTS, MOST_PROOFS, LiveFault
from offbus_steps.port import Reply
from tests.kits.steps.bench import Bench
from tests.kits.steps.faults import FAULT, TARGET
from tests.kits.steps.timed_port import deployment, node, ok, pod, timed_bench
from tests.kits.virtual_time import in_virtual_time

EVENTS = "GET /faults/f/events"
ARMED = {"kind": "armed", "at_ns": 1, "generation": 3}


def page(events: list[Any]) -> Reply:
    return ok(json.dumps({"next": 1, "events": events}))


async def followed(one: Bench, port: Any, reply: Reply, for_s: float) -> list[dict[str, Any]]:
    """What the journal has of the fault after so many seconds in which each request is answered at once."""

    async def answer(_method: str, _path: str, _body: Any) -> Reply:
        await anyio.lowlevel.checkpoint()
        return reply

    port.agents.answer = answer
    one.cluster.faults.follow(FAULT, TARGET)
    await anyio.sleep(for_s)
    return [event for event in one.events("observed") if event["subject"] == "f"]


@pytest.mark.timer("steps/offbus_steps/agents/live_faults.py")
@in_virtual_time
async def test_an_answer_without_news_that_comes_at_once_is_not_asked_for_again_at_once(
    tmp_path: Path,
) -> None:
    async with timed_bench(tmp_path, node("node-1")) as (one, port):
        await followed(one, port, page([]), 10)
        assert 10 <= len(port.agents.times(EVENTS)) <= 25


@pytest.mark.guarantee("G32")
@pytest.mark.parametrize("at_once", [1, 1000, 4000])
@in_virtual_time
async def test_an_agent_that_never_stops_telling_is_told_of_once_and_not_asked_again(
    tmp_path: Path, at_once: int
) -> None:
    async with timed_bench(tmp_path, node("node-1")) as (one, port):
        told = await followed(one, port, page([ARMED] * at_once), 60)
        asked = len(port.agents.times(EVENTS))
        assert [event["to"] for event in told[:-1]] == ["armed"] * MOST_EVENTS
        assert told[-1]["to"] == "more events of its agent are left out"
        await anyio.sleep(60)
        assert len(port.agents.times(EVENTS)) == asked


@in_virtual_time
async def test_only_what_an_agent_knows_of_an_event_is_kept_and_no_long_text(tmp_path: Path) -> None:
    more = {"x": "y" * 60_000, "function": "f" * 3000, "code": [[1] * 50] * 50, "pid": 7}
    async with timed_bench(tmp_path, node("node-1")) as (one, port):
        [first, *_] = await followed(one, port, page([{**ARMED, **more}]), 1)
        assert first["evidence"].keys() == {"generation", "function", "pid"}
        assert len(first["evidence"]["function"]) <= 256


@pytest.mark.guarantee("G32")
@in_virtual_time
async def test_other_tasks_run_while_a_long_answer_is_read(tmp_path: Path) -> None:
    """The followers of other faults, leases, the signal that ends the run."""
    async with timed_bench(tmp_path, node("node-1")) as (one, port):
        sizes: list[int] = []

        async def answer(_method: str, _path: str, _body: Any) -> Reply:
            return page([ARMED] * 1000)

        port.agents.answer = answer
        one.cluster.faults.follow(FAULT, TARGET)
        for _ in range(200):
            sizes.append((tmp_path / "journal.jsonl").stat().st_size)
            await anyio.lowlevel.checkpoint()
    assert sizes[-1] - sizes[0] > 100_000
    assert max(after - before for before, after in itertools.pairwise(sizes)) < 64 * 500


@pytest.mark.timer("steps/offbus_steps/agents/live_faults.py")
@in_virtual_time
async def test_an_agent_that_answers_oddly_is_asked_again_after_a_while(tmp_path: Path) -> None:
    async with timed_bench(tmp_path, node("node-1")) as (one, port):
        told = await followed(one, port, page([ARMED, [[]] * (1 << 20)]), 60)
        assert not told
        assert 5 <= len(port.agents.times(EVENTS)) <= 15


@in_virtual_time
async def test_of_the_calls_that_prove_a_plane_some_are_told(tmp_path: Path) -> None:
    objects = (deployment("web", 1), pod("web-9", "web", "node-1"))
    async with timed_bench(tmp_path, node("node-1"), *objects) as (one, _):
        await one.cluster.observer.watch_target(TARGET)
        [seen] = one.cluster.log.pods_seen(0)
        live = LiveFault(FAULT, TARGET)
        call = {"plane": "cuda", "function": "cuInit", "host_pid": 4, "pod_uid": seen.uid, "at_ns": 5}
        for pid in range(1000):
            assert one.cluster.faults.called(live, {**call, "pid": pid, "gpu": "g" * 60_000})
        assert one.cluster.faults.called(live, {**call, "plane": "nvml", "pid": 1})
        proofs = one.events("fault_proven")
    assert [proof["plane"] for proof in proofs] == ["cuda"] * MOST_PROOFS + ["nvml"]
    assert max(len(json.dumps(proof)) for proof in proofs) < 1000
