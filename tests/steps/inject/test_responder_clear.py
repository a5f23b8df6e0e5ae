"""A responder that repairs nothing by itself: the undo's clear makes it lift its own quarantine."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
import yaml

from offbus.errors import StepFailed
from offbus_sandbox.config import SandboxConfig
from offbus_sandbox.layout import Layout
from offbus_sandbox.local.launch import start, stop
from offbus_sandbox.responder.config import ResponderConfig
from offbus_steps.deploy.step_types import DEPLOY
from offbus_steps.inject.step_types import INJECT_XID
from offbus_steps.inject.undo_consequences import ClearConsequences
from offbus_steps.inject.undo_disarm import DisarmFault
from offbus_steps.observe.step_types import AWAIT_CORDON
from offbus_steps.port import Ref
from tests.kits.steps.bench import Bench, bench, pods_of

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

BY_HAND = "spec.unschedulable"


@pytest.fixture
def anyio_backend() -> str:
    """Environments run on asyncio (design.md, section 4)."""
    return "asyncio"


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Layout]:
    """Two nodes, and a responder whose janitor leaves the repair to somebody else."""
    layout = Layout.of(tmp_path / "sandbox")
    config = SandboxConfig(
        nodes=2, gpus_per_node=1, responder=ResponderConfig.model_validate({"janitor": "manual"})
    )
    anyio.run(start, layout, config)
    yield layout
    anyio.run(stop, layout)


@asynccontextmanager
async def quarantined(sandbox: Layout, folder: Path) -> AsyncIterator[tuple[Bench, Any]]:
    """A bench whose target's node was quarantined for an XID 79; its fault is disarmed."""
    (folder / "target.yaml").write_text(yaml.safe_dump(pods_of("target", 1)))
    async with bench(sandbox, folder) as one:
        target = (await one.run(DEPLOY, manifest="target.yaml", port=8000)).target
        out = await one.run(INJECT_XID, target=target, xid=79, patience=timedelta(seconds=4))
        await one.run(AWAIT_CORDON, fault=out.fault)
        assert (await one.undo(undo_of(one, DisarmFault))).result == "restored"
        yield one, out


def undo_of(one: Bench, kind: type) -> Any:
    return next(undo for undo in one.undos if isinstance(undo, kind))


async def test_the_responder_lifts_its_own_quarantine(sandbox: Layout, tmp_path: Path) -> None:
    async with quarantined(sandbox, tmp_path) as (one, out):
        result = await one.undo(undo_of(one, ClearConsequences))
        assert (result.result, result.detail) == (
            "restored",
            "the responder lifted its quarantine after its clear was sent",
        )
        assert BY_HAND not in result.evidence["removed"]
        told = [event for event in one.events("observed") if event["lane"] == "responder"]
        (sent,) = [event for event in told if event["to"] == "clear sent"]
        (line,) = sent["evidence"]["lines"]
        assert line["line"] == f"GPU reset executed: {out.gpus[0]}, success: true"
        assert line["line"] in (sandbox.node(out.node) / "kmsg").read_text()
        assert "unschedulable" not in (await one.objects.get(Ref("Node", out.node)))["spec"]
        await one.undo_all()


async def test_where_no_clear_can_be_sent_the_responder_is_made_to_cancel(
    sandbox: Layout, tmp_path: Path
) -> None:
    async with quarantined(sandbox, tmp_path) as (one, out):
        metadata = sandbox.node(out.node) / "var/lib/nvsentinel/gpu_metadata.json"
        metadata.write_text(json.dumps({"version": "1.0", "gpus": []}))
        result = await one.undo(undo_of(one, ClearConsequences))
        assert result.detail == "the responder cancelled its quarantine when the node was uncordoned"
        assert "GPU reset" not in (sandbox.node(out.node) / "kmsg").read_text()
        await one.undo_all()


async def test_a_fault_that_the_agent_could_not_make_costs_no_patience(
    sandbox: Layout, tmp_path: Path
) -> None:
    (tmp_path / "target.yaml").write_text(yaml.safe_dump(pods_of("target", 1)))
    async with bench(sandbox, tmp_path) as one:
        target = (await one.run(DEPLOY, manifest="target.yaml", port=8000)).target
        for node in ("node-1", "node-2"):
            (sandbox.node(node) / "kmsg").write_text("not a record\n")
        with pytest.raises(Exception, match="does not end with a complete record"):
            await one.run(INJECT_XID, target=target, xid=79, patience=timedelta(hours=1))
        await one.undo_all()


async def test_a_node_without_the_target_is_refused_before_anything_is_changed(
    sandbox: Layout, tmp_path: Path
) -> None:
    (tmp_path / "target.yaml").write_text(yaml.safe_dump(pods_of("target", 1)))
    async with bench(sandbox, tmp_path) as one:
        target = (await one.run(DEPLOY, manifest="target.yaml", port=8000)).target
        recorded = len(one.undos)
        with pytest.raises(
            StepFailed, match=r"no ready pod that requests GPUs on node-9; it has some on node-"
        ):
            await one.run(INJECT_XID, target=target, xid=79, node="node-9")
        assert len(one.undos) == recorded
        assert one.events("fault_declared") == []
        await one.undo_all()
