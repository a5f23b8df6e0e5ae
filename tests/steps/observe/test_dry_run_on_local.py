"""A real stand-in in dry run, and one that acts: what can be awaited of each, and what is refused."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from offbus.errors import GuardRefused, StepError
from offbus_sandbox.config import SandboxConfig
from offbus_sandbox.layout import Layout
from offbus_sandbox.local.launch import start, stop
from offbus_sandbox.responder.config import ResponderConfig
from offbus_steps.deploy.step_types import DEPLOY
from offbus_steps.inject.step_types import INJECT_XID
from offbus_steps.observe.step_types import (
    AWAIT_CORDON,
    AWAIT_DETECTION,
    AWAIT_DRAIN,
    AWAIT_QUARANTINE,
    AWAIT_REMEDIATION,
    AWAIT_UNCORDON,
    AWAIT_VALIDATION,
)
from offbus_steps.safety.guards import ClusterGuards
from tests.kits.steps.bench import Bench, bench, pods_of

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


@pytest.fixture
def anyio_backend() -> str:
    """Environments run on asyncio (design.md, section 4)."""
    return "asyncio"


@asynccontextmanager
async def deployed(folder: Path, **settings: Any) -> AsyncIterator[tuple[Bench, Any]]:
    """A target on two nodes, with a responder."""
    layout = Layout.of(folder / "sandbox")
    responder = ResponderConfig.model_validate(settings)
    await start(layout, SandboxConfig(nodes=2, gpus_per_node=1, responder=responder))
    try:
        (folder / "target.yaml").write_text(yaml.safe_dump(pods_of("target", 1)))
        async with bench(layout, folder, ClusterGuards()) as one:
            yield one, (await one.run(DEPLOY, manifest="target.yaml", port=8000)).target
            await one.undo_all()
    finally:
        await stop(layout)


async def test_a_dry_run_is_awaited_by_its_marks_and_nothing_else_of_it_is(tmp_path: Path) -> None:
    async with deployed(tmp_path, dry_run=True) as (one, target):
        one.cluster.dry_run_only = True
        fault = (await one.run(INJECT_XID, target=target, xid=79)).fault
        await one.run(AWAIT_DETECTION, fault=fault)
        marked = await one.run(AWAIT_QUARANTINE, fault=fault, state="remediation-succeeded")
        assert (marked.node, marked.cordoned) == (fault.node, False)
        assert "time_to_quarantine" in {event["name"] for event in one.events("metric")}
        for step in (AWAIT_CORDON, AWAIT_DRAIN, AWAIT_REMEDIATION, AWAIT_VALIDATION, AWAIT_UNCORDON):
            with pytest.raises(StepError, match=f"in dry run .*: {step.name} cannot pass") as refused:
                await one.run(step, fault=fault)
            assert "await_quarantine" in (refused.value.hint or "")


async def test_one_that_acts_passes_too_and_is_refused_where_a_dry_run_is_counted_on(tmp_path: Path) -> None:
    async with deployed(tmp_path) as (one, target):
        one.cluster.dry_run_only = True
        before = len(one.undos)
        with pytest.raises(
            GuardRefused, match="`responder` is dry_run, and the stand-in responder would really act"
        ):
            await one.run(INJECT_XID, target=target, xid=79)
        assert len(one.undos) == before, "nothing was changed"
        one.cluster.dry_run_only = False
        fault = (await one.run(INJECT_XID, target=target, xid=79)).fault
        await one.run(AWAIT_CORDON, fault=fault)
        assert (await one.run(AWAIT_QUARANTINE, fault=fault)).cordoned is True
