"""The example graphs of Dynamo's public repository are read, targeted and patched right, each named by its path."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from offbus.errors import StepError
from offbus_sandbox.controllers.graph_template import deployment_of, services_of
from offbus_steps.workloads.base import Template
from offbus_steps.workloads.dynamo_graph import COMPONENT_LABEL, GRAPH_LABEL
from offbus_steps.workloads.fields import apply, restore
from offbus_steps.workloads.manifest import read_manifest
from offbus_steps.workloads.shim_fields import preload_fields
from offbus_steps.workloads.shim_mounts import LIBRARY, MOUNTS, VOLUMES
from offbus_steps.workloads.target import Target
from offbus_steps.workloads.workload_kinds import workload_of
from tests.kits.steps.dynamo_examples import EXAMPLES, Example, Part, manifest

pytestmark = pytest.mark.parametrize("example", EXAMPLES, ids=str)

BACKENDS = ("vllm", "sglang", "trtllm")


@pytest.fixture
def graph(example: Example, tmp_path: Path) -> dict[str, Any]:
    """The graph of the file, as `deploy` reads it."""
    file = tmp_path / "graph.yaml"
    file.write_text(yaml.safe_dump_all(manifest(example), sort_keys=False))
    objects = read_manifest(file)
    assert [one["kind"] for one in objects] == [*example.beside, "DynamoGraphDeployment"]
    return {**objects[-1], "metadata": {**objects[-1]["metadata"], "uid": "u", "generation": 1}}


def in_place(path: str, _sub: str = "") -> str:
    return path


def test_gpus_and_pods_are_found(example: Example, graph: dict[str, Any]) -> None:
    workload = workload_of(graph)
    assert [facts(one) for one in workload.gpu_templates()] == [
        (part.name, part.engine, part.gpus, part.replicas * part.nodes) for part in example.gpu_parts
    ]
    assert workload.desired == sum(part.replicas * part.nodes for part in example.parts)
    assert dict(workload.selector) == {GRAPH_LABEL: example.name}


def facts(template: Template) -> tuple[str, str, int, int]:
    return template.labels[COMPONENT_LABEL], template.container, template.gpus, template.replicas


def test_the_frontend_is_found_where_there_is_one(example: Example, graph: dict[str, Any]) -> None:
    if any(part.kind == "frontend" for part in example.parts):
        assert Target.of(workload_of(graph)).port == 8000
        return
    with pytest.raises(StepError, match="no component of type frontend"):
        Target.of(workload_of(graph))
    assert Target.of(workload_of(graph), port=9000).port == 9000


def test_the_shim_goes_into_the_gpu_containers_and_nowhere_else(
    example: Example, graph: dict[str, Any]
) -> None:
    prepared = apply(graph, preload_fields(workload_of(graph), [], in_place))
    services = services_of(prepared)
    for part in example.parts:
        pod = deployment_of(prepared, part.name, services[part.name])["spec"]["template"]["spec"]
        for container in pod["containers"]:
            assert loaded(container, pod) == (bool(part.gpus) and container["name"] == part.engine)
            if container["name"] == part.engine:
                assert kept(part) <= {one["name"] for one in container.get("env", ())}
                assert set(part.mounts) <= {one["mountPath"] for one in container.get("volumeMounts", ())}
        assert set(part.volumes) <= {one["name"] for one in pod.get("volumes", ())}


def kept(part: Part) -> set[str]:
    return {*part.env, *part.envs}


def loaded(container: dict[str, Any], pod: dict[str, Any]) -> bool:
    """Whether a container has all of it: the environment, the mounts, and the volumes behind them."""
    env = {one["name"]: one.get("value") for one in container.get("env", ())}
    mounts = {one["mountPath"]: one["name"] for one in container.get("volumeMounts", ())}
    volumes = {one["name"]: one for one in pod.get("volumes", ())}
    found = (
        env.get("LD_PRELOAD") == LIBRARY,
        env.get("OFFBUS_PAGE_DIR") == "/run/offbus/page",
        env.get("OFFBUS_EVENTS_DIR") == "/run/offbus/events",
        all(one in container.get("volumeMounts", ()) for one in MOUNTS),
        all(volumes.get(mounts.get(one["hostPath"]["path"], "")) == one for one in VOLUMES),
    )
    assert len(set(found)) == 1, found
    return found[0]


def test_the_undo_gives_the_manifest_back(example: Example, graph: dict[str, Any]) -> None:
    fields = preload_fields(workload_of(graph), [], in_place)
    assert restore(apply(graph, fields), fields) == graph


def test_every_backend_is_there_aggregated_disaggregated_and_over_nodes(example: Example) -> None:
    here = [one for one in EXAMPLES if one.path.split("/")[2] == example.path.split("/")[2]]
    assert example.path.split("/")[2] in BACKENDS
    assert any(len(one.gpu_parts) == 1 for one in here)
    assert any(len(one.gpu_parts) == 2 for one in here)
    assert any(part.nodes > 1 for one in here for part in one.parts)
    assert {one.version for one in here} == {"v1alpha1", "v1beta1"}
