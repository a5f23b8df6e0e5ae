"""Whether evicted pods fit elsewhere."""

from typing import Any

import pytest

from offbus_steps.workloads.gpu_fit import without_gpus


def node(name: str, gpus: int, **spec: Any) -> dict[str, Any]:
    labels = spec.pop("labels", {})
    status = {"allocatable": {"nvidia.com/gpu": str(gpus)}}
    return {"metadata": {"name": name, "labels": labels}, "spec": spec, "status": status}


def pod_spec(gpus: int, **spec: Any) -> dict[str, Any]:
    limits = {"nvidia.com/gpu": str(gpus)} if gpus else {}
    return {"containers": [{"name": "c", "resources": {"limits": limits}}], **spec}


def running(on: str, gpus: int, phase: str = "Running") -> dict[str, Any]:
    return {"metadata": {"name": "p"}, "spec": {**pod_spec(gpus), "nodeName": on}, "status": {"phase": phase}}


TAINT = {"key": "team", "value": "x", "effect": "NoSchedule"}
IN_ZONE_A = {
    "nodeAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [{"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]}]
        }
    }
}


@pytest.mark.parametrize(
    ("pending", "nodes", "missing"),
    [
        ([pod_spec(2)], [node("n", 2)], 0),
        ([pod_spec(2)], [node("n", 1), node("m", 1)], 1),
        ([pod_spec(1), pod_spec(1)], [node("n", 1)], 1),
        ([pod_spec(2), pod_spec(1), pod_spec(1)], [node("n", 2), node("m", 2)], 0),
        ([pod_spec(1)], [node("n", 1, unschedulable=True)], 1),
        ([pod_spec(1)], [node("n", 1, taints=[TAINT])], 1),
        (
            [pod_spec(1, tolerations=[{"key": "team", "operator": "Exists"}])],
            [node("n", 1, taints=[TAINT])],
            0,
        ),
        ([pod_spec(1, tolerations=[{"key": "team", "value": "y"}])], [node("n", 1, taints=[TAINT])], 1),
        ([pod_spec(1, nodeSelector={"zone": "a"})], [node("n", 1, labels={"zone": "b"})], 1),
        ([pod_spec(1, affinity=IN_ZONE_A)], [node("n", 1, labels={"zone": "a"})], 0),
        ([pod_spec(1, affinity=IN_ZONE_A)], [node("n", 1)], 1),
        ([pod_spec(0)], [node("n", 0)], 0),
        ([], [], 0),
    ],
    ids=[
        "fits",
        "not split over nodes",
        "one too many",
        "largest first",
        "cordoned",
        "tainted",
        "tolerated",
        "other value",
        "selector",
        "affinity",
        "no affinity",
        "no gpu",
        "nothing",
    ],
)
def test_what_does_not_fit_is_named(
    pending: list[dict[str, Any]], nodes: list[dict[str, Any]], missing: int
) -> None:
    assert len(without_gpus(pending, nodes, [])) == missing


def test_gpus_of_running_pods_are_taken_and_those_of_ended_ones_are_not() -> None:
    assert without_gpus([pod_spec(1)], [node("n", 1)], [running("n", 1)])
    assert not without_gpus([pod_spec(1)], [node("n", 1)], [running("n", 1, "Succeeded")])
