"""Target adapters on the shapes that people deploy."""

from copy import deepcopy
from typing import Any

import pytest

from offbus.errors import StepError
from offbus_steps.prepare.mutating_policy import policy_of
from offbus_steps.watch.projections import WorkloadProjection, project
from offbus_steps.workloads.fields import apply, merge_patch, plan, read, restore
from offbus_steps.workloads.gpus import allocatable_gpus
from offbus_steps.workloads.shim_fields import preload_fields
from offbus_steps.workloads.shim_mounts import LIBRARY
from offbus_steps.workloads.target import Target
from offbus_steps.workloads.workload_kinds import workload_of
from tests.kits.steps.manifests import (
    agg,
    beta_agg,
    deployment,
    disagg_router,
    leader_worker_set,
    stateful_set,
)

MANIFESTS = [agg(), disagg_router(), deployment(), beta_agg(), stateful_set()]
IDS = ["agg", "disagg", "deployment", "beta", "statefulset"]
GROUPS = [leader_worker_set(), leader_worker_set(own_leader=False)]


def in_place(path: str, _sub: str = "") -> str:
    """As in a cluster: the mount path itself."""
    return path


@pytest.mark.parametrize(
    ("obj", "gpus", "desired"),
    [
        (agg(), ["worker"], 2),
        (disagg_router(), ["VllmDecodeWorker", "VllmPrefillWorker"], 5),
        (deployment(), ["mistral-7b"], 2),
        (beta_agg(), ["VllmDecodeWorker"], 2),
        (stateful_set(), ["mistral-7b"], 2),
        (GROUPS[0], ["leader vllm-leader", "worker vllm-worker"], 4),
        (GROUPS[1], ["vllm-worker"], 4),
    ],
    ids=[*IDS, "groups", "groups of one template"],
)
def test_gpu_containers_are_found_by_what_they_ask_for(
    obj: dict[str, Any], gpus: list[str], desired: int
) -> None:
    workload = workload_of(obj)
    assert [one.name for one in workload.gpu_templates()] == gpus
    assert workload.desired == desired


@pytest.mark.parametrize("obj", MANIFESTS, ids=IDS)
def test_the_frontend_is_on_port_8000(obj: dict[str, Any]) -> None:
    assert Target.of(workload_of(obj)).port == 8000


@pytest.mark.parametrize("obj", [*MANIFESTS, *GROUPS], ids=[*IDS, "groups", "groups of one template"])
def test_preparing_and_restoring_gives_the_manifest_back(obj: dict[str, Any]) -> None:
    fields = preload_fields(workload_of(obj), [], in_place)
    prepared = apply(obj, fields)
    assert restore(prepared, fields) == obj


@pytest.mark.parametrize("obj", MANIFESTS, ids=IDS)
def test_only_gpu_containers_are_touched(obj: dict[str, Any]) -> None:
    patch = merge_patch(obj, apply(obj, preload_fields(workload_of(obj), [], in_place)))
    text = str(patch)
    assert LIBRARY in text
    if "services" in obj["spec"]:  # a patch replaces lists whole
        assert "Frontend" not in text
    if "template" in obj["spec"]:
        logs = next(c for c in patch["spec"]["template"]["spec"]["containers"] if c["name"] == "logs")
        assert logs == {"name": "logs", "image": "fluent-bit"}


def test_a_preload_in_the_spec_is_chained_behind_ours() -> None:
    obj = deployment()
    env = obj["spec"]["template"]["spec"]["containers"][1]["env"]
    env.append({"name": "LD_PRELOAD", "value": "/opt/cuInterpose.so"})
    workload = workload_of(obj)
    (preload, *_) = preload_fields(workload, [], in_place)
    assert preload.intended["value"] == f"{LIBRARY}:/opt/cuInterpose.so"
    assert preload.before == {"name": "LD_PRELOAD", "value": "/opt/cuInterpose.so"}


def test_a_preload_that_the_operator_injects_is_read_off_the_running_pod() -> None:
    workload = workload_of(agg())
    labels = {"nvidia.com/dynamo-component": "worker"}
    env = [{"name": "LD_PRELOAD", "value": "/snapshot/cuInterpose.so"}]
    pod = {
        "metadata": {"name": "p", "labels": labels},
        "spec": {"containers": [{"name": "main", "env": env}]},
    }
    (preload, *_) = preload_fields(workload, [pod], in_place)
    assert preload.intended["value"] == f"{LIBRARY}:/snapshot/cuInterpose.so"
    assert not preload.existed


