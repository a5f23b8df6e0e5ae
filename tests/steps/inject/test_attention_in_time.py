"""When a human must act: what the catalogue recommends, and what the responder says of this fault and no other."""

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest

from offbus_steps.inject.step_types import INJECT_XID
from offbus_steps.port import Object, Ref
from offbus_steps.safety.guards import ClusterGuards
from offbus_steps.workloads.gpus import DEVICES_ANNOTATION, GPU_RESOURCE
from tests.kits.steps.faults import TARGET
from tests.kits.steps.responder_marks import condition_of, event, finding, quarantined, repair, state
from tests.kits.steps.timed_port import TimedPort, deployment, node, ok, pod, put, timed_bench
from tests.kits.virtual_time import in_virtual_time, meanwhile

NODE = Ref("Node", "node-1")
SUPPORT = (
    "XID 74 (NVLINK_ERROR) on node-1: NVSentinel recommends CONTACT_SUPPORT, which no maintenance answers"
)


def gpu_node(name: str) -> Object:
    one = node(name)
    one["status"]["allocatable"] = {GPU_RESOURCE: "2"}
    return one


def gpu_pod(number: int) -> Object:
    one = pod(f"web-{number}", "web", "node-1")
    gpus = json.dumps({"devices": {GPU_RESOURCE: [f"GPU-{number}"]}})
    one["metadata"]["annotations"] = {DEVICES_ANNOTATION: gpus}
    one["spec"]["containers"][0]["resources"] = {"limits": {GPU_RESOURCE: "1"}}
    return one


async def agent(_method: str, path: str, _body: Any) -> Any:
    """An agent of four GPUs that injects whatever it is asked to."""
    if path == "/health":
        gpus = [{"index": n, "uuid": f"GPU-{n}", "pci": f"0000:0{n}:00"} for n in range(4)]
        planes = {"kernel": {"ok": True}, "cuda": {"ok": True}, "nvml": {"ok": True}}
        return ok(json.dumps({"boot_id": "b", "now_ns": 0, "planes": planes, "gpus": gpus}))
    if path.partition("?")[0].endswith("/events"):
        await anyio.sleep(20)
        return ok('{"next": 0, "events": []}')
    fault = {"id": "f", "state": "armed", "xid": 79, "gpus": []}
    return ok(json.dumps({**fault, "kernel": [{"seq": 1, "line": "Xid", "at_ns": 0}]}), 201)


def play(port: TimedPort, what: Any) -> None:
    if "apiVersion" in what:
        put(port.store, what)
    elif "conditions" in what:
        status = port.store.get(NODE)["status"]
        port.store.set_status(NODE, {**status, "conditions": [*status["conditions"], *what["conditions"]]})
    elif "done" in what:
        port.store.set_status(Ref("RebootNode", what["done"]), what["status"])
    else:
        port.store.patch(NODE, what)


async def told(folder: Path, *script: Any, xid: int = 79, step: Any = INJECT_XID, **where: Any) -> list[str]:
    """Inject, let a responder write one thing a second; the reasons that were journaled, each once."""
    objects = [gpu_node("node-1"), gpu_node("node-2"), deployment("web", 2), gpu_pod(0), gpu_pod(1)]
    guards = ClusterGuards(real_remediation="allow")
    async with timed_bench(folder, *objects, guards=guards) as (one, port):
        port.agents.answer = agent
        out = await one.run(step, target=TARGET, xid=xid, **where)
        writes = [(float(second), partial(play, port, what)) for second, what in enumerate(script, 1)]
        async with meanwhile(*writes):
            await anyio.sleep(len(script) + 1)
        told = [each["reason"] for each in one.events("needs_attention")]
        assert len(told) == len(set(told))
        assert out.node == "node-1"
        return told


OURS = event(uuid="GPU-0")
OTHERS = event("48", "GPU-9", id="e2", action=5)


@in_virtual_time
async def test_a_fault_that_no_maintenance_answers_needs_a_human(tmp_path: Path) -> None:
    assert await told(tmp_path, xid=74) == [SUPPORT]


@pytest.mark.parametrize("xid", [79, 94])
@in_virtual_time
async def test_a_fault_that_is_repaired_or_contained_needs_none(tmp_path: Path, xid: int) -> None:
    assert await told(tmp_path, xid=xid) == []


