"""Whether evicted pods fit elsewhere. tests/kubernetes/test_real_scheduler.py has the same beside the scheduler."""

from typing import Any

import pytest

from offbus_steps.workloads.fit import Fleet, Shortage, shortage, unknowns
from offbus_steps.workloads.gpus import gpus_of
from offbus_steps.workloads.requests import pod_requests

REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


def node(name: str, gpus: int, pods: int = 9, cpu: str = "", **spec: Any) -> dict[str, Any]:
    labels = {"host": name, **spec.pop("labels", {})}
    allocatable = {"nvidia.com/gpu": str(gpus), "pods": str(pods)} | ({"cpu": cpu} if cpu else {})
    return {
        "metadata": {"name": name, "labels": labels},
        "spec": spec,
        "status": {"allocatable": allocatable},
    }


def pod_spec(gpus: int, cpu: str = "", hostPort: int = 0, **spec: Any) -> dict[str, Any]:  # noqa: N803  Kubernetes' name
    limits = ({"nvidia.com/gpu": str(gpus)} if gpus else {}) | ({"cpu": cpu} if cpu else {})
    container: dict[str, Any] = {"name": "c", "resources": {"limits": limits}}
    if hostPort:
        container["ports"] = [{"containerPort": 1, "hostPort": hostPort}]
    return {"containers": [container], **spec}


def pod(
    spec: dict[str, Any], labels: dict[str, str] | None = None, on: str = "", **meta: Any
) -> dict[str, Any]:
    return {
        "metadata": {"name": "p", "namespace": "d", "labels": labels or {}, **meta},
        "spec": {**spec, **({"nodeName": on} if on else {})},
        "status": {"phase": "Running"},
    }


def missing(pending: list[dict[str, Any]], nodes: list[dict[str, Any]], running: list[dict[str, Any]]) -> int:
    return len(shortage([pod(one) for one in pending], Fleet(nodes, running)).missing)


TAINT = {"key": "team", "value": "x", "effect": "NoSchedule"}
TAINTED = node("n", 1, taints=[TAINT])
ENGINE = {"name": "engine", "restartPolicy": "Always", "resources": {"limits": {"nvidia.com/gpu": "1"}}}
ZONE_A = {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]}
NAMED_N = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n"]}]}


def of_terms(*terms: dict[str, Any]) -> dict[str, Any]:
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": list(terms)}}
    return {"nodeAffinity": required}


IN_ZONE_A = {
    "nodeAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [{"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]}]
        }
    }
}


@pytest.mark.parametrize(
    ("pending", "nodes", "missing_"),
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
        ([pod_spec(1, affinity=of_terms({}))], [node("n", 1)], 1),
        ([pod_spec(1, affinity=of_terms())], [node("n", 1)], 1),
        ([pod_spec(1, affinity=of_terms({}, ZONE_A))], [node("n", 1, labels={"zone": "a"})], 0),
        ([pod_spec(1, affinity=of_terms(NAMED_N))], [node("n", 1)], 0),
        ([pod_spec(1, affinity=of_terms(NAMED_N))], [node("m", 1)], 1),
        ([pod_spec(1, affinity=of_terms({**NAMED_N, **ZONE_A}))], [node("n", 1)], 1),
        ([pod_spec(1, tolerations=[{"key": "team", "value": "x", "tolerationSeconds": 3}])], [TAINTED], 0),
        ([pod_spec(1, tolerations=[{"key": "team", "value": "x", "effect": "NoExecute"}])], [TAINTED], 1),
        ([pod_spec(1), pod_spec(0)], [node("n", 1, pods=1)], 1),
        ([pod_spec(1, cpu="1500m")], [node("n", 1, cpu="1")], 1),
        ([pod_spec(1, cpu="1500m")], [node("n", 1, cpu="2")], 0),
        ([pod_spec(1, cpu="1500m")], [node("n", 1)], 0),
        ([pod_spec(1, initContainers=[ENGINE])], [node("n", 1)], 1),
        ([pod_spec(1, initContainers=[ENGINE])], [node("n", 2)], 0),
        ([pod_spec(1, hostPort=80), pod_spec(1, hostPort=80)], [node("n", 2)], 1),
        ([pod_spec(1, hostPort=80), pod_spec(1, hostPort=80)], [node("n", 1), node("m", 1)], 0),
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
        "an empty term matches nothing",
        "no terms match nothing",
        "a term that matches",
        "by its name",
        "by another's name",
        "name and label",
        "tolerated for seconds",
        "tolerated for another effect",
        "pods",
        "cpu",
        "enough cpu",
        "cpu not reported",
        "sidecar",
        "sidecar fits",
        "ports",
        "ports elsewhere",
        "no gpu",
        "nothing",
    ],
)
def test_what_does_not_fit_is_named(
    pending: list[dict[str, Any]], nodes: list[dict[str, Any]], missing_: int
) -> None:
    assert missing(pending, nodes, []) == missing_


