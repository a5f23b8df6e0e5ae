"""When the rollout of a target surges, when it is settled, and counts that may be empty."""

from typing import Any

import pytest

from offbus_steps.workloads.fields import apply, plan
from offbus_steps.workloads.workload_kinds import workload_of
from tests.kits.steps.manifests import (
    agg,
    beta_agg,
    deployment,
    leader_worker_set,
    stateful_set,
)


@pytest.mark.parametrize(
    ("strategy", "replicas", "surge"),
    [
        ({}, 2, 1),
        ({}, 4, 0),
        ({"type": "Recreate"}, 2, 0),
        ({"rollingUpdate": {"maxUnavailable": 1}}, 2, 0),
        ({"rollingUpdate": {"maxUnavailable": "50%"}}, 2, 0),
        ({}, 0, 0),
    ],
    ids=["25% of 2", "25% of 4", "recreate", "one", "half", "none"],
)
def test_a_rollout_surges_when_it_may_not_stop_a_pod_first(
    strategy: dict[str, Any], replicas: int, surge: int
) -> None:
    obj = deployment()
    obj["spec"] |= {"strategy": strategy, "replicas": replicas}
    assert workload_of(obj).surge() == surge


def test_a_status_of_an_older_generation_is_not_settled() -> None:
    obj = deployment()
    counts = {"replicas": 2, "updatedReplicas": 2, "readyReplicas": 2}
    obj["metadata"]["generation"] = 2
    assert not workload_of({**obj, "status": {**counts, "observedGeneration": 1}}).rolled_out
    assert workload_of({**obj, "status": {**counts, "observedGeneration": 2}}).rolled_out


@pytest.mark.parametrize(
    ("obj", "change", "why"),
    [
        (deployment(), {"paused": True}, "it is paused"),
        (stateful_set(), {"updateStrategy": {"type": "OnDelete"}}, "OnDelete"),
        (stateful_set(), {"updateStrategy": {"rollingUpdate": {"partition": 1}}}, "partition 1"),
        (
            leader_worker_set(),
            {"rolloutStrategy": {"rollingUpdateConfiguration": {"partition": 1}}},
            "partition 1",
        ),
    ],
    ids=["paused", "on delete", "partition", "groups"],
)
def test_a_workload_that_would_keep_its_pods_says_so(
    obj: dict[str, Any], change: dict[str, Any], why: str
) -> None:
    assert workload_of(obj).not_rolling == ""
    assert why in workload_of({**obj, "spec": {**obj["spec"], **change}}).not_rolling


@pytest.mark.parametrize("kind", ["PodClique", "PodCliqueScalingGroup", "LeaderWorkerSet"])
def test_only_components_of_deployments_surge(kind: str) -> None:
    for obj, field, name in (
        (agg(), "services", "worker"),
        (beta_agg(), "components", "VllmDecodeWorker"),
    ):
        assert workload_of(obj).surge() == 1
        assert workload_of({**obj, "status": {field: {name: {"componentKind": kind}}}}).surge() == 0


def test_groups_surge_whole_when_none_may_be_missing() -> None:
    obj = leader_worker_set()
    assert workload_of(obj).surge() == 0
    none = {"rollingUpdateConfiguration": {"maxUnavailable": 0, "maxSurge": 1}}
    assert workload_of({**obj, "spec": {**obj["spec"], "rolloutStrategy": none}}).surge() == 2


