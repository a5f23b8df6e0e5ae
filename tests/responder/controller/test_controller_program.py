"""The controller as a process, with a detector: a fault's whole way through NVSentinel's states."""

import json
import uuid

import anyio
import pytest

from offbus_steps.port import Object, Ref
from tests.kits.responder.responder_world import STATE, WATCHDOG_S, Cluster, condition

pytestmark = pytest.mark.anyio

NODE = Ref("Node", "node-1")
FATAL = "79, GPU has fallen off the bus."
PATIENT = [{"name": "*", "mode": "AllowCompletion"}]


def annotations(node: Object) -> dict[str, str]:
    found: dict[str, str] = node["metadata"].get("annotations") or {}
    return {key: value for key, value in found.items() if key.startswith(("quarantine", "latestFault"))}


def labels(node: Object) -> dict[str, str]:
    found: dict[str, str] = node["metadata"].get("labels") or {}
    return {key: value for key, value in found.items() if key.startswith(("k8saas", "dgxc"))}


def is_released(node: Object) -> bool:
    return not node["spec"].get("unschedulable") and "k8saas.nvidia.com/uncordon-by" in labels(node)


async def states_until_released(cluster: Cluster, version: str) -> list[str]:
    seen = [""]
    with anyio.fail_after(WATCHDOG_S):
        async for event in cluster.objects.watch("Node", resource_version=version):
            if event.type != "MODIFIED" or event.object["metadata"]["name"] != "node-1":
                continue
            state = labels(event.object).get(STATE, "")
            if state != seen[-1]:
                seen.append(state)
            if is_released(event.object):
                return seen
    raise AssertionError("the watch ended")


async def test_a_fatal_fault_walks_through_all_states_and_leaves_nothing(cluster: Cluster) -> None:
    victim = await cluster.pod("victim", "node-1")
    bystander = await cluster.pod("bystander", "node-2")
    system = await cluster.pod("system", "node-1", namespace="kube-system")
    cluster.detector("node-1")
    cluster.controller()
    version = (await cluster.objects.list("Node")).resource_version
    cluster.xid("node-1", FATAL)
    assert await states_until_released(cluster, version) == [
        "",
        "quarantined",
        "draining",
        "drain-succeeded",
        "remediating",
        "remediation-succeeded",
        "",
    ]
    assert not await cluster.exists(victim)
    assert await cluster.exists(bystander)
    assert await cluster.exists(system)
    node = await cluster.node("node-1")
    assert annotations(node) == {}
    assert condition(node)["status"] == "False"
    (reboot,) = (await cluster.objects.list("RebootNode")).items
    assert [one["type"] for one in reboot["status"]["conditions"]] == ["SignalSent", "NodeReady"]


async def test_a_quarantined_node_says_why(cluster: Cluster) -> None:
    await cluster.pod("victim", "node-1")
    cluster.detector("node-1")
    cluster.controller(drain=PATIENT)
    cluster.xid("node-1", FATAL)
    node = await cluster.state("node-1", "draining")
    assert node["spec"]["unschedulable"] is True
    found = annotations(node)
    assert found["quarantineHealthEventIsCordoned"] == "True"
    (event,) = json.loads(found["quarantineHealthEvent"])
    assert (event["checkName"], event["errorCode"], event["nodeName"]) == (
        "SysLogsXIDError",
        ["79"],
        "node-1",
    )
    assert {e["entityType"] for e in event["entitiesImpacted"]} == {"PCI", "GPU_UUID"}
    assert labels(node)["k8saas.nvidia.com/cordon-by"] == "NVSentinel"


async def test_a_gpu_reset_is_asked_for_and_clears_that_gpu(cluster: Cluster) -> None:
    cluster.detector("node-1")
    cluster.controller(janitor="manual", reset_by="GPUReset")
    cluster.xid("node-1", "119, Timeout after 6s of waiting for RPC response")
    node = await cluster.state("node-1", "remediation-succeeded")
    (reset,) = (await cluster.objects.list("GPUReset")).items
    uuid = cluster.gpus("node-1")[0]["uuid"]
    assert reset["spec"]["selector"]["uuids"] == [uuid]
    groups = json.loads(annotations(node)["latestFaultRemediationState"])["equivalenceGroups"]
    assert groups[f"reset-{uuid}"]["maintenanceCR"] == reset["metadata"]["name"]
    cluster.log_line("node-1", f"GPU reset executed: {uuid}, success: true")
    await cluster.until(NODE, is_released)