def test_what_a_running_pod_has_wins_over_the_spec() -> None:
    obj = agg()
    main = obj["spec"]["services"]["worker"]["extraPodSpec"]["mainContainer"]
    main["env"] = [{"name": "LD_PRELOAD", "value": "/mine.so"}]
    labels = {"nvidia.com/dynamo-component": "worker"}
    env = [{"name": "LD_PRELOAD", "value": "/snapshot/cuInterpose.so:/mine.so"}]
    pod = {
        "metadata": {"name": "p", "labels": labels},
        "spec": {"containers": [{"name": "engine-0", "env": env}]},
    }
    (preload, *_) = preload_fields(workload_of(obj), [pod], in_place)
    assert preload.intended["value"] == f"{LIBRARY}:/snapshot/cuInterpose.so:/mine.so"


@pytest.mark.parametrize(
    ("obj", "field"), [(agg(), "envs"), (beta_agg(), "env")], ids=["v1alpha1", "v1beta1"]
)
def test_a_preload_of_the_whole_graph_is_chained(obj: dict[str, Any], field: str) -> None:
    obj["spec"][field] = [{"name": "LD_PRELOAD", "value": "/all.so"}]
    (preload, *_) = preload_fields(workload_of(obj), [], in_place)
    assert preload.intended["value"] == f"{LIBRARY}:/all.so"
    assert preload.path[-2:] == ("env", ("name", "LD_PRELOAD"))


def test_leaders_and_workers_keep_their_own_preloads() -> None:
    index = "leaderworkerset.sigs.k8s.io/worker-index"

    def pod(number: str, container: str, preload: str) -> dict[str, Any]:
        env = [{"name": "LD_PRELOAD", "value": preload}]
        meta = {"name": f"p{number}", "labels": {index: number}}
        return {"metadata": meta, "spec": {"containers": [{"name": container, "env": env}]}}

    running = [pod("0", "vllm-leader", "/leader.so"), pod("1", "vllm-worker", "/worker.so")]
    fields = preload_fields(workload_of(leader_worker_set()), running, in_place)
    values = [one.intended["value"] for one in fields if one.intended["name"] == "LD_PRELOAD"]
    assert values == [f"{LIBRARY}:/leader.so", f"{LIBRARY}:/worker.so"]


def test_a_preload_from_elsewhere_is_refused() -> None:
    obj = deployment()
    source = {"configMapKeyRef": {"name": "c", "key": "k"}}
    obj["spec"]["template"]["spec"]["containers"][1]["env"].append(
        {"name": "LD_PRELOAD", "valueFrom": source}
    )
    with pytest.raises(StepError, match="valueFrom"):
        preload_fields(workload_of(obj), [], in_place)


def test_preparing_twice_is_refused() -> None:
    obj = deployment()
    prepared = apply(obj, preload_fields(workload_of(obj), [], in_place))
    with pytest.raises(StepError, match="already"):
        preload_fields(workload_of(prepared), [], in_place)


def test_a_workload_without_gpus_is_refused() -> None:
    obj = agg()
    del obj["spec"]["services"]["worker"]["resources"]
    with pytest.raises(StepError, match="requests no GPUs"):
        preload_fields(workload_of(obj), [], in_place)


def test_graph_envs_with_a_preload_are_set_where_they_are() -> None:
    obj = agg()
    obj["spec"]["services"]["worker"]["envs"] = [{"name": "LD_PRELOAD", "value": "/a.so"}]
    workload = workload_of(obj)
    prepared = apply(obj, preload_fields(workload, [], in_place))
    path = ("spec", "services", "worker", "envs", ("name", "LD_PRELOAD"), "value")
    assert read(prepared, path) == f"{LIBRARY}:/a.so"


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