def test_a_set_is_settled_when_its_revisions_agree() -> None:
    counts = {"observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "readyReplicas": 2}
    revisions = {"currentRevision": "a", "updateRevision": "a"}
    assert workload_of({**stateful_set(), "status": {**counts, **revisions}}).rolled_out
    assert not workload_of(
        {**stateful_set(), "status": {**counts, **revisions, "updateRevision": "b"}}
    ).rolled_out


def test_groups_are_settled_by_counts_condition_and_generation() -> None:
    counts = {"replicas": 2, "updatedReplicas": 2, "readyReplicas": 2}
    updating = {"conditions": [{"type": "UpdateInProgress", "status": "True"}]}
    obj = leader_worker_set()
    assert workload_of({**obj, "status": counts}).rolled_out
    assert workload_of({**obj, "status": {**counts, "observedGeneration": 1}}).rolled_out
    assert not workload_of({**obj, "status": {**counts, "observedGeneration": 0}}).rolled_out
    assert not workload_of({**obj, "status": {**counts, **updating}}).rolled_out
    assert not workload_of({**obj, "status": {**counts, "readyReplicas": 1}}).rolled_out


@pytest.mark.parametrize("obj", [agg(), beta_agg()], ids=["v1alpha1", "v1beta1"])
def test_operators_before_observed_generations_are_believed_when_the_pods_agree(obj: dict[str, Any]) -> None:
    ready = {"type": "Ready", "status": "True"}
    obj["metadata"]["generation"] = 2
    for state, settled in (("successful", True), ("pending", False)):
        assert workload_of({**obj, "status": {"state": state, "conditions": [ready]}}).rolled_out == settled
    for observed, settled in ((1, False), (2, True)):
        known = {**ready, "observedGeneration": observed}
        status = {"state": "successful", "conditions": [known]}
        assert workload_of({**obj, "status": status}).rolled_out == settled
        status = {"state": "successful", "conditions": [ready], "observedGeneration": observed}
        assert workload_of({**obj, "status": status}).rolled_out == settled


def test_a_deployment_without_any_status_is_not_settled() -> None:
    obj = deployment()
    obj["spec"]["replicas"] = 0
    assert not workload_of({**obj, "status": {}}).rolled_out


@pytest.mark.parametrize(
    ("obj", "path", "desired"),
    [
        (deployment(), ("spec", "replicas"), 1),
        (stateful_set(), ("spec", "replicas"), 1),
        (leader_worker_set(), ("spec", "replicas"), 2),
        (leader_worker_set(), ("spec", "leaderWorkerTemplate", "size"), 2),
        (agg(), ("spec", "services", "worker", "replicas"), 2),
        (agg(), ("spec", "services", "worker", "multinode"), 2),
        (beta_agg(), ("spec", "components", ("name", "VllmDecodeWorker"), "replicas"), 2),
        (beta_agg(), ("spec", "components", ("name", "VllmDecodeWorker"), "multinode", "nodeCount"), 2),
    ],
    ids=["deployment", "set", "groups", "size", "service", "one node", "component", "node count"],
)
def test_an_empty_count_is_the_default(obj: dict[str, Any], path: tuple[Any, ...], desired: int) -> None:
    empty = workload_of(apply(obj, [plan(obj, path, None)]))
    assert empty.desired == desired
    assert [one.gpus for one in empty.gpu_templates()]
    assert empty.surge() >= 0
    assert empty.not_rolling == ""


@pytest.mark.parametrize(
    ("obj", "path"),
    [
        (deployment(), ("spec", "strategy", "rollingUpdate", "maxUnavailable")),
        (stateful_set(), ("spec", "updateStrategy", "rollingUpdate", "partition")),
        (
            leader_worker_set(),
            ("spec", "rolloutStrategy", "rollingUpdateConfiguration", "maxUnavailable"),
        ),
        (leader_worker_set(), ("spec", "rolloutStrategy", "rollingUpdateConfiguration", "partition")),
    ],
    ids=["unavailable", "partition", "unavailable groups", "groups' partition"],
)
def test_an_empty_limit_of_a_rollout_is_the_default(obj: dict[str, Any], path: tuple[Any, ...]) -> None:
    workload, empty = workload_of(obj), workload_of(apply(obj, [plan(obj, path, None)]))
    assert (empty.surge(), empty.not_rolling) == (workload.surge(), workload.not_rolling)