async def test_the_simulated_reset_is_logged_as_the_real_one_is(cluster: Cluster) -> None:
    cluster.detector("node-1")
    cluster.controller(reset_by="GPUReset")
    cluster.xid("node-1", "119, Timeout after 6s of waiting for RPC response", gpu=1)
    await cluster.until(NODE, is_released)
    uuid = cluster.gpus("node-1")[1]["uuid"]
    assert (
        f"GPU reset executed: {uuid}, success: true" in (cluster.layout.node("node-1") / "kmsg").read_text()
    )


async def test_a_fault_that_needs_a_human_stays_cordoned_until_it_is_cleared(cluster: Cluster) -> None:
    cluster.detector("node-1")
    cluster.controller()
    cluster.xid("node-1", "74, NVLink: fatal error detected on link 14")
    node = await cluster.state("node-1", "remediation-failed")
    assert node["spec"]["unschedulable"] is True
    assert "latestFaultRemediationState" not in annotations(node)
    cluster.log_line("node-1", f"GPU reset executed: {cluster.gpus('node-1')[0]['uuid']}, success: true")
    await cluster.until(NODE, is_released)


async def test_a_non_fatal_fault_does_not_cordon(cluster: Cluster) -> None:
    cluster.detector("node-1")
    cluster.detector("node-2")
    cluster.controller(janitor="manual")
    cluster.xid("node-1", "94, Contained: SM (0x1). RST: No, D-RST: No")
    cluster.xid("node-2", FATAL)
    await cluster.state("node-2", "remediation-succeeded")
    node = await cluster.node("node-1")
    assert not node["spec"].get("unschedulable")
    assert labels(node) == {}


async def test_a_node_that_was_cordoned_before_stays_so(cluster: Cluster) -> None:
    await cluster.objects.patch(NODE, {"spec": {"unschedulable": True}})
    cluster.detector("node-1")
    cluster.controller(janitor="manual")
    cluster.xid("node-1", "119, Timeout after 6s of waiting for RPC response")
    held = await cluster.state("node-1", "remediation-succeeded")
    assert annotations(held)["quarantineHealthEventCordonPreExisting"] == "True"
    cluster.log_line("node-1", f"GPU reset executed: {cluster.gpus('node-1')[0]['uuid']}, success: true")
    node = await cluster.until(NODE, lambda n: annotations(n) == {})
    assert node["spec"]["unschedulable"] is True
    assert labels(node) == {}


async def test_two_faults_are_released_only_together(cluster: Cluster) -> None:
    cluster.detector("node-1")
    cluster.controller(janitor="manual")
    cluster.xid("node-1", "119, Timeout", gpu=0)
    cluster.xid("node-1", "119, Timeout", gpu=1)
    await cluster.until(
        NODE, lambda n: len(json.loads(annotations(n).get("quarantineHealthEvent", "[]"))) == 2
    )
    first, second = (gpu["uuid"] for gpu in cluster.gpus("node-1"))
    cluster.log_line("node-1", f"GPU reset executed: {first}, success: true")
    node = await cluster.until(NODE, lambda n: len(json.loads(annotations(n)["quarantineHealthEvent"])) == 1)
    assert node["spec"]["unschedulable"] is True
    cluster.log_line("node-1", f"GPU reset executed: {second}, success: true")
    await cluster.until(NODE, is_released)


async def test_an_uncordon_by_hand_cancels_and_a_new_fault_quarantines_again(cluster: Cluster) -> None:
    cluster.detector("node-1")
    cluster.controller(janitor="manual")
    cluster.xid("node-1", FATAL)
    await cluster.state("node-1", "remediation-succeeded")
    await cluster.objects.patch(NODE, {"spec": {"unschedulable": None}})
    marked = {"quarantinedNodeUncordonedManually": "True"}
    node = await cluster.until(NODE, lambda n: annotations(n) == marked)
    assert not node["spec"].get("unschedulable")
    assert STATE not in labels(node)
    cluster.xid("node-1", "48, DBE", gpu=1)
    node = await cluster.state("node-1", "quarantined")
    assert "quarantinedNodeUncordonedManually" not in annotations(node)


