"""Target adapters on the shapes that people deploy."""

from copy import deepcopy
from typing import Any

import pytest
from manifests import agg, deployment, disagg_router

from offbus.errors import StepError
from offbus_steps.fields import apply, merge_patch, read, restore
from offbus_steps.preload import LIBRARY, preload_fields
from offbus_steps.target import Target
from offbus_steps.workloads import workload_of

MANIFESTS = [agg(), disagg_router(), deployment()]
IDS = ["agg", "disagg", "deployment"]


def in_place(path: str) -> str:
    """As in a cluster: the mount path itself."""
    return path


@pytest.mark.parametrize(
    ("obj", "gpus", "desired"),
    [
        (agg(), ["worker"], 2),
        (disagg_router(), ["VllmDecodeWorker", "VllmPrefillWorker"], 5),
        (deployment(), ["mistral-7b"], 2),
    ],
    ids=IDS,
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


@pytest.mark.parametrize("obj", MANIFESTS, ids=IDS)
def test_preparing_and_restoring_gives_the_manifest_back(obj: dict[str, Any]) -> None:
    fields = preload_fields(workload_of(obj), [], in_place)
    prepared = apply(obj, fields)
    assert restore(prepared, fields) == obj


@pytest.mark.parametrize("obj", MANIFESTS, ids=IDS)
def test_only_gpu_containers_are_touched(obj: dict[str, Any]) -> None:
    patch = merge_patch(obj, apply(obj, preload_fields(workload_of(obj), [], in_place)))
    text = str(patch)
    assert LIBRARY in text
    assert "Frontend" not in text
    if obj["kind"] == "Deployment":
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
    with pytest.raises(StepError, match="asks for no GPUs"):
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
    assert not workload_of({**obj, "status": {**counts, "observedGeneration": 1}}).settled
    assert workload_of({**obj, "status": {**counts, "observedGeneration": 2}}).settled


def test_a_kind_that_cannot_be_a_target_is_refused_with_those_that_can() -> None:
    obj = deepcopy(deployment()) | {"kind": "Job"}
    with pytest.raises(StepError, match="Deployment, DynamoGraphDeployment"):
        workload_of(obj)
