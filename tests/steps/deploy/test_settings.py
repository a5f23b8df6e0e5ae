"""What `set` changes in manifests that people write: where their own containers say that it belongs, or a refusal."""

from typing import Any

import pytest

from offbus.errors import StepError
from offbus_sandbox.controllers.graph_template import deployment_of, services_of
from offbus_steps.deploy.settings import with_settings
from offbus_steps.deploy.step_types import Settings
from offbus_steps.workloads.workload_kinds import workload_of
from tests.kits.steps.dynamo_examples import EXAMPLES, Example, manifest
from tests.kits.steps.manifests import agg, beta_agg, deployment, disagg_router, leader_worker_set


def containers(obj: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The containers of a Deployment, or those named main of a graph, by the component's name."""
    if obj["kind"] == "Deployment":
        return {one["name"]: one for one in obj["spec"]["template"]["spec"]["containers"]}
    made = {name: deployment_of(obj, name, one) for name, one in services_of(obj).items()}
    return {name: one["spec"]["template"]["spec"]["containers"][0] for name, one in made.items()}


def env_of(container: dict[str, Any]) -> dict[str, str]:
    return {one["name"]: one["value"] for one in container.get("env") or () if "value" in one}


@pytest.mark.parametrize("obj", [agg(), beta_agg(), disagg_router()], ids=["alpha", "beta", "disaggregated"])
def test_the_image_is_that_of_all_who_shared_it(obj: dict[str, Any]) -> None:
    changed = with_settings(obj, Settings(image="mine:1"))
    assert {one["image"] for one in containers(changed).values()} == {"mine:1"}


def test_a_sidecar_keeps_its_own_image() -> None:
    found = containers(with_settings(deployment(), Settings(image="mine:1")))
    assert found["mistral-7b"]["image"] == "mine:1"
    assert found["logs"]["image"] == "fluent-bit"


@pytest.mark.parametrize(
    ("command", "args", "expected"),
    [
        (["python3", "-m", "dynamo.vllm"], ["--model", "old"], ["--model", "new"]),
        (["python3"], ["--model=old", "--x", "1"], ["--model=new", "--x", "1"]),
        (["python3"], ["--model-path", "old", "--served-model-name", "old"], None),
        (["vllm", "serve"], ["--port", "1"], False),
        (["vllm"], ["serve", "old", "--port", "1"], ["serve", "new", "--port", "1"]),
        (["sh", "-c"], ["python3 -m dynamo.vllm --model old --tp 2"], None),
    ],
    ids=["flag", "equals", "sglang", "nothing", "serve", "shell"],
)
def test_the_model_is_replaced_where_a_container_is_told_it(
    command: list[str], args: list[str], expected: list[str] | bool | None
) -> None:
    obj = agg()
    obj["spec"]["services"]["worker"]["extraPodSpec"]["mainContainer"] |= {"command": command, "args": args}
    if expected is False:
        with pytest.raises(StepError, match=r"set\.model cannot be applied"):
            with_settings(obj, Settings(model="new"))
        return
    found = containers(with_settings(obj, Settings(model="new")))["worker"]
    wanted = [one.replace("old", "new") for one in args] if expected is None else expected
    assert found["args"] == wanted
    assert found["command"] == command


def test_models_in_the_environment_are_replaced_and_references_are_not() -> None:
    obj = agg()
    main = obj["spec"]["services"]["worker"]["extraPodSpec"]["mainContainer"]
    source = {"configMapKeyRef": {"name": "c", "key": "k"}}
    main["env"] = [{"name": "MODEL_PATH", "value": "old"}, {"name": "MODEL_NAME", "valueFrom": source}]
    found = containers(with_settings(obj, Settings(model="new")))["worker"]
    assert [one for one in found["env"] if one["name"].startswith("MODEL")] == [
        {"name": "MODEL_PATH", "value": "new"},
        {"name": "MODEL_NAME", "valueFrom": source},
    ]


@pytest.mark.parametrize("example", [one for one in EXAMPLES if one.gpu_parts], ids=str)
def test_tensor_parallelism_changes_flag_and_gpus_of_every_engine(example: Example) -> None:
    *_, graph = manifest(example)
    graph["metadata"]["namespace"] = "n"
    for part in example.gpu_parts:
        name = part.name
        if example.version == "v1alpha1":
            main = graph["spec"]["services"][name]["extraPodSpec"]["mainContainer"]
        else:
            component = next(one for one in graph["spec"]["components"] if one["name"] == name)
            main = next(
                one for one in component["podTemplate"]["spec"]["containers"] if one["name"] == part.engine
            )
        main["args"] = ["--model", "m", "--tp-size", "1"]
    changed = workload_of(with_settings(graph, Settings(tensor_parallel=8)))
    for template, part in zip(changed.gpu_templates(), example.gpu_parts, strict=True):
        assert template.gpus == 8 // part.nodes
    assert str(changed.obj).count("'--tp-size', '8'") == len(example.gpu_parts)


@pytest.mark.parametrize("flag", ["--tp_size", "--tensor_parallel_size", "--tp", "-tp"])
def test_each_engines_own_spelling_of_the_flag_is_changed(flag: str) -> None:
    obj = agg()
    main = obj["spec"]["services"]["worker"]["extraPodSpec"]["mainContainer"]
    main["args"] = ["serve", "m", flag, "1"]
    found = containers(with_settings(obj, Settings(tensor_parallel=2)))["worker"]
    assert found["args"] == ["serve", "m", flag, "2"]


def test_an_engine_without_the_flag_gets_it() -> None:
    found = containers(with_settings(agg(), Settings(tensor_parallel=2)))["worker"]
    assert found["args"] == ["--model", "Qwen/Qwen3-0.6B", "--tensor-parallel-size", "2"]
    assert found["resources"]["limits"] == {"nvidia.com/gpu": "2"}


def test_parallelism_that_nodes_cannot_share_is_refused() -> None:
    with pytest.raises(StepError, match="3 cannot be divided by the 2 nodes"):
        with_settings(leader_worker_set(), Settings(tensor_parallel=3))


def test_engines_that_nobody_tells_their_parallelism_are_refused() -> None:
    obj = agg()
    obj["spec"]["services"]["worker"]["extraPodSpec"]["mainContainer"] |= {"args": ["run --model m"]}
    with pytest.raises(StepError, match="cannot be applied to worker"):
        with_settings(obj, Settings(tensor_parallel=2))


@pytest.mark.parametrize("obj", [agg(), beta_agg(), deployment()], ids=["alpha", "beta", "deployment"])
def test_log_level_and_environment_go_to_the_engines(obj: dict[str, Any]) -> None:
    changed = with_settings(obj, Settings(log_level="debug", env={"A": "1"}))
    found = containers(changed)
    engines = {one.container for one in workload_of(obj).gpu_templates()}
    named = {one.name for one in workload_of(obj).gpu_templates()} | engines
    for name, container in found.items():
        assert (env_of(container).get("DYN_LOG") == "debug") == (name in named)
        assert (env_of(container).get("A") == "1") == (name in named)


def test_the_manifest_itself_is_left_alone() -> None:
    obj = agg()
    with_settings(obj, Settings(image="mine:1", model="m", tensor_parallel=2, log_level="debug"))
    assert obj == agg()


@pytest.mark.parametrize(
    "spec", [{}, {"template": None}, {"template": {"spec": {"containers": "none"}}}], ids=str
)
def test_a_manifest_of_another_shape_is_one_clear_error(spec: Any) -> None:
    with pytest.raises(StepError, match="is not a valid Deployment"):
        with_settings({**deployment(), "spec": spec}, Settings(image="mine:1"))