async def test_a_killed_controller_goes_on_where_it_was(cluster: Cluster) -> None:
    victim = await cluster.pod("victim", "node-1")
    cluster.detector("node-1")
    first = cluster.controller(drain=PATIENT)
    cluster.xid("node-1", FATAL)
    before = await cluster.state("node-1", "draining")
    first.kill()
    await cluster.objects.delete(victim, grace_seconds=0)
    await cluster.until(victim, lambda pod: not pod)
    assert labels(await cluster.node("node-1"))[STATE] == "draining"
    cluster.controller(drain=PATIENT, janitor="manual")
    after = await cluster.state("node-1", "remediation-succeeded")
    was, now = (json.loads(annotations(n)["quarantineHealthEvent"])[0]["id"] for n in (before, after))
    assert was == now
    (reboot,) = (await cluster.objects.list("RebootNode")).items
    assert reboot["metadata"]["name"] == f"maintenance-node-1-{now}"


async def test_a_fault_that_came_and_went_while_it_was_dead_is_released(cluster: Cluster) -> None:
    cluster.detector("node-1")
    first = cluster.controller(janitor="manual")
    cluster.xid("node-1", "119, Timeout")
    await cluster.state("node-1", "remediation-succeeded")
    first.kill()
    cluster.log_line("node-1", f"GPU reset executed: {cluster.gpus('node-1')[0]['uuid']}, success: true")
    await cluster.until(NODE, lambda n: condition(n)["status"] == "False")
    cluster.controller(janitor="manual")
    await cluster.until(NODE, is_released)


async def test_a_tripped_breaker_leaves_the_node_cordoned_until_a_restart(cluster: Cluster) -> None:
    """Two drills on different nodes of two: it trips on the *healthy* event of the first."""
    other = Ref("Node", "node-2")
    cluster.detector("node-1")
    cluster.detector("node-2")
    settings = {"janitor": "manual", "circuit_breaker": {"enabled": True, "percentage": 100}}
    first = cluster.controller(**settings)
    cluster.xid("node-1", FATAL)
    cluster.xid("node-2", FATAL)
    await cluster.state("node-1", "remediation-succeeded")
    await cluster.state("node-2", "remediation-succeeded")
    cluster.log_line("node-1", f"GPU reset executed: {cluster.gpus('node-1')[0]['uuid']}, success: true")
    await cluster.logged("controller", "the circuit breaker is TRIPPED")
    breaker = await cluster.objects.get(Ref("ConfigMap", "circuit-breaker", "nvsentinel"))
    assert breaker["data"] == {"status": "TRIPPED"}
    await cluster.objects.patch(Ref.of(breaker), {"data": {"status": "CLOSED"}})
    cluster.log_line("node-2", f"GPU reset executed: {cluster.gpus('node-2')[0]['uuid']}, success: true")
    await cluster.until(other, lambda n: condition(n)["status"] == "False")
    assert (await cluster.node("node-1"))["spec"]["unschedulable"] is True
    assert (await cluster.node("node-2"))["spec"]["unschedulable"] is True
    first.kill()
    cluster.controller(**settings)
    await cluster.until(NODE, is_released)
    await cluster.until(other, is_released)


@pytest.mark.guarantee("G31")
async def test_marks_that_are_removed_by_hand_come_back_and_the_node_is_rebooted(cluster: Cluster) -> None:
    """What a drill that tidied up by hand did: half a minute later NVSentinel rebooted the healthy node."""
    victim = await cluster.pod("victim", "node-1")
    cluster.detector("node-1")
    cluster.controller(drain=PATIENT, janitor_delay_s=30, signal_delay_s=20)
    cluster.xid("node-1", FATAL)
    held = await cluster.state("node-1", "draining")
    gone = dict.fromkeys(annotations(held)), dict.fromkeys(labels(held))
    await cluster.objects.patch(NODE, {"metadata": {"annotations": gone[0], "labels": gone[1]}})
    await cluster.objects.patch(NODE, {"spec": {"unschedulable": None}})
    await cluster.objects.delete(victim, grace_seconds=0)
    node = await cluster.state("node-1", "remediation-succeeded")
    assert not node["spec"].get("unschedulable")
    assert len((await cluster.objects.list("RebootNode")).items) == 1


