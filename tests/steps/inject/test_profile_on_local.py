"""A run says which release the stand-in that answers it plays, and at which scale."""

from pathlib import Path

import pytest
import yaml

from offbus_sandbox.config import SandboxConfig
from offbus_sandbox.layout import Layout
from offbus_sandbox.local.launch import start, stop
from offbus_sandbox.responder.config import ResponderConfig
from offbus_steps.deploy.step_types import DEPLOY
from offbus_steps.inject.step_types import INJECT_XID
from offbus_steps.safety.guards import ClusterGuards
from tests.kits.steps.bench import bench, pods_of

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


@pytest.fixture
def anyio_backend() -> str:
    """Environments run on asyncio (design.md, section 4)."""
    return "asyncio"


async def test_a_fault_that_is_to_be_answered_is_told_with_the_profile(tmp_path: Path) -> None:
    layout = Layout.of(tmp_path / "sandbox")
    responder = ResponderConfig(drain_retry_s=0.4)
    await start(layout, SandboxConfig(nodes=2, gpus_per_node=1, responder=responder))
    try:
        (tmp_path / "target.yaml").write_text(yaml.safe_dump(pods_of("target", 1)))
        async with bench(layout, tmp_path, ClusterGuards()) as one:
            target = (await one.run(DEPLOY, manifest="target.yaml", port=8000)).target
            await one.run(INJECT_XID, target=target, xid=94)
            assert told(one.events("observed")) == [], "nothing answers a fault that is no fatal one"
            await one.run(INJECT_XID, target=target, xid=79)
            assert told(one.events("observed")) == [
                "plays profile fast (main-2026-08), delays 1:20; set otherwise: drain_retry_s"
            ]
            await one.undo_all()
    finally:
        await stop(layout)


def told(events: list[dict[str, object]]) -> list[object]:
    return [one["to"] for one in events if one["subject"] == "the stand-in responder"]
