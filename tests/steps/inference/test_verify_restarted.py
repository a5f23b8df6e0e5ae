"""`verify_inference` of pods whose process has died of the fault and is back before it is asked: real processes.

A contained error (XID 94) ends only the process that touched the memory. Where load runs beside the drill, its request
is often the one, and kubelet has restarted the container before the step asks.
"""

import os
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from offbus.errors import StepFailed
from offbus_sandbox.config import SandboxConfig
from offbus_sandbox.layout import Layout
from offbus_sandbox.processes.ending import marked
from offbus_steps.deploy.step_types import DEPLOY
from offbus_steps.inference.step_types import VERIFY_INFERENCE
from offbus_steps.inject.step_types import ARM_CUDA, INJECT_XID
from offbus_steps.port import Ref
from offbus_steps.prepare.step_types import PREPARE_CUDA
from offbus_steps.safety.guards import ClusterGuards
from offbus_steps.watch.event_log import World
from tests.kits import REPOSITORY
from tests.kits.steps.bench import Bench, bench

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

SANDBOX = SandboxConfig(nodes=3, gpus_per_node=1, responder=None)
TARGET = REPOSITORY / "scenarios" / "targets" / "deployment.yaml"


@pytest.fixture
def anyio_backend() -> str:
    """Environments run on asyncio (design.md, section 4)."""
    return "asyncio"


@asynccontextmanager
async def prepared(sandbox: Layout, folder: Path) -> AsyncIterator[tuple[Bench, Any]]:
    """The shipped target with the shim loaded; everything is undone afterwards."""
    shutil.copy(TARGET, folder)
    async with bench(sandbox, folder, ClusterGuards()) as one:
        try:
            target = (await one.run(DEPLOY, manifest=TARGET.name, collect=False)).target
            await one.run(PREPARE_CUDA, target=target)
            yield one, target
        finally:
            await one.undo_all()


async def restarted(one: Bench, pod: Ref, before: int) -> None:
    """Wait until it has been restarted and is ready."""

    def answer(world: World) -> bool | None:
        found = next((each for each in world.pods() if each.ref == pod), None)
        return True if found is not None and found.ready and found.restarts > before else None

    with anyio.fail_after(60):
        await one.cluster.log.until(answer)


def kill(sandbox: Layout, pod: str) -> None:
    """End the processes of a pod, as the kernel does when memory runs out."""
    own = [p for p in marked(sandbox.id) if p.environment().get("HOSTNAME") == pod]
    assert own
    for process in own:
        os.kill(process.id.pid, signal.SIGKILL)


async def test_a_process_that_died_of_the_fault_and_is_back_has_failed(
    sandbox: Layout, tmp_path: Path
) -> None:
    async with prepared(sandbox, tmp_path) as (one, target):
        out = await one.run(ARM_CUDA, target=target, xid=94)
        ask = {"target": target, "node": out.node, "requests": 1}
        (holder,) = set(out.fault.pods.values())
        killed = await one.run(VERIFY_INFERENCE, **ask)  # as a client of the workload would
        assert killed.failed == 1
        await restarted(one, Ref("Pod", holder, target.namespace), before=0)
        found = await one.run(VERIFY_INFERENCE, **ask, expect="failure", fault=out.fault)
        assert (found.ended, found.requests, found.success_rate) == ([holder], 1, 1.0)


async def test_a_process_that_ended_without_a_faulted_call_and_is_back_has_not(
    sandbox: Layout, tmp_path: Path
) -> None:
    """The kernel's line alone faults nobody; that somebody restarted the container proves nothing."""
    async with prepared(sandbox, tmp_path) as (one, target):
        out = await one.run(INJECT_XID, target=target, xid=94)
        (holder,) = set(out.fault.pods.values())
        pod = Ref("Pod", holder, target.namespace)
        kill(sandbox, holder)
        await restarted(one, pod, before=0)
        with pytest.raises(StepFailed, match="answered 1 of 1 requests well"):
            await one.run(
                VERIFY_INFERENCE, target=target, node=out.node, requests=1, expect="failure", fault=out.fault
            )
