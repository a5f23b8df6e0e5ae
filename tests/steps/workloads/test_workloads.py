"""Target adapters on the shapes that people deploy."""

from copy import deepcopy
from typing import Any

import pytest

from offbus.errors import StepError
from offbus_steps.prepare.mutating_policy import policy_of
from offbus_steps.watch.projections import WorkloadProjection, project
from offbus_steps.workloads.fields import apply, merge_patch, read, restore
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


@pytest.mark.parametrize("says", ["vllm-worker", "vllm-leader"])
def test_what_a_process_of_another_container_says_of_its_image_is_not_chained(says: str) -> None:
    """A process can rewrite its own environment: what it says would be loaded into other pods of the workload."""
    index, gpus = "leaderworkerset.sigs.k8s.io/worker-index", {"limits": {"nvidia.com/gpu": "8"}}
    running = [
        {
            "metadata": {"name": f"p{number}", "labels": {index: str(number)}},
            "spec": {"containers": [{"name": name, "resources": gpus}]},
        }
        for number, name in enumerate(("vllm-leader", "vllm-worker"))
    ]
    fields = preload_fields(workload_of(leader_worker_set()), running, in_place, {says: "/cache/x.so"})
    values = [one.intended["value"] for one in fields if one.intended["name"] == "LD_PRELOAD"]
    expected = [LIBRARY, f"{LIBRARY}:/cache/x.so"]
    assert values == (expected if says == "vllm-worker" else expected[::-1])


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
