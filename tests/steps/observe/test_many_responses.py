"""A responder that answers faults on two nodes at once: every await_* step waits for both, and everything is undone."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from offbus.runner.fingerprint_diff import differences
from offbus.step import StepType
from offbus_sandbox.config import SandboxConfig
from offbus_sandbox.layout import Layout
from offbus_steps.deploy.step_types import DEPLOY
from offbus_steps.inject.step_types import INJECT_XID
from offbus_steps.observe.step_types import (
    AWAIT_CORDON,
    AWAIT_DETECTION,
    AWAIT_DRAIN,
    AWAIT_REMEDIATION,
    AWAIT_UNCORDON,
)
from offbus_steps.safety.guards import ClusterGuards
from tests.kits.steps.bench import Bench, bench, pods_of

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

SANDBOX = SandboxConfig(nodes=4, gpus_per_node=2)
"""Two nodes for the target, and two that take its pods in."""


@pytest.fixture
def anyio_backend() -> str:
    """Environments run on asyncio (design.md, section 4)."""
    return "asyncio"


@pytest.mark.guarantee("G22")
async def test_both_nodes_are_found_cordoned_drained_repaired_and_uncordoned(
    sandbox: Layout, tmp_path: Path
) -> None:
    (tmp_path / "target.yaml").write_text(yaml.safe_dump(pods_of("target", 2, gpus=2)))
    async with bench(sandbox, tmp_path, ClusterGuards(max_cordoned_nodes=2)) as one:
        before = await one.cluster.fingerprint()
        target = (await one.run(DEPLOY, manifest="target.yaml", port=8000)).target
        out = await one.run(INJECT_XID, target=target, xid=79, node_count=2)
        for step in (AWAIT_DETECTION, AWAIT_CORDON, AWAIT_DRAIN, AWAIT_REMEDIATION, AWAIT_UNCORDON):
            assert await responded(one, step, out) == out.nodes
        told = {(each["subject"], each["to"]) for each in one.events("observed")}
        for node in out.nodes:
            assert {to for subject, to in told if node in subject} >= {"cordoned", "uncordoned"}
        await one.undo_all()
        assert differences(before, await one.cluster.fingerprint()) == []


async def responded(one: Bench, step: StepType, out: Any) -> list[str]:
    """The nodes that a step saw."""
    return list((await one.run(step, fault=out.fault)).nodes)