async def test_an_uncordon_by_hand_ends_the_drain_and_nothing_comes_after(cluster: Cluster) -> None:
    victim = await cluster.pod("victim", "node-1")
    cluster.detector("node-1")
    cluster.controller(drain=PATIENT, drain_retry_s=0.1)
    cluster.xid("node-1", FATAL)
    await cluster.state("node-1", "draining")
    await cluster.objects.patch(NODE, {"spec": {"unschedulable": None}})
    await cluster.state("node-1", "")
    await cluster.objects.delete(victim, grace_seconds=0)
    await cluster.until(victim, lambda pod: not pod)
    # A later fault of another node goes its whole way, and this one has had the same time.
    cluster.detector("node-2")
    cluster.xid("node-2", FATAL)
    await cluster.until(Ref("Node", "node-2"), is_released)
    node = await cluster.node("node-1")
    assert annotations(node) == {"quarantinedNodeUncordonedManually": "True"}
    assert STATE not in labels(node)
    (reboot,) = (await cluster.objects.list("RebootNode")).items
    assert reboot["spec"]["nodeName"] == "node-2"


async def test_an_all_clear_for_two_of_ten_entities_leaves_the_cordon(cluster: Cluster) -> None:
    """XID 74 names the link and seven registers, too; the reset line names the GPU."""
    cluster.detector("node-1")
    cluster.controller()
    registers = ", ".join(["0x00000000"] * 7)
    cluster.xid("node-1", f"74, NVLink: fatal error detected on link 14({registers})")
    held = await cluster.state("node-1", "remediation-failed")
    (event,) = json.loads(annotations(held)["quarantineHealthEvent"])
    assert len(event["entitiesImpacted"]) == 10
    cluster.log_line("node-1", f"GPU reset executed: {cluster.gpus('node-1')[0]['uuid']}, success: true")
    node = await cluster.until(NODE, lambda n: condition(n)["status"] == "False")
    cluster.detector("node-2")
    cluster.xid("node-2", FATAL)
    await cluster.until(Ref("Node", "node-2"), is_released)
    node = await cluster.node("node-1")
    assert node["spec"]["unschedulable"] is True
    assert annotations(node) == annotations(held)


async def test_a_dry_run_marks_the_node_and_touches_nothing(cluster: Cluster) -> None:
    victim = await cluster.pod("victim", "node-1")
    cluster.detector("node-1")
    cluster.controller(dry_run=True)
    cluster.xid("node-1", FATAL)
    node = await cluster.state("node-1", "remediation-succeeded")
    assert not node["spec"].get("unschedulable")
    assert "quarantineHealthEvent" in annotations(node)
    assert await cluster.exists(victim)
    assert list((await cluster.objects.list("RebootNode")).items) == []


async def test_the_annotation_has_the_shape_of_the_real_one(cluster: Cluster) -> None:
    cluster.detector("node-1")
    cluster.controller(janitor="manual")
    cluster.xid("node-1", FATAL)
    held = await cluster.state("node-1", "remediation-succeeded")
    (event,) = json.loads(annotations(held)["quarantineHealthEvent"])
    assert event["recommendedAction"] == 24
    assert set(event["generatedTimestamp"]) == {"seconds", "nanos"}
    assert uuid.UUID(event["id"])
    assert event["processingStrategy"] == 1
    assert "isHealthy" not in event
    assert event["isFatal"] is True


async def test_the_cordon_may_come_before_the_condition(cluster: Cluster) -> None:
    cluster.detector("node-1", condition_delay_s=20)
    cluster.controller(janitor="manual")
    cluster.xid("node-1", FATAL)
    node = await cluster.state("node-1", "remediation-succeeded")
    assert condition(node)["status"] == "False"


async def test_somebody_else_s_maintenance_is_left_alone(cluster: Cluster) -> None:
    cluster.detector("node-1")
    cluster.controller(janitor_delay_s=0)
    foreign = {
        "apiVersion": "janitor.dgxc.nvidia.com/v1alpha1",
        "kind": "RebootNode",
        "metadata": {"name": "not-ours"},
        "spec": {"nodeName": "node-1"},
    }
    ref = Ref.of(await cluster.objects.create(foreign))
    cluster.xid("node-1", FATAL)
    await cluster.until(NODE, is_released)
    assert "status" not in await cluster.objects.get(ref)


async def test_sigterm_ends_it_with_0(cluster: Cluster) -> None:
    assert cluster.controller().end() == 0
