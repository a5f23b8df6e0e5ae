"""Manifests in the shapes of public charts and operators: each is targeted, counted and prepared right, or refused.

The files (tests/kits/steps/public) are rebuilt from what the named projects' charts and operators make, not copied.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from offbus.errors import StepError
from offbus_steps.port import Object, Ref
from offbus_steps.workloads import pods
from offbus_steps.workloads.fields import apply, read, restore
from offbus_steps.workloads.manifest import read_manifest, target_in
from offbus_steps.workloads.requests import pod_requests
from offbus_steps.workloads.shim_fields import is_loaded_with, is_prepared, preload_fields
from offbus_steps.workloads.shim_mounts import LIBRARY, MOUNTS, VOLUMES
from offbus_steps.workloads.shim_pod import Loading, needs_shim
from offbus_steps.workloads.target import Target
from offbus_steps.workloads.workload_kinds import workload_of
from tests.kits import REPOSITORY

FOLDER = REPOSITORY / "tests/kits/steps/public"
GRAPH = "nvidia.com/dynamo-graph-deployment-name"
GROUPS = "leaderworkerset.sigs.k8s.io/name"


@dataclass(frozen=True)
class Expected:
    """What a file's target is."""

    target: str
    engines: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """FIELD/CONTAINER, or NAME for a service's main container -> GPUs of each pod, and how many pods."""
    selector: str = ""
    desired: int = 1
    port: int | None = 8000
    """None: it does not declare which serves HTTP."""
    requests: tuple[int, ...] = ()
    """GPUs that a pod of each template needs on its node, as the scheduler counts."""
    refused: str = ""
    """Why it cannot be prepared."""


