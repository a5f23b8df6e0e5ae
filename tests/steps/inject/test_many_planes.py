"""CUDA and NVML faults on several nodes in one step, each proven on its own node; and what await_* require of each.

Real processes under the real shim on a real sandbox. Nobody responds there: tests play the responder's part.
"""

import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest

from offbus.errors import StepFailed
from offbus.runner.fingerprint_diff import differences
from offbus.step import StepType
from offbus_sandbox.config import SandboxConfig
from offbus_sandbox.layout import Layout
from offbus_steps.agents.fault_model import NodeFault
from offbus_steps.deploy.step_types import DEPLOY
from offbus_steps.inference.step_types import VERIFY_INFERENCE
from offbus_steps.inject.step_types import ARM_CUDA, INJECT_XID
from offbus_steps.observe.step_types import AWAIT_CORDON, AWAIT_DETECTION, AWAIT_DRAIN, AWAIT_UNCORDON
from offbus_steps.port import Ref
from offbus_steps.prepare.step_types import PREPARE_CUDA
from offbus_steps.safety.guards import ClusterGuards
from tests.kits import REPOSITORY
from tests.kits.steps.bench import Bench, bench
from tests.kits.steps.responder_marks import (
    condition_of,
    event,
    finding,
    lifted,
    quarantined,
    state,
    taking_uncordons,
)
from tests.kits.watching import watch_until

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

SANDBOX = SandboxConfig(nodes=3, gpus_per_node=1, responder=None)
"""Three nodes with a GPU each, so that no two pods of a target share one."""
TARGET = REPOSITORY / "scenarios" / "targets" / "deployment.yaml"
SOON = timedelta(seconds=1)
LIFTED = "k8saas.nvidia.com/uncordon-by"


@pytest.fixture
def anyio_backend() -> str:
    """Environments run on asyncio (design.md, section 4)."""
    return "asyncio"


@asynccontextmanager
async def deployed(sandbox: Layout, folder: Path) -> AsyncIterator[tuple[Bench, Any]]:
    """The shipped target, a pod on each of two nodes; everything is undone afterwards, and nothing is left."""
    shutil.copy(TARGET, folder)
    async with (
        bench(sandbox, folder, ClusterGuards(max_cordoned_nodes=2)) as one,
        taking_uncordons(one.objects),
    ):
        before = await one.cluster.fingerprint()
        out = await one.run(DEPLOY, manifest=TARGET.name, collect=False)
        yield one, out.target
        await one.undo_all()
        assert differences(before, await one.cluster.fingerprint()) == []


@pytest.mark.guarantee("G22")
@pytest.mark.parametrize("stagger", [timedelta(0), timedelta(seconds=0.3)], ids=["at once", "staggered"])
async def test_cuda_and_nvml_of_two_nodes_are_each_proven_on_their_own(
    sandbox: Layout, tmp_path: Path, stagger: timedelta
) -> None:
    async with deployed(sandbox, tmp_path) as (one, target):
        await one.run(PREPARE_CUDA, target=target)
        out = await one.run(ARM_CUDA, target=target, xid=79, node_count=2, stagger=stagger)
        assert len(set(out.nodes)) == 2
        for node in out.nodes:
            await one.run(VERIFY_INFERENCE, target=target, expect="failure", node=node, requests=2)
        wanted = {(fault.id, plane) for fault in out.faults for plane in ("cuda", "nvml")}
        await watch_until(
            tmp_path, lambda: wanted <= {key for key, _ in proofs(one)}
        )  # the journal lies there
        nodes = {fault.id: fault.node for fault in out.faults}
        pods = {fault.id: set(fault.pods.values()) for fault in out.faults}
        for (fault, _), evidence in proofs(one):
            assert evidence["node"] == nodes[fault]
            assert evidence["pod"] in pods[fault]
            assert evidence["host_pid"] is not None
        first, second = (fault.injected_ns for fault in out.faults)
        assert not stagger or second - first >= stagger / timedelta(microseconds=1) * 1000
        assert out.fault.others == out.faults[1:]


def proofs(one: Bench) -> list[tuple[tuple[str, str], dict[str, Any]]]:
    return [((each["fault"], each["plane"]), each["evidence"]) for each in one.events("fault_proven")]


Respond = Callable[[Bench, NodeFault], Awaitable[None]]
Shows = Callable[[Any], bool]


