"""Whether nodes can be rebooted is the environment's word, and no node's: its kubelet writes its whole status."""

from pathlib import Path
from typing import Any

import pytest

from offbus.errors import GuardRefused
from offbus_agent.catalogue.plane import Plane
from offbus_steps.inject.blast_radius import require_allowed
from offbus_steps.inject.expected import Expected
from offbus_steps.port import Object
from tests.kits.steps.faults import TARGET
from tests.kits.steps.timed_port import deployment, node, timed_bench
from tests.kits.virtual_time import in_virtual_time

RESTARTS = [Expected("node-1", ("RESTART_BM",))]


def part(name: str, *args: str) -> Object:
    """A Deployment of one of NVSentinel's programs, which acts for real."""
    made = deployment(name, 1)
    made["metadata"]["namespace"] = "nvsentinel"
    made["spec"]["template"]["spec"]["containers"] = [{"name": name, "image": "none", "args": list(args)}]
    return made


def posing() -> Object:
    """A node that says of itself that it is a folder."""
    info: dict[str, Any] = {"nodeInfo": {"osImage": "offbus local node"}}
    made = node("node-1")
    return {**made, "status": {**made["status"], **info}}


@pytest.mark.guarantee("G32")
@in_virtual_time
async def test_a_node_that_says_that_it_is_local_is_guarded_as_any_other(tmp_path: Path) -> None:
    responder = [part(one) for one in ("fault-remediation", "fault-quarantine", "janitor")]
    async with timed_bench(tmp_path, posing(), *responder, deployment("web", 0)) as (one, _):
        with pytest.raises(GuardRefused, match="guard real_remediation: RESTART_BM for node-1"):
            await require_allowed(one.cluster, TARGET, RESTARTS, [Plane.KERNEL])