@pytest.mark.parametrize(
    ("amount", "gpus"),
    [(None, 0), ("0", 0), (1, 1), ("1", 1), ("1.0", 1), (1.0, 1), ("1000m", 1), ("2", 2)],
    ids=str,
)
def test_amounts_of_gpus_are_quantities(amount: Any, gpus: int) -> None:
    found = [gpus] if gpus else []
    one = deployment()
    one["spec"]["template"]["spec"]["containers"][1]["resources"] = {"limits": {"nvidia.com/gpu": amount}}
    assert [template.gpus for template in workload_of(one).gpu_templates()] == found
    short = agg()
    short["spec"]["services"]["worker"]["resources"] = {"limits": {"gpu": amount}}
    assert [template.gpus for template in workload_of(short).gpu_templates()] == found
    node = {"metadata": {"name": "n"}, "status": {"allocatable": {"nvidia.com/gpu": amount}}}
    assert allocatable_gpus(node) == gpus


@pytest.mark.parametrize("amount", ["two", "0.5", "500m", -1, True], ids=str)
def test_an_amount_that_cannot_be_is_refused_in_words(amount: Any) -> None:
    obj = deployment()
    obj["spec"]["template"]["spec"]["containers"][1]["resources"] = {"limits": {"nvidia.com/gpu": amount}}
    with pytest.raises(StepError, match=r"container mistral-7b: nvidia.com/gpu is .*not a"):
        workload_of(obj).gpu_templates()
    short = agg()
    short["spec"]["services"]["worker"]["resources"] = {"limits": {"gpu": amount}}
    with pytest.raises(StepError, match=r"worker: gpu is .*not a"):
        workload_of(short).gpu_templates()


def test_another_workload_that_cannot_be_read_does_not_end_the_watch() -> None:
    obj = agg()
    obj["spec"]["services"]["worker"]["resources"] = {"limits": {"gpu": "two"}}
    seen = project(obj)
    assert isinstance(seen, WorkloadProjection)
    assert not seen.shim


@pytest.mark.parametrize("obj", [deployment(), stateful_set()], ids=["deployment", "set"])
def test_a_selectors_expressions_are_the_targets(obj: dict[str, Any]) -> None:
    expressions = [
        {"key": "track", "operator": "NotIn", "values": ["canary"]},
        {"key": "app", "operator": "Exists", "values": None},
    ]
    obj["spec"]["selector"] = {"matchExpressions": expressions}
    target = Target.of(workload_of(obj))
    assert target.selects({"app": "x", "track": "stable"})
    assert target.selects({"app": "x"})
    assert not target.selects({"app": "x", "track": "canary"})
    assert not target.selects({})
    assert target.selector_text == "track notin (canary),app"
    assert target.label_selector == {
        "matchLabels": {},
        "matchExpressions": [expressions[0], {"key": "app", "operator": "Exists"}],
    }
    assert Target.model_validate_json(target.model_dump_json()) == target
    policy = policy_of("n", "r", target, {}, in_place)
    assert policy["spec"]["matchConstraints"]["objectSelector"] == target.label_selector


@pytest.mark.parametrize(
    "selector",
    [
        {},
        {"matchLabels": {}},
        {"matchExpressions": [{"key": "a", "operator": "Gt", "values": ["1"]}]},
        {"matchExpressions": [3]},
    ],
    ids=["none", "empty", "operator", "no expression"],
)
def test_a_selector_that_kubernetes_would_refuse_is_refused(selector: dict[str, Any]) -> None:
    obj = deployment()
    obj["spec"]["selector"] = selector
    with pytest.raises(StepError, match=r"selects no pods|is no selector's expression"):
        Target.of(workload_of(obj))


def test_groups_are_asked_at_their_leaders() -> None:
    workload = workload_of(leader_worker_set())
    assert workload.port == 8080
    assert workload.serving["metadata"]["labels"] == {
        "role": "leader",
        "leaderworkerset.sigs.k8s.io/name": "vllm",
        "leaderworkerset.sigs.k8s.io/worker-index": "0",
    }


def test_gpus_of_another_make_are_not_ours() -> None:
    obj = agg()
    obj["spec"]["services"]["worker"]["resources"] = {"limits": {"gpu": "1", "gpuType": "gpu.intel.com/xe"}}
    assert workload_of(obj).gpu_templates() == []


def test_a_kind_that_cannot_be_a_target_is_refused_with_those_that_can() -> None:
    obj = deepcopy(deployment()) | {"kind": "Job"}
    with pytest.raises(StepError, match="Deployment, DynamoGraphDeployment"):
        workload_of(obj)
