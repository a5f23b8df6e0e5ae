"""The circuit breaker of a real stand-in: the second of two drills on different nodes of three is refused."""

from datetime import timedelta
from pathlib import Path

import anyio
import pytest
import yaml

from offbus.errors import GuardRefused
from offbus_sandbox.config import SandboxConfig
from offbus_sandbox.layout import Layout
from offbus_sandbox.local.launch import start, stop
from offbus_sandbox.responder.config import Breaker, ResponderConfig
from offbus_steps.deploy.step_types import DEPLOY
from offbus_steps.inject.step_types import INJECT_XID
from offbus_steps.nvsentinel.circuit_breaker import breaker_is_tripped
from offbus_steps.safety.guards import ClusterGuards
from tests.kits.steps.bench import bench, pods_of

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

WATCHDOG_S = 60.0


@pytest.fixture
def anyio_backend() -> str:
    """Environments run on asyncio (design.md, section 4)."""
    return "asyncio"


async def test_a_second_drill_on_another_node_within_the_window_is_refused(tmp_path: Path) -> None:
    layout = Layout.of(tmp_path / "sandbox")
    responder = ResponderConfig(circuit_breaker=Breaker(enabled=True), janitor_delay_s=0.3)
    await start(layout, SandboxConfig(nodes=3, gpus_per_node=1, responder=responder))
    try:
        (tmp_path / "target.yaml").write_text(yaml.safe_dump(pods_of("target", 2)))
        async with bench(layout, tmp_path, ClusterGuards(max_cordoned_nodes=3)) as one:
            target = (await one.run(DEPLOY, manifest="target.yaml", port=8000)).target
            deployed = len(one.undos)
            first, second = sorted({pod.node for pod in one.cluster.log.world.pods() if pod.gpus})
            with pytest.raises(
                GuardRefused, match="make 2 cordoned; 2 of 3 GPU nodes cordoned within 5m trip it"
            ):
                await one.run(INJECT_XID, target=target, xid=79, node_count=2)
            await one.run(INJECT_XID, target=target, xid=79, node=first, patience=timedelta(seconds=4))
            with anyio.fail_after(WATCHDOG_S):
                await one.cluster.log.until(
                    lambda world: ((found := world.node(first)) and found.state == "quarantined") or None
                )
            for undo in reversed(one.undos[deployed:]):
                assert (await one.undo(undo, within_s=200)).result in ("restored", "nothing")
            with pytest.raises(GuardRefused) as refused:
                await one.run(INJECT_XID, target=target, xid=79, node=second)
            assert f"{second} (by this drill), {first} (" in refused.value.message
            assert (
                "ConfigMap/nvsentinel/standin-responder circuit_breaker.percentage" in refused.value.message
            )
            assert not await breaker_is_tripped(one.objects, "nvsentinel")
    finally:
        await stop(layout)