EXPECTED = {
    "vllm-production-stack": Expected(
        "vllm-llama3-deployment-vllm",
        {"containers/vllm": (1, 2)},
        "environment=test,release=test,model=llama3",
        2,
        requests=(1,),
    ),
    "nim-operator-service": Expected(
        "meta-llama3-8b", {"containers/meta-llama3-8b-ctr": (1, 1)}, "app=meta-llama3-8b", requests=(1,)
    ),
    "nim-llm-chart": Expected(
        "my-nim",
        {"containers/nim-llm": (4, 1)},
        "app.kubernetes.io/name=nim-llm,app.kubernetes.io/instance=my-nim",
        requests=(4,),
    ),
    "nim-multi-node": Expected(
        "nim-405b",
        {"leaderTemplate/containers/nim-llm": (8, 1), "workerTemplate/containers/nim-llm": (8, 1)},
        f"{GROUPS}=nim-405b",
        2,
        requests=(8, 8),
    ),
    "kserve-raw": Expected(
        "llama-predictor",
        {"containers/kserve-container": (1, 1)},
        "app=isvc.llama-predictor",
        port=None,
        requests=(1,),
    ),
    "kserve-knative": Expected(
        "llama-predictor-00001-deployment",
        {"containers/kserve-container": (1, 1)},
        "serving.knative.dev/revisionUID=5f1c",
        port=None,
        requests=(1,),
    ),
    "kserve-modelcar": Expected(
        "granite-predictor",
        {"containers/kserve-container": (2, 1)},
        "app=isvc.granite-predictor",
        port=8080,
        requests=(2,),
    ),
    "kserve-multi-node": Expected(
        "big-predictor",
        {"containers/kserve-container": (4, 1)},
        "app=isvc.big-predictor",
        port=8080,
        requests=(4,),
    ),
    "kserve-inference-service": Expected("llama", refused="kind 'InferenceService' cannot be deployed"),
    "llm-d-decode": Expected(
        "ms-llm-d-decode",
        {"containers/vllm": (2, 2)},
        "llm-d.ai/inferenceServing=true,llm-d.ai/model=ms-llama,llm-d.ai/role=decode",
        2,
        port=None,
        requests=(2,),
    ),
    "llm-d-prefill": Expected(
        "ms-llm-d-prefill",
        {"containers/vllm": (1, 4)},
        "llm-d.ai/role=prefill,llm-d.ai/model=ms-llama",
        4,
        requests=(1,),
    ),
    "llm-d-wide-ep": Expected(
        "wide-ep-decode",
        {"workerTemplate/containers/vllm": (8, 2)},
        f"{GROUPS}=wide-ep-decode",
        2,
        port=None,
        requests=(8,),
    ),
    "dynamo-v1alpha1": Expected(
        "vllm-agg", {"VllmDecodeWorker": (1, 2)}, f"{GRAPH}=vllm-agg", 3, requests=(0, 1)
    ),
    "dynamo-v1alpha1-multinode": Expected(
        "trtllm-disagg",
        {"decode": (4, 2), "prefill": (2, 2)},
        f"{GRAPH}=trtllm-disagg",
        5,
        requests=(0, 4, 2),
    ),
    "dynamo-v1beta1": Expected(
        "sglang-agg", {"decode/containers/main": (2, 2)}, f"{GRAPH}=sglang-agg", 3, requests=(0, 2)
    ),
    "dynamo-merged-sidecar": Expected(
        "merged", {"worker/initContainers/engine": (1, 2)}, f"{GRAPH}=merged", 3, requests=(0, 1)
    ),
    "dynamo-runtime-sidecar": Expected(
        "side", {"worker/containers/main": (1, 1)}, f"{GRAPH}=side", 2, requests=(0, 1)
    ),
    "lws-vllm": Expected(
        "vllm",
        {"leaderTemplate/containers/vllm-leader": (8, 2), "workerTemplate/containers/vllm-worker": (8, 2)},
        f"{GROUPS}=vllm",
        4,
        port=8080,
        requests=(8, 8),
    ),
    "lws-sglang": Expected(
        "sglang",
        {
            "leaderTemplate/containers/sglang-leader": (8, 1),
            "workerTemplate/containers/sglang-worker": (8, 1),
        },
        f"{GROUPS}=sglang",
        2,
        port=40000,
        requests=(8, 8),
    ),
    "sglang-single": Expected(
        "sglang", {"containers/sglang": (1, 1)}, "app=sglang", port=30000, requests=(1,)
    ),
    "trtllm-triton-leader": Expected(
        "triton-llama", {"containers/triton": (8, 2)}, "app=triton-llama", 2, requests=(8,)
    ),
    "triton-chart": Expected(
        "example-triton-inference-server",
        {"containers/triton-inference-server": (1, 1)},
        "app=triton-inference-server,release=example",
        requests=(1,),
    ),
    "tgi-chart": Expected(
        "tgi",
        {"containers/model": (4, 1)},
        "app.kubernetes.io/name=tgi,app.kubernetes.io/component=server",
        port=80,
        requests=(4,),
    ),
    "tei-mig": Expected("tei", refused="requests nvidia.com/mig-1g.10gb"),
    "ollama-shared": Expected(
        "ollama",
        {"containers/ollama": (1, 2)},
        "app.kubernetes.io/name=ollama,app.kubernetes.io/instance=ollama",
        2,
        port=11434,
        requests=(0,),
    ),
    "dra-claims": Expected("claimed", refused="requests ResourceClaim gpu"),
    "dra-network": Expected("rdma", {"containers/server": (8, 1)}, "app=rdma", requests=(8,)),
    "ray-service": Expected("llama", refused="kind 'RayService' cannot be deployed"),
    "flagger-canary": Expected(
        "llm",
        {"containers/llm": (1, 3)},
        "app=llm,track notin (canary,shadow),!retired",
        3,
        requests=(1,),
    ),
    "istio-native": Expected("meshed", {"containers/server": (2, 2)}, "app in (meshed)", 2, requests=(2,)),
    "two-engines": Expected(
        "pair",
        {"containers/chat": (2, 1), "initContainers/embed": (1, 1)},
        "app=pair",
        requests=(3,),
    ),
    "amd": Expected("mi300", refused="requests no GPUs"),
    "fraction-annotation": Expected("fraction", refused="requests no GPUs"),
}

