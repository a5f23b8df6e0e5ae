"""A pod of which nodes and pods alone do not tell where it fits: it is said, before the run and in it."""

import json
from datetime import timedelta
from pathlib import Path

import pytest

from offbus_sandbox.config import SandboxConfig
from offbus_sandbox.layout import Layout
from offbus_steps.cluster.preflight import DrillPreflight, drill_checks
from offbus_steps.deploy.step_types import DEPLOY
from offbus_steps.inject.step_types import INJECT_XID
from tests.kits.steps.bench import bench, pods_of
from tests.kits.steps.intents import intent_of

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

SANDBOX = SandboxConfig(nodes=2, gpus_per_node=1, responder=None)
"""Two nodes with a GPU each, real agents, and no responder."""
SAYS = "cannot tell whether it fits elsewhere: Pod/drill-a/bound-"


@pytest.fixture
def anyio_backend() -> str:
    """Environments run on asyncio (design.md, section 4)."""
    return "asyncio"


async def test_a_pod_with_a_volume_claim_may_go_and_is_told(sandbox: Layout, tmp_path: Path) -> None:
    obj = pods_of("bound", 1)
    volume = {"name": "models", "persistentVolumeClaim": {"claimName": "models"}}
    obj["spec"]["template"]["spec"]["volumes"] = [volume]
    (tmp_path / "target.yaml").write_text(json.dumps(obj))
    async with bench(sandbox, tmp_path) as one:
        target = (await one.run(DEPLOY, manifest="target.yaml", port=8000)).target
        existing = {"kind": "Deployment", "name": "bound", "namespace": "drill-a"}
        intents = [
            intent_of("deploy", "deploy", {"existing": existing, "port": 8000}),
            intent_of("inject", "inject_xid", {"xid": 79}),
        ]
        checks = await drill_checks(DrillPreflight(one.cluster, str(tmp_path)), intents)
        (warned,) = (check for check in checks if check.text.startswith(SAYS))
        assert warned.level == "warning"
        assert "its volume models may be bound to nodes" in warned.text
        assert not [check for check in checks if check.level == "error"]
        await one.run(INJECT_XID, target=target, xid=79, patience=timedelta(0))
        (told,) = (event for event in one.events("observed") if str(event.get("to")).startswith(SAYS))
        assert told["subject"] == "Deployment/drill-a/bound"
        await one.undo_all()
