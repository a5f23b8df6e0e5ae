"""The controller's drain as a process: budgets, time limits, and whom it waits for."""

from typing import Any

import anyio
import pytest

from offbus_steps.port import Object, Ref
from tests.kits.responder.responder_world import WATCHDOG_S, Cluster

pytestmark = pytest.mark.anyio

FATAL = "79, GPU has fallen off the bus."
PATIENT = [{"name": "*", "mode": "AllowCompletion"}]


async def test_a_disruption_budget_holds_the_drain_up(cluster: Cluster) -> None:
    victim = await cluster.pod("victim", "node-1", labels={"app": "precious"})
    budget = {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "keep", "namespace": "drill-demo"},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "precious"}}},
    }
    ref = Ref.of(await cluster.objects.create(budget))
    await cluster.until(ref, lambda b: (b.get("status") or {}).get("disruptionsAllowed") == 0)
    cluster.detector("node-1")
    cluster.controller(janitor="manual")
    cluster.xid("node-1", FATAL)
    await cluster.state("node-1", "draining")
    assert not (await cluster.objects.get(victim))["metadata"].get("deletionTimestamp")
    await cluster.objects.delete(ref)
    await cluster.state("node-1", "drain-succeeded", "remediating", "remediation-succeeded")
    assert not await cluster.exists(victim)


async def test_delete_after_timeout_waits_and_then_deletes(cluster: Cluster) -> None:
    victim = await cluster.pod("victim", "node-1")
    cluster.detector("node-1")
    cluster.controller(
        drain=[{"name": "*", "mode": "DeleteAfterTimeout"}], delete_after_timeout_s=1, janitor="manual"
    )
    cluster.xid("node-1", FATAL)
    await cluster.until(victim, lambda pod: not pod)
    await cluster.state("node-1", "drain-succeeded", "remediating", "remediation-succeeded")
    reasons = {e["reason"] for e in (await cluster.objects.list("Event", namespace="default")).items}
    assert "WaitingBeforeForceDelete" in reasons


async def test_a_waiting_drain_says_for_whom(cluster: Cluster) -> None:
    await cluster.pod("victim", "node-1")
    cluster.detector("node-1")
    cluster.controller(drain=PATIENT)
    cluster.xid("node-1", FATAL)
    await cluster.state("node-1", "draining")

    def waits(event: Object) -> bool:
        return bool(event) and event["reason"] == "AwaitingPodCompletion"

    with anyio.fail_after(WATCHDOG_S):
        found: list[dict[str, Any]] = []
        async for event in cluster.objects.watch("Event", resource_version="0"):
            found += [event.object] if waits(event.object) else []
            if found:
                break
    assert found[0]["message"] == "Waiting for following pods to finish: [drill-demo/victim]"