@pytest.fixture
async def lined(sandbox: Layout, tmp_path: Path) -> AsyncIterator[tuple[Bench, Any]]:
    """Lines in the kernel logs of two nodes, written by one step."""
    async with deployed(sandbox, tmp_path) as (one, target):
        yield one, await one.run(INJECT_XID, target=target, xid=94, node_count=2, patience=SOON)


async def patched(one: Bench, fault: NodeFault, patch: dict[str, Any]) -> None:
    await one.objects.patch(Ref("Node", fault.node), patch)


async def cordoned(one: Bench, fault: NodeFault) -> None:
    await patched(one, fault, quarantined(event("94", fault.gpus[0])))


async def uncordoned(one: Bench, fault: NodeFault) -> None:
    await patched(one, fault, lifted())


async def reported(one: Bench, fault: NodeFault) -> None:
    condition = condition_of(finding("94", fault.gpus[0]))
    now = (await one.objects.get(Ref("Node", fault.node)))["status"]["conditions"]
    patch = {"status": {"conditions": [*now, condition]}}
    await one.objects.patch(Ref("Node", fault.node), patch, status=True)


async def drained(one: Bench, fault: NodeFault) -> None:
    await cordoned(one, fault)
    await patched(one, fault, state("drain-succeeded"))
    for pod in [pod for pod in one.cluster.log.world.pods() if pod.node == fault.node and pod.gpus]:
        await one.objects.delete(pod.ref, grace_seconds=0)


CASES: list[tuple[StepType, list[Respond], Shows, str]] = [
    (AWAIT_DETECTION, [reported], lambda node: bool(node.unhealthy), "time_to_detect"),
    (AWAIT_CORDON, [cordoned], lambda node: node.cordoned, "time_to_cordon"),
    (AWAIT_DRAIN, [drained], lambda node: node.state == "drain-succeeded", "time_to_drain"),
    (
        AWAIT_UNCORDON,
        [cordoned, uncordoned],
        lambda node: not node.cordoned and LIFTED in node.labels,
        "time_to_uncordon",
    ),
]


@pytest.mark.guarantee("G22")
@pytest.mark.parametrize("late", [1, 0], ids=["the second is late", "the first is late"])
@pytest.mark.parametrize(
    ("step", "responds", "shows", "metric"), CASES, ids=["detection", "cordon", "drain", "uncordon"]
)
async def test_every_faulted_node_has_to_show_it(
    lined: tuple[Bench, Any], step: StepType, responds: list[Respond], shows: Shows, metric: str, late: int
) -> None:
    one, out = lined
    ended = anyio.Event()
    found: list[Any] = []

    async def play() -> None:
        found.append(await one.run(step, fault=out.fault))
        ended.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(play)
        for respond in responds:
            await respond(one, out.faults[1 - late])
        await one.cluster.log.until(lambda world: shows(world.node(out.nodes[1 - late])) or None)
        await anyio.wait_all_tasks_blocked()
        assert not ended.is_set()
        for respond in responds:
            await respond(one, out.faults[late])
    assert found[0].nodes == out.nodes
    (measured,) = one.events("metric")
    assert measured["name"] == metric
    assert measured["from"] == slowest(one, out, measured["from"][1])


def slowest(one: Bench, out: Any, decisive: int) -> list[int]:
    """Of all nodes that show what this event tells, the one that took longest since its own fault: both events."""
    events = {event["seq"]: event for event in one.all_events()}
    took = {
        (fault.injected_seq, seq): event["mono_ns"] - fault.injected_ns
        for fault in out.faults
        for seq, event in events.items()
        if event["data"].get("to") == events[decisive]["data"]["to"]
        and fault.node in event["data"]["subject"]
    }
    assert {injected for injected, _ in took} == {fault.injected_seq for fault in out.faults}
    return list(max(took, key=lambda both: took[both]))


async def test_a_drain_that_failed_on_one_node_fails_the_step_though_the_other_goes_on(
    lined: tuple[Bench, Any],
) -> None:
    one, out = lined
    await cordoned(one, out.faults[1])
    await patched(one, out.faults[1], state("drain-failed"))
    with pytest.raises(ExceptionGroup) as told:  # of which the engine takes the first
        await one.run(AWAIT_DRAIN, fault=out.fault)
    assert told.group_contains(StepFailed, match=f"failed to drain {out.nodes[1]}")


async def test_one_of_the_faults_can_be_followed_alone(lined: tuple[Bench, Any]) -> None:
    one, out = lined
    await cordoned(one, out.faults[1])
    found = await one.run(AWAIT_CORDON, fault=out.faults[1])
    assert (found.node, found.nodes) == (out.nodes[1], [out.nodes[1]])
