"""`await_validation` with a real stand-in: one validates, one in vain, one does not."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from offbus.errors import StepError, StepFailed, ungrouped
from offbus_sandbox.config import SandboxConfig
from offbus_sandbox.layout import Layout
from offbus_sandbox.local.launch import start, stop
from offbus_sandbox.responder.config import ResponderConfig
from offbus_steps.deploy.step_types import DEPLOY
from offbus_steps.inject.step_types import INJECT_XID
from offbus_steps.observe.step_types import AWAIT_UNCORDON, AWAIT_VALIDATION
from offbus_steps.safety.guards import ClusterGuards
from tests.kits.steps.bench import Bench, bench, pods_of

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

VALIDATES = {
    "profile": "v1.33",
    "scale": 20,
    "circuit_breaker": {"enabled": False},
    "validation_delay_s": 1,
}


@pytest.fixture
def anyio_backend() -> str:
    """Environments run on asyncio (design.md, section 4)."""
    return "asyncio"


@asynccontextmanager
async def faulted(folder: Path, settings: dict[str, Any]) -> AsyncIterator[tuple[Bench, Any]]:
    """A node whose GPU has fallen off the bus."""
    layout = Layout.of(folder / "sandbox")
    responder = ResponderConfig.model_validate(settings)
    await start(layout, SandboxConfig(nodes=2, gpus_per_node=1, responder=responder))
    try:
        (folder / "target.yaml").write_text(yaml.safe_dump(pods_of("target", 1)))
        async with bench(layout, folder, ClusterGuards()) as one:
            target = (await one.run(DEPLOY, manifest="target.yaml", port=8000)).target
            yield one, (await one.run(INJECT_XID, target=target, xid=79)).fault
            await one.undo_all()
    finally:
        await stop(layout)


async def test_a_validation_is_awaited_and_measured_by_both_steps(tmp_path: Path) -> None:
    async with faulted(tmp_path, {**VALIDATES, "validation": {"enabled": True}}) as (one, fault):
        done = await one.run(AWAIT_VALIDATION, fault=fault)
        assert done.resource.startswith(f"ValidationRequest/{fault.node}-validation-")
        await one.run(AWAIT_UNCORDON, fault=fault)
        metrics = {event["name"]: event["value"] for event in one.events("metric")}
        assert metrics.keys() == {"time_to_remediate", "time_to_validate", "time_to_uncordon"}
        assert metrics["time_to_remediate"] < metrics["time_to_validate"]
        told = [event["to"] for event in one.events("observed") if event["subject"] == done.resource]
        assert told == ["asked for", "completed"]


async def test_a_validation_that_fails_fails_the_step(tmp_path: Path) -> None:
    settings = {**VALIDATES, "validation": {"enabled": True, "result": "Failed"}}
    async with faulted(tmp_path, settings) as (one, fault):
        with pytest.raises(StepFailed) as failed, ungrouped():
            await one.run(AWAIT_VALIDATION, fault=fault)
        assert failed.value.message.startswith(f"ValidationRequest/{fault.node}-validation-")
        assert failed.value.message.endswith(" has failed")


async def test_an_uncordon_alone_measures_the_validation_too(tmp_path: Path) -> None:
    async with faulted(tmp_path, {**VALIDATES, "validation": {"enabled": True}}) as (one, fault):
        await one.run(AWAIT_UNCORDON, fault=fault)
        assert "time_to_validate" in {event["name"] for event in one.events("metric")}


async def test_a_responder_that_does_not_validate_is_refused_at_once(tmp_path: Path) -> None:
    async with faulted(tmp_path, {}) as (one, fault):
        with pytest.raises(StepError, match="the stand-in responder has no validation stage") as refused:
            await one.run(AWAIT_VALIDATION, fault=fault)
        assert "profile fast (main-2026-08), delays 1:20" in refused.value.message
        assert "leave out await_validation" in (refused.value.hint or "")