TARGETED = [name for name, one in EXPECTED.items() if not one.refused]
REFUSED = [name for name, one in EXPECTED.items() if one.refused]


def target_of(name: str) -> Object:
    """The target's object, as `deploy` reads it from the file."""
    objects = read_manifest(FOLDER / f"{name}.yaml")
    ref = target_in(objects, EXPECTED[name].target)
    (found,) = (one for one in objects if Ref.of(one) == ref)
    return {**found, "metadata": {**found["metadata"], "uid": "u", "generation": 1}}


def in_place(path: str, own: str) -> str:
    return f"{path}/{own}" if own else path


def test_every_file_is_here() -> None:
    assert {one.stem for one in FOLDER.glob("*.yaml")} == EXPECTED.keys()
    assert len(EXPECTED) >= 30


@pytest.mark.parametrize("name", TARGETED)
def test_it_is_targeted_and_counted(name: str) -> None:
    expected, workload = EXPECTED[name], workload_of(target_of(name))
    found = {where(one.mounts): (one.gpus, one.replicas) for one in workload.gpu_templates()}
    assert found == expected.engines
    assert workload.desired == expected.desired
    gpus = [pod_requests(one).get("nvidia.com/gpu", 0) for one in workload.pod_specs]
    assert gpus == list(expected.requests)
    target = Target.of(workload, port=None if expected.port else 1)
    assert target.selector_text == expected.selector
    assert expected.port in (None, target.port)
    if expected.port is None:
        with pytest.raises(StepError, match="does not declare which port"):
            Target.of(workload)


def where(mounts: tuple[Any, ...]) -> str:
    """Which container a path of its mounts is of, without what all paths have."""
    parts = [one[1] if isinstance(one, tuple) else one for one in mounts[:-1]]
    usual = ("spec", "template", "leaderWorkerTemplate", "services", "components", "podTemplate")
    left = [one for one in parts if one not in (*usual, "extraPodSpec", "mainContainer")]
    return "/".join(left)


@pytest.mark.parametrize("name", TARGETED)
def test_the_shim_goes_where_the_gpus_are_and_comes_out_again(name: str) -> None:
    obj = target_of(name)
    workload = workload_of(obj)
    fields = preload_fields(workload, [], in_place)
    prepared = apply(obj, fields)
    assert is_prepared(workload_of(prepared))
    templates = workload.gpu_templates()
    for one in templates:
        env = read(prepared, (*one.env, ("name", "LD_PRELOAD"), "value"))
        assert env.split(":")[0] == LIBRARY
        mounts, volumes = read(prepared, one.mounts), read(prepared, one.volumes)
        assert [mount for mount in mounts if mount in MOUNTS] == list(MOUNTS)
        assert [volume for volume in volumes if volume in VOLUMES] == list(VOLUMES)
    assert str(prepared).count(LIBRARY) == len(templates)
    assert restore(prepared, fields) == obj


@pytest.mark.parametrize("name", TARGETED)
def test_admission_loads_the_same_containers(name: str) -> None:
    workload = workload_of(target_of(name))
    loaded = []
    for spec in workload.pod_specs:
        if needs_shim(spec):
            pod = Loading().loaded({"metadata": {"name": "p"}, "spec": spec})
            loaded += [one["name"] for one in pods.containers(pod["spec"]) if is_loaded_with(one)]
    assert sorted(loaded) == sorted(one.container for one in workload.gpu_templates())


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_drilled_is_refused_in_words(name: str) -> None:
    with pytest.raises(StepError) as caught:
        preload_fields(workload_of(target_of(name)), [], in_place)
    assert EXPECTED[name].refused in caught.value.message
    assert caught.value.hint