FAILED = {"conditions": [{"type": "NodeReady", "status": "False"}]}
ANSWERS: Mapping[str, tuple[tuple[Any, ...], list[str]]] = {
    "another action than expected": (
        ({"conditions": [condition_of(finding(uuid="GPU-0", action="CONTACT_SUPPORT"))]},),
        ["the responder recommends CONTACT_SUPPORT for SysLogsXIDError 79 GPU_UUID:GPU-0 on node-1"],
    ),
    "an action that is told twice": (
        (
            {"conditions": [condition_of(finding(uuid="GPU-0", action="CONTACT_SUPPORT"))]},
            quarantined(event(uuid="GPU-0", action=5)),
        ),
        ["the responder recommends CONTACT_SUPPORT for SysLogsXIDError 79 GPU_UUID:GPU-0 on node-1"],
    ),
    "no repair": (
        (quarantined(OURS), state("remediation-failed")),
        ["the responder could not repair node-1: remediation-failed"],
    ),
    "no drain": (
        (quarantined(OURS), state("drain-failed")),
        ["the responder could not drain node-1: drain-failed"],
    ),
    "a repair that failed": (
        (quarantined(OURS), repair("e1"), {"done": "maintenance-node-1-e1", "status": FAILED}),
        ["RebootNode/maintenance-node-1-e1 of node-1 failed"],
    ),
    "another fault's": (
        (
            {"conditions": [condition_of(finding("48", "GPU-9", action="CONTACT_SUPPORT"))]},
            quarantined(OTHERS),
            state("drain-failed"),
            state("remediation-failed"),
            repair("e2"),
            {"done": "maintenance-node-1-e2", "status": FAILED},
        ),
        [],
    ),
    "nobody's": ((state("remediation-failed"),), []),
}


@pytest.mark.parametrize(("script", "reasons"), ANSWERS.values(), ids=ANSWERS.keys())
@in_virtual_time
async def test_what_the_responder_says_of_the_fault(
    tmp_path: Path, script: tuple[Any, ...], reasons: list[str]
) -> None:
    assert await told(tmp_path, *script) == reasons


@pytest.mark.parametrize(
    ("status", "reasons"),
    [
        (
            "TRIPPED",
            [
                (
                    "the circuit breaker of the responder is TRIPPED (ConfigMap/nvsentinel/circuit-breaker status): it "
                    "answers no fault until it is reset"
                )
            ],
        ),
        ("CLOSED", []),
    ],
)
@in_virtual_time
async def test_a_tripped_breaker_needs_a_human(tmp_path: Path, status: str, reasons: list[str]) -> None:
    breaker = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "circuit-breaker", "namespace": "nvsentinel"},
        "data": {"status": status},
    }
    async with timed_bench(
        tmp_path,
        gpu_node("node-1"),
        gpu_node("node-2"),
        deployment("web", 2),
        gpu_pod(0),
        gpu_pod(1),
        breaker,
        guards=ClusterGuards(real_remediation="allow", responder_breaker="allow"),
    ) as (one, port):
        port.agents.answer = agent
        await one.run(INJECT_XID, target=TARGET, xid=79)
        assert [each["reason"] for each in one.events("needs_attention")] == reasons


async def injected(folder: Path, step: Any = INJECT_XID, **where: Any) -> tuple[Any, str]:
    """The outputs, and what the fault was declared on."""
    objects = [gpu_node("node-1"), gpu_node("node-2"), deployment("web", 2), gpu_pod(0), gpu_pod(1)]
    async with timed_bench(folder, *objects, guards=ClusterGuards(real_remediation="allow")) as (one, port):
        port.agents.answer = agent
        out = await one.run(step, target=TARGET, xid=94, **where)
        (declared,) = one.events("fault_declared")
        return out, declared["subject"]


@in_virtual_time
async def test_only_pods_that_hold_a_faulted_gpu_are_named(tmp_path: Path) -> None:
    out, subject = await injected(tmp_path, gpus=[1])
    assert (out.pod, out.pods, subject) == ("web-1", ["web-1"], "node-1 (web-1)")


@in_virtual_time
async def test_where_no_pod_of_the_target_holds_the_gpu_none_is_named(tmp_path: Path) -> None:
    out, subject = await injected(tmp_path, gpus=[3])
    assert (out.pod, out.pods, subject) == (None, [], "node-1 (GPU-3)")
    assert out.fault.holders == {}
