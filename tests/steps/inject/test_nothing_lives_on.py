"""In whatever state the undo finds the responder: afterwards it does nothing more to the node.

The stand-in follows NVSentinel's rules at a twentieth of its times: a node that is only tidied up by hand is rebooted
within 2.5 s. What appears within 8 s after the undo is looked for: labels, annotations, conditions, cordons, repairs,
and events of the datastore that somebody will still work on.
"""

import json
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
import yaml

from offbus_sandbox.config import SandboxConfig
from offbus_sandbox.layout import Layout
from offbus_sandbox.local.launch import start, stop
from offbus_sandbox.responder.config import ResponderConfig
from offbus_sandbox.responder.datastore import Datastore
from offbus_steps.deploy.step_types import DEPLOY
from offbus_steps.inject.step_types import INJECT_XID
from offbus_steps.inject.undo_breaker import CheckBreaker
from offbus_steps.inject.undo_consequences import ClearConsequences
from offbus_steps.nvsentinel import names
from offbus_steps.port import Object, Ref, WatchType
from offbus_steps.safety.guards import ClusterGuards
from tests.kits.steps.aftermath import marks_of, seen_for
from tests.kits.steps.bench import Bench, bench, pods_of

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

WATCHED_S = 8.0
WATCHDOG_S = 60.0
NEVER_S = 600
PATIENT = [{"name": "*", "mode": "AllowCompletion"}]
BREAKER = {"enabled": True, "percentage": 50}
VALIDATING = {
    "profile": "v1.33",
    "scale": 20,
    "circuit_breaker": {"enabled": False},
    "validation": {"enabled": True},
    "validation_delay_s": NEVER_S,
}
REGISTERS = "NVLink: fatal error detected on link 14(" + ", ".join(["0x00000000"] * 7) + ")"


@pytest.fixture
def anyio_backend() -> str:
    """Environments run on asyncio (design.md, section 4)."""
    return "asyncio"


@dataclass(frozen=True)
class Case:
    """A state of the responder, and how the drill gets there."""

    settings: Mapping[str, Any]
    state: str | None
    """The node's state label at the undo; None: as soon as the line is written."""
    xid: int = 79
    unknown_gpu: bool = False
    """The node's metadata is gone at the undo, so no clear can be sent."""
    cordoned: bool = False
    """By somebody, before the fault."""
    stage: str = ""
    """What the undo says it found; "" where it may be several."""
    meanwhile: Callable[[Bench, str], Awaitable[None]] | None = field(default=None)


async def repair_begun(one: Bench, node: str) -> None:
    """Until the janitor has begun the repair."""

    def begun(made: Object) -> bool:
        conditions = (made.get("status") or {}).get("conditions") or ()
        return any(found["type"] == names.SIGNAL_SENT for found in conditions)

    await until(one, "RebootNode", lambda made: made["spec"]["nodeName"] == node and begun(made))


async def validation_runs(one: Bench, node: str) -> None:
    """Until the repaired node is being validated."""
    await until(one, names.VALIDATION_KIND, partial(is_in_phase, node, "Running"))


async def validation_failed(one: Bench, node: str) -> None:
    """Until the repaired node was validated in vain."""
    await until(one, names.VALIDATION_KIND, partial(is_in_phase, node, "Failed"))


def is_in_phase(node: str, phase: str, made: Object) -> bool:
    asked, status = made["spec"]["nodes"], made.get("status") or {}
    return asked == [{"name": node}] and status.get("phase") == phase


async def breaker_trips(one: Bench, _node: str) -> None:
    """As after too many cordons."""
    metadata = {"name": names.BREAKER, "namespace": "nvsentinel"}
    await one.objects.create(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"status": "TRIPPED"}}
    )


async def until(one: Bench, kind: str, wanted: Callable[[Object], bool]) -> None:
    found = await one.objects.list(kind)
    if any(map(wanted, found.items)):
        return
    with anyio.fail_after(WATCHDOG_S):
        async for event in one.objects.watch(kind, resource_version=found.resource_version):
            if event.type is not WatchType.BOOKMARK and wanted(event.object):
                return