def test_gpus_of_running_pods_are_taken_and_those_of_ended_ones_are_not() -> None:
    running = pod(pod_spec(1), on="n")
    assert missing([pod_spec(1)], [node("n", 1)], [running])
    assert not missing([pod_spec(1)], [node("n", 1)], [{**running, "status": {"phase": "Succeeded"}}])


WEB = {"app": "web"}
NEAR_WEB = {"topologyKey": "zone", "labelSelector": {"matchLabels": WEB}}
TEAM = {"matchLabels": {"team": "x"}}
NOT_OLD = {"key": "track", "operator": "NotIn", "values": ["old"]}
ZONES = [node("a1", 1, labels={"zone": "a"}), node("b1", 1, labels={"zone": "b"}), node("c1", 1)]


def affine(kind: str, *terms: dict[str, Any]) -> dict[str, Any]:
    return {"affinity": {kind: {REQUIRED: list(terms)}}}


def spread(**more: Any) -> dict[str, Any]:
    one = {"topologyKey": "zone", "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule"}
    return {"topologySpreadConstraints": [{**one, "labelSelector": {"matchLabels": WEB}, **more}]}


@pytest.mark.parametrize(
    ("spec", "labels", "running", "fitting"),
    [
        (affine("podAffinity", NEAR_WEB), {}, [pod({}, WEB, "a1")], ["a1"]),
        (affine("podAffinity", NEAR_WEB), {}, [], []),
        (affine("podAffinity", NEAR_WEB), WEB, [], ["a1", "b1"]),
        (affine("podAffinity", NEAR_WEB), {}, [pod({}, WEB, "a1", namespace="other")], []),
        (affine("podAffinity", {**NEAR_WEB, "namespaces": ["x"]}), {}, [pod({}, WEB, "a1", namespace="x")], ["a1"]),
        (affine("podAffinity", {**NEAR_WEB, "namespaceSelector": {}}), {}, [pod({}, WEB, "a1", namespace="x")], ["a1"]),
        (affine("podAntiAffinity", NEAR_WEB), {}, [pod({}, WEB, "a1")], ["b1", "c1"]),
        (affine("podAntiAffinity", {**NEAR_WEB, "labelSelector": {"matchExpressions": [NOT_OLD]}}), {},
         [pod({}, {"track": "old"}, "a1"), pod({}, WEB, "b1")], ["a1", "c1"]),
        ({}, WEB, [pod(affine("podAntiAffinity", NEAR_WEB), {}, "b1")], ["a1", "c1"]),
        ({}, {}, [pod(affine("podAntiAffinity", NEAR_WEB), {}, "b1")], ["a1", "b1", "c1"]),
        (spread(), WEB, [pod({}, WEB, "a1")], ["b1"]),
        (spread(), WEB, [pod({}, WEB, "a1", deletionTimestamp="now")], ["a1", "b1"]),
        (spread(maxSkew=2), WEB, [pod({}, WEB, "a1")], ["a1", "b1"]),
        (spread(minDomains=3), WEB, [pod({}, WEB, "a1")], ["b1"]),
        (spread(minDomains=3), WEB, [pod({}, WEB, "a1"), pod({}, WEB, "b1")], []),
        (spread(whenUnsatisfiable="ScheduleAnyway"), WEB, [pod({}, WEB, "a1")], ["a1", "b1", "c1"]),
        (spread(matchLabelKeys=["v"]), {**WEB, "v": "2"}, [pod({}, {**WEB, "v": "1"}, "a1")], ["a1", "b1"]),
        ({**spread(), "nodeSelector": {"zone": "a"}}, WEB, [pod({}, WEB, "a1")], ["a1"]),
        ({**spread(nodeAffinityPolicy="Ignore"), "nodeSelector": {"zone": "a"}}, WEB, [pod({}, WEB, "a1")], []),
    ],
    ids=[
        "near", "near nobody", "first of its kind", "another namespace", "named namespace", "all namespaces", "apart",
        "apart by expression", "unwanted", "not meant", "spread", "leaving", "skew 2", "domains", "too few domains",
        "soft", "same version", "selected", "selection ignored",
    ],
)  # fmt: skip
def test_pods_attract_and_repel_pods(
    spec: dict[str, Any], labels: dict[str, str], running: list[dict[str, Any]], fitting: list[str]
) -> None:
    refusals = Fleet(ZONES, running).refusals(pod({**pod_spec(1), **spec}, labels))
    assert [name for name, why in refusals.items() if not why] == fitting


