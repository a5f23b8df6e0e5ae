"""Whose a GPU is: what the kubelet says counts before an annotation, and a GPU that somebody else claims is refused.

Who may edit pods in one namespace may annotate them, and may not write their status, nor another namespace's pods.
"""

import json
from typing import Any

import pytest

from offbus_steps.workloads import gpus
from offbus_steps.workloads.gpu_claims import claim_conflict, claim_flaw

GPU = "nvidia.com/gpu"
SHARED = "nvidia.com/gpu.shared"


def pod(
    name: str,
    *,
    noted: tuple[str, ...] = (),
    told: tuple[str, ...] = (),
    requests: int = 1,
    resource: str = GPU,
    phase: str = "Running",
    namespace: str = "a",
) -> dict[str, Any]:
    """One on node n; `noted` in its annotation, `told` by the kubelet."""
    limits = {"limits": {resource: str(requests)}} if requests else {}
    meta: dict[str, Any] = {"name": name, "namespace": namespace, "uid": f"uid-{name}"}
    if noted:
        devices = json.dumps({"devices": {resource: list(noted)}})
        meta["annotations"] = {gpus.DEVICES_ANNOTATION: devices}
    status: dict[str, Any] = {"name": "main"}
    if told:
        listed = [{"resourceID": one} for one in told]
        status["allocatedResourcesStatus"] = [{"name": resource, "resources": listed}]
    return {
        "kind": "Pod",
        "metadata": meta,
        "spec": {"nodeName": "n", "containers": [{"name": "main", "resources": limits}]},
        "status": {"phase": phase, "containerStatuses": [status]},
    }


def test_the_kubelet_is_believed_before_the_annotation() -> None:
    assert gpus.held_gpus(pod("p", noted=("GPU-theirs",), told=("GPU-own",))) == ("GPU-own",)
    assert gpus.held_gpus(pod("p", noted=("GPU-own",))) == ("GPU-own",)


@pytest.mark.parametrize(
    ("one", "words"),
    [
        (pod("p", noted=("GPU-theirs",), told=("GPU-own",)), ("GPU-theirs", "GPU-own", "the kubelet")),
        (pod("p", noted=("GPU-1", "GPU-2")), ("GPU-1, GPU-2", "requests 1")),
        (pod("p", noted=("GPU-1",), requests=0), ("requests 0",)),
    ],
    ids=["differs", "more than it requests", "requests none"],
)
def test_what_a_pod_says_wrong_of_its_gpus(one: dict[str, Any], words: tuple[str, ...]) -> None:
    flaw = str(claim_flaw(one))
    assert all(word in flaw for word in ("Pod/a/p", gpus.DEVICES_ANNOTATION, *words)), flaw


@pytest.mark.parametrize(
    "one",
    [
        pod("p", noted=("GPU-1",), told=("GPU-1",)),
        pod("p", noted=("GPU-2", "GPU-1"), told=("GPU-1", "GPU-2"), requests=2),
        pod("p", told=("GPU-1",)),
        pod("p", noted=("GPU-1",)),
        pod("p"),
        pod("p", noted=("GPU-1",), told=("GPU-1::3",), resource=SHARED),
        pod("p", told=("GPU-1::0", "GPU-1::1"), requests=2, resource=SHARED),
    ],
    ids=["both", "another order", "told", "noted", "neither", "shared", "shared twice"],
)
def test_what_is_right(one: dict[str, Any]) -> None:
    assert claim_flaw(one) is None


def conflict(others: list[dict[str, Any]], mine: dict[str, Any]) -> str | None:
    return claim_conflict("GPU-1", [*others, mine], {mine["metadata"]["uid"]})


def test_a_gpu_that_another_pod_claims_is_not_this_ones() -> None:
    found = conflict([pod("victim", told=("GPU-1",), namespace="b")], pod("p", noted=("GPU-1",)))
    assert found is not None
    assert "Pod/b/victim" in found
    assert "GPU-1" in found
    assert conflict([pod("victim", noted=("GPU-1",), namespace="b")], pod("p", noted=("GPU-1",)))
    assert claim_conflict("GPU-1", [pod("victim", told=("GPU-1",))], set()), "also one that was named"


def test_two_pods_of_the_target_do_not_hold_one_gpu_unless_it_is_shared() -> None:
    two = [pod("p", told=("GPU-1",)), pod("q", noted=("GPU-1",))]
    assert claim_conflict("GPU-1", two, {"uid-p", "uid-q"})
    sliced = [pod("p", told=("GPU-1::0",)), pod("q", told=("GPU-1::1",))]
    assert claim_conflict("GPU-1", sliced, {"uid-p", "uid-q"}) is None


@pytest.mark.parametrize(
    "other",
    [
        pod("done", told=("GPU-1",), phase="Succeeded"),
        pod("other", told=("GPU-2",)),
        pod("liar", noted=("GPU-1",), told=("GPU-2",)),
        pod("liar", noted=("GPU-1",), requests=0),
    ],
    ids=["finished", "another GPU", "what it notes is not so", "requests none"],
)
def test_what_claims_nothing(other: dict[str, Any]) -> None:
    assert conflict([other], pod("p", told=("GPU-1",))) is None


def test_a_gpu_is_shared_only_if_all_who_hold_it_say_so() -> None:
    mine = pod("p", told=("GPU-1::0",), resource=SHARED)
    assert conflict([pod("q", told=("GPU-1::1",), resource=SHARED)], mine) is None
    assert conflict([pod("q", told=("GPU-1",))], pod("p", noted=("GPU-1::0",)))