CASES = {
    "not detected yet": Case({"poll_s": 0.75}, None),
    "reported, not quarantined": Case({"quarantine_delay_s": 3}, None),
    "quarantined": Case({"drain_delay_s": 3}, "quarantined", stage="quarantined"),
    "draining": Case({"drain": PATIENT}, "draining", stage="draining"),
    "draining, no clear possible": Case({"drain": PATIENT}, "draining", unknown_gpu=True, stage="draining"),
    "drained": Case({"remediate_delay_s": 3}, "drain-succeeded", stage="drain-succeeded"),
    "repair pending": Case({"signal_delay_s": NEVER_S, "janitor_delay_s": NEVER_S}, "remediation-succeeded"),
    "repair pending, no clear possible": Case(
        {"signal_delay_s": NEVER_S, "janitor_delay_s": NEVER_S}, "remediation-succeeded", unknown_gpu=True
    ),
    "repair running": Case(
        {"janitor_delay_s": 3}, "remediation-succeeded", unknown_gpu=True, meanwhile=repair_begun
    ),
    "nobody repairs": Case({"janitor": "manual"}, "remediation-succeeded", stage="remediation-succeeded"),
    "a human must act": Case({}, "remediation-failed", xid=73, stage="remediation-failed"),
    "breaker trips on the clear": Case(
        {"janitor": "manual", "circuit_breaker": BREAKER},
        "remediation-succeeded",
        stage="remediation-succeeded",
    ),
    "breaker tripped": Case(
        {"janitor": "manual", "circuit_breaker": BREAKER},
        "remediation-succeeded",
        stage="circuit breaker tripped",
        meanwhile=breaker_trips,
    ),
    "dry run": Case({"dry_run": True}, "remediation-succeeded", stage="dry run"),
    "dry run, no clear possible": Case(
        {"dry_run": True}, "remediation-succeeded", unknown_gpu=True, stage="dry run"
    ),
    "cordoned before": Case(
        {"drain": PATIENT}, "draining", cordoned=True, unknown_gpu=True, stage="draining"
    ),
    "validating": Case(VALIDATING, "remediation-succeeded", stage="validating", meanwhile=validation_runs),
    "validation succeeds": Case(
        {**VALIDATING, "validation_delay_s": 2},
        "remediation-succeeded",
        stage="validating",
        meanwhile=validation_runs,
    ),
    "validation failed": Case(
        {**VALIDATING, "validation_delay_s": 0, "validation": {"enabled": True, "result": "Failed"}},
        "remediation-succeeded",
        stage="validation failed",
        meanwhile=validation_failed,
    ),
    "cleared into a validation": Case({**VALIDATING, "janitor": "manual"}, "remediation-succeeded"),
    "resets are asked for": Case(
        {"reset_by": "GPUReset", "janitor": "manual"}, "remediation-succeeded", xid=119
    ),
}


AS_OBSERVED = {"profile": "main-2026-08", "circuit_breaker": {"enabled": False}}
UNSCALED = {
    "draining": Case({**AS_OBSERVED, "drain": PATIENT}, "draining", unknown_gpu=True, stage="draining"),
    "drained": Case(
        {**AS_OBSERVED, "remediate_delay_s": 60}, "drain-succeeded", unknown_gpu=True, stage="drain-succeeded"
    ),
}
"""At NVSentinel's own times; two of three nodes would trip its breaker, and here are two."""
UNSCALED_S = 92.0
"""The reboot of a node that was tidied up by hand was seen after 46 s at most: twice as long."""


@pytest.mark.guarantee("G31")
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
async def test_nothing_appears_after_the_undo(case: Case, tmp_path: Path) -> None:
    await nothing_appears(case, tmp_path, WATCHED_S)


@pytest.mark.timeout(600)
@pytest.mark.skipif("OFFBUS_UNSCALED" not in os.environ, reason="takes minutes: `make test-long` plays it")
@pytest.mark.parametrize("case", UNSCALED.values(), ids=UNSCALED)
async def test_nothing_appears_at_nvsentinel_s_own_times(case: Case, tmp_path: Path) -> None:
    await nothing_appears(case, tmp_path, UNSCALED_S)


async def nothing_appears(case: Case, tmp_path: Path, watched_s: float) -> None:
    layout = Layout.of(tmp_path / "sandbox")
    responder = ResponderConfig.model_validate({"janitor_delay_s": 0.3, **case.settings})
    await start(layout, SandboxConfig(nodes=2, gpus_per_node=1, responder=responder))
    try:
        (tmp_path / "target.yaml").write_text(yaml.safe_dump(pods_of("target", 1)))
        async with bench(layout, tmp_path, ClusterGuards(responder_breaker="allow")) as one:
            await played(case, one, layout, watched_s)
    finally:
        await stop(layout)


async def played(case: Case, one: Bench, layout: Layout, watched_s: float) -> None:
    target = (await one.run(DEPLOY, manifest="target.yaml", port=8000)).target
    (node,) = {pod.node for pod in one.cluster.log.world.pods() if pod.gpus}
    if case.cordoned:
        await one.objects.patch(Ref("Node", node), {"spec": {"unschedulable": True}})
        await one.cluster.log.until(lambda world: ((found := world.node(node)) and found.cordoned) or None)
    before = marks_of(await one.objects.get(Ref("Node", node)))
    await one.run(INJECT_XID, target=target, xid=case.xid, patience=timedelta(seconds=4))
    if case.state is not None:
        with anyio.fail_after(WATCHDOG_S):
            await one.cluster.log.until(
                lambda world: ((found := world.node(node)) and found.state == case.state) or None
            )
    if case.meanwhile is not None:
        await case.meanwhile(one, node)
    if case.unknown_gpu:
        metadata = layout.node(node) / "var/lib/nvsentinel/gpu_metadata.json"
        metadata.write_text(json.dumps({"version": "1.0", "gpus": []}))
    undos = list(reversed(one.undos))
    results = {type(undo): await one.undo(undo, within_s=200) for undo in undos}
    cleared = results[ClearConsequences]
    assert cleared.result in ("restored", "nothing"), cleared
    looked = results[CheckBreaker].result if CheckBreaker in results else None
    trips = case.settings.get("circuit_breaker", {}).get("enabled", False)
    assert looked == ("conflict" if trips else None), results
    assert case.stage in ("", cleared.evidence.get("stage")), cleared
    assert await seen_for(one.objects, node, watched_s) == [before]
    documents = await Datastore(one.objects, "nvsentinel").documents(node)
    # A tripped breaker takes no event; what it has not taken is an all-clear, and does nothing.
    assert [found for found in documents if found.is_live and not found.event.isHealthy] == []
    assert [made for kind in names.MAINTENANCE_KINDS for made in (await one.objects.list(kind)).items] == []