def test_a_cordoned_node_still_counts_for_topology() -> None:
    """A drain's surprise: the pod may not go to the fuller zone, for the emptier one is still there."""
    spec = {**pod_spec(1), **spread()}
    fleet = Fleet(ZONES, [pod({}, WEB, "b1")], closed=["a1"])
    assert shortage([pod(spec, WEB)], fleet).missing
    assert not shortage([pod(spec, WEB)], Fleet(ZONES[1:], [pod({}, WEB, "b1")])).missing


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ({}, []),
        ({"volumes": [{"name": "shm", "emptyDir": {}}, {"name": "m", "nfs": {}}]}, []),
        ({"volumes": [{"name": "m", "persistentVolumeClaim": {"claimName": "m"}}]}, ["volume m may be bound"]),
        ({"volumes": [{"name": "m", "ephemeral": {}}]}, ["volume m may be bound"]),
        ({"resourceClaims": [{"name": "gpu"}]}, ["ResourceClaim gpu"]),
        ({"schedulerName": "kai-scheduler"}, ["its scheduler is kai-scheduler"]),
        ({"schedulerName": "default-scheduler"}, []),
        ({"schedulingGates": [{"name": "quota"}]}, ["scheduling gate quota"]),
        (affine("podAffinity", {**NEAR_WEB, "namespaceSelector": TEAM}), ["podAffinity selects"]),
    ],
    ids=["plain", "harmless", "claim", "ephemeral", "device", "scheduler", "default", "gate", "namespaces"],
)  # fmt: skip
def test_what_cannot_be_told_is_said(spec: dict[str, Any], why: list[str]) -> None:
    one = pod({**pod_spec(1), **spec}, WEB)
    found = unknowns(one)
    assert len(found) == len(why)
    assert all(part in text for part, text in zip(why, found, strict=True))
    if not why or "persistentVolumeClaim" in str(spec):
        told = shortage([one], Fleet([node("n", 1)], []))
        assert told == Shortage((), tuple(f"Pod/d/p: {text}" for text in found))


def test_the_shortage_names_pod_and_reasons() -> None:
    nodes = [node("n", 1), node("m", 2, unschedulable=True)]
    (said,) = shortage([pod(pod_spec(2))], Fleet(nodes, [])).missing
    assert (
        said
        == "2 GPU(s) on one node for Pod/d/p (1 Insufficient nvidia.com/gpu, 1 node(s) were unschedulable)"
    )


def test_the_shortage_counts_gpus_as_the_scheduler_does() -> None:
    warm_up = {"name": "warm-up", "resources": {"limits": {"nvidia.com/gpu": "2"}}}
    one = pod({**pod_spec(1), "initContainers": [warm_up]})
    (said,) = shortage([one], Fleet([node("n", 1)], [])).missing
    assert said == "2 GPU(s) on one node for Pod/d/p (1 Insufficient nvidia.com/gpu)"


def test_what_needs_most_gpus_on_one_node_is_placed_first() -> None:
    warm_up = {"name": "warm-up", "resources": {"limits": {"nvidia.com/gpu": "4"}}}
    large = pod({**pod_spec(1, nodeSelector={"host": "n"}), "initContainers": [warm_up]})
    small = pod(pod_spec(2), name="small")
    assert shortage([small, large], Fleet([node("n", 4), node("m", 5)], [])) == Shortage((), ())


@pytest.mark.parametrize(
    "amounts", [({"requests": 1, "limits": None}), ({"limits": 1, "requests": None})], ids=str
)
def test_an_amount_without_a_value_is_none_given(amounts: dict[str, int | None]) -> None:
    container = {"name": "c", "resources": {kind: {"nvidia.com/gpu": one} for kind, one in amounts.items()}}
    assert gpus_of(container) == 1
    assert pod_requests({"containers": [container]}) == {"nvidia.com/gpu": 1}
