"""GPUs wherever a pod has them: containers, native sidecars, init containers, shared, in parts, or by claims."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offbus.errors import StepError
from offbus_steps.deploy.settings import with_settings
from offbus_steps.deploy.step_types import Settings
from offbus_steps.watch.projections import PodProjection, project
from offbus_steps.workloads import gpus, pods
from offbus_steps.workloads.fields import apply, read, restore
from offbus_steps.workloads.requests import pod_requests
from offbus_steps.workloads.shim_fields import is_prepared, loads_shim, preload_fields
from offbus_steps.workloads.shim_mounts import LIBRARY
from offbus_steps.workloads.shim_pod import Loading, needs_shim
from offbus_steps.workloads.workload_kinds import workload_of

GPU = "nvidia.com/gpu"


def container(name: str, gpus: int = 0, *, sidecar: bool = False, resource: str = GPU) -> dict[str, Any]:
    made: dict[str, Any] = {"name": name, "image": "i"}
    if gpus:
        made["resources"] = {"limits": {resource: str(gpus)}}
    return {**made, "restartPolicy": "Always"} if sidecar else made


ENGINE = container("engine", 1, sidecar=True)
PROXY = container("proxy")
MAIN = container("main")
POD_SPEC = {"initContainers": [container("fetch"), ENGINE], "containers": [MAIN, PROXY]}


def deployment(spec: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "w", "namespace": "d", "uid": "u", "generation": 1},
        "spec": {"selector": {"matchLabels": {"app": "w"}}, "template": {"spec": spec}},
    }


def groups(spec: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "leaderworkerset.x-k8s.io/v1",
        "kind": "LeaderWorkerSet",
        "metadata": {"name": "w", "namespace": "d", "uid": "u", "generation": 1},
        "spec": {"leaderWorkerTemplate": {"size": 1, "workerTemplate": {"spec": spec}}},
    }


def alpha(spec: dict[str, Any]) -> dict[str, Any]:
    rest = {key: value for key, value in spec.items() if key != "containers"}
    extra = {**rest, "mainContainer": spec["containers"][0], "containers": spec["containers"][1:]}
    return {
        "apiVersion": "nvidia.com/v1alpha1",
        "kind": "DynamoGraphDeployment",
        "metadata": {"name": "w", "namespace": "d", "uid": "u", "generation": 1},
        "spec": {"services": {"W": {"componentType": "worker", "extraPodSpec": extra}}},
    }


def beta(spec: dict[str, Any]) -> dict[str, Any]:
    part = {"name": "W", "type": "worker", "podTemplate": {"spec": spec}}
    return {**alpha(spec), "apiVersion": "nvidia.com/v1beta1", "spec": {"components": [part]}}


KINDS = pytest.mark.parametrize("of", [deployment, groups, alpha, beta])


@KINDS
def test_the_shim_goes_into_a_sidecar_that_holds_gpus_and_nowhere_else(of: Any) -> None:
    obj = of(POD_SPEC)
    (template,) = workload_of(obj).gpu_templates()
    assert (template.container, template.gpus) == ("engine", 1)
    assert template.mounts[-3:-1] == ("initContainers", ("name", "engine"))
    fields = preload_fields(workload_of(obj), [], lambda path, _: path)
    prepared = apply(obj, fields)
    assert is_prepared(workload_of(prepared))
    env = read(prepared, (*template.env, ("name", "LD_PRELOAD")))
    assert env == {"name": "LD_PRELOAD", "value": LIBRARY}
    assert str(prepared).count(LIBRARY) == 1
    assert restore(prepared, fields) == obj


@KINDS
def test_settings_reach_a_sidecar_that_holds_gpus(of: Any) -> None:
    engine = {**ENGINE, "args": ["--model", "a"]}
    obj = of({**POD_SPEC, "initContainers": [container("fetch"), engine]})
    changed = with_settings(obj, Settings(image="new", model="b", tensor_parallel=2, log_level="debug"))
    (template,) = workload_of(changed).gpu_templates()
    found = read(changed, template.mounts[:-1])
    assert found["image"] == "new"
    assert found["args"] == ["--model", "b", "--tensor-parallel-size", "2"]
    assert found["env"] == [{"name": "DYN_LOG", "value": "debug"}]
    assert template.gpus == 2


def test_an_init_container_that_ends_gets_no_shim() -> None:
    spec = {"initContainers": [container("check", 1)], "containers": [MAIN]}
    assert workload_of(deployment(spec)).gpu_templates() == []
    assert not needs_shim(spec)
    both = {"initContainers": [container("check", 1)], "containers": [container("main", 2)]}
    (template,) = workload_of(deployment(both)).gpu_templates()
    assert (template.container, template.gpus) == ("main", 2)


def test_admission_loads_sidecars_too() -> None:
    pod = {"metadata": {"name": "p"}, "spec": POD_SPEC}
    assert needs_shim(POD_SPEC)
    loaded = Loading(images={"engine": "/image.so"}).loaded(pod)["spec"]
    assert loaded["containers"] == POD_SPEC["containers"]
    fetch, engine = loaded["initContainers"]
    assert fetch == container("fetch")
    assert pods.env_value(engine, "LD_PRELOAD") == f"{LIBRARY}:/image.so"
    assert loads_shim(loaded)
    assert "initContainers" not in Loading().loaded({"spec": {"containers": [container("main", 1)]}})["spec"]


def test_every_container_with_gpus_must_have_the_shim() -> None:
    env = [{"name": "LD_PRELOAD", "value": LIBRARY}]
    one, two = {**container("one", 1), "env": env}, container("two", 1)
    assert not loads_shim({"containers": [one, two]})
    assert loads_shim({"containers": [one, {**two, "env": env}]})
    assert not loads_shim({"containers": [{**MAIN, "env": env}, two]})
    assert not loads_shim({"containers": [{**MAIN, "env": env}]})


def running(name: str, restarts: int = 0, **more: Any) -> dict[str, Any]:
    return {"name": name, "restartCount": restarts, "state": {"running": {}}, **more}


def pod(spec: dict[str, Any], **status: Any) -> dict[str, Any]:
    meta = {"name": "p", "namespace": "d", "uid": "u"}
    return {"kind": "Pod", "metadata": meta, "spec": spec, "status": status}


def test_statuses_are_those_of_all_that_run_beside_one_another() -> None:
    inits = [running("fetch", 7), running("engine", 2, containerID="containerd://e")]
    seen = project(
        pod(POD_SPEC, containerStatuses=[running("main"), running("proxy", 3)], initContainerStatuses=inits)
    )
    assert isinstance(seen, PodProjection)
    assert {one.name: one.restarts for one in seen.containers} == {"main": 0, "proxy": 3, "engine": 2}
    assert seen.gpus == 1
    assert seen.engines == ("engine",)
    assert seen.restarts == 2, "what holds no GPU was not faulted"


def test_without_gpus_all_restarts_count() -> None:
    seen = project(
        pod({"containers": [MAIN, PROXY]}, containerStatuses=[running("main", 1), running("proxy", 3)])
    )
    assert isinstance(seen, PodProjection)
    assert seen.restarts == 4


@pytest.mark.parametrize(
    ("spec", "annotations", "name"),
    [
        (POD_SPEC, {}, "engine"),
        ({"containers": [PROXY, container("engine", 1)]}, {}, "engine"),
        ({"containers": [PROXY, MAIN]}, {}, "main"),
        (
            {"containers": [PROXY, container("web")]},
            {"kubectl.kubernetes.io/default-container": "web"},
            "web",
        ),
        (
            {"containers": [PROXY, container("web")]},
            {"kubectl.kubernetes.io/default-container": "gone"},
            "proxy",
        ),
        ({"containers": [PROXY, container("web")]}, {}, "proxy"),
    ],
    ids=["sidecar", "second", "main", "named", "named wrong", "first"],
)
def test_the_main_container_is_the_one_with_gpus(
    spec: dict[str, Any], annotations: dict[str, str], name: str
) -> None:
    assert gpus.main_container({"metadata": {"annotations": annotations}, "spec": spec}) == name


def test_the_port_of_a_sidecar_is_found_and_a_proxys_is_not() -> None:
    served = {**ENGINE, "ports": [{"containerPort": 9000}]}
    assert pods.http_port({"initContainers": [served], "containers": [MAIN]}) == 9000
    proxy = {**PROXY, "restartPolicy": "Always", "ports": [{"name": "metrics", "containerPort": 15090}]}
    own = {**MAIN, "ports": [{"containerPort": 8000}]}
    assert pods.http_port({"initContainers": [proxy], "containers": [own]}) == 8000
    named = {**ENGINE, "ports": [{"name": "http", "containerPort": 9000}]}
    assert pods.http_port({"initContainers": [named], "containers": [own]}) == 9000


@pytest.mark.parametrize(
    ("ids", "held"),
    [
        (["GPU-a", "GPU-b"], ("GPU-a", "GPU-b")),
        (["GPU-a::3"], ("GPU-a",)),
        (["GPU-a::0", "GPU-a::1"], ("GPU-a",)),
        (["MIG-c::0"], ("MIG-c",)),
    ],
    ids=["whole", "time-sliced", "twice", "mig"],
)
@pytest.mark.parametrize("resource", [GPU, "nvidia.com/gpu.shared"])
def test_the_gpus_that_a_pod_holds(ids: list[str], held: tuple[str, ...], resource: str) -> None:
    devices = [{"resourceID": one} for one in ids]
    status = {"name": "engine", "allocatedResourcesStatus": [{"name": resource, "resources": devices}]}
    ended = {
        "name": "fetch",
        "allocatedResourcesStatus": [{"name": GPU, "resources": [{"resourceID": "GPU-x"}]}],
    }
    assert gpus.held_gpus(pod(POD_SPEC, initContainerStatuses=[ended, status])) == held
    noted = pod(POD_SPEC)
    noted["metadata"]["annotations"] = {gpus.DEVICES_ANNOTATION: json.dumps({"devices": {resource: ids}})}
    assert gpus.held_gpus(noted) == held


@pytest.mark.parametrize("resource", [GPU, "nvidia.com/gpu.shared"])
def test_shared_gpus_are_targeted(resource: str) -> None:
    spec = {"containers": [container("main", 1, resource=resource)]}
    (template,) = workload_of(deployment(spec)).gpu_templates()
    assert template.gpus == 1
    assert needs_shim(spec)
    assert gpus.allocatable_gpus({"metadata": {"name": "n"}, "status": {"allocatable": {resource: "4"}}}) == 4


SHARED_PART = "nvidia.com/mig-3g.40gb.shared"
CLAIMED = {
    "containers": [{**MAIN, "resources": {"claims": [{"name": "gpu"}]}}],
    "resourceClaims": [{"name": "gpu", "resourceClaimTemplateName": "one-gpu"}],
}


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ({"containers": [container("main", 1, resource="nvidia.com/mig-1g.10gb")]}, "nvidia.com/mig-1g.10gb"),
        ({"containers": [container("m", 1, resource=SHARED_PART)]}, SHARED_PART),
        (CLAIMED, "ResourceClaim gpu"),
    ],
    ids=["mig", "shared mig", "claim"],
)
@KINDS
def test_what_cannot_be_targeted_is_refused_by_its_own_name(of: Any, spec: dict[str, Any], says: str) -> None:
    with pytest.raises(StepError, match=f"requests {says}") as caught:
        preload_fields(workload_of(of(spec)), [], lambda path, _: path)
    assert "nvidia.com/gpu" in str(caught.value.hint)
    with pytest.raises(StepError, match=f"requests {says}"):
        with_settings(of(spec), Settings(log_level="debug"))
    seen = project(pod(spec))
    assert isinstance(seen, PodProjection)
    assert seen.gpus == 0
    assert seen.other_gpus == (says,)


def test_a_claim_beside_whole_gpus_does_not_matter() -> None:
    spec = {**CLAIMED, "containers": [container("main", 1)]}
    assert workload_of(deployment(spec)).gpu_templates()


AMOUNTS = st.integers(0, 4)
PODS = st.tuples(
    st.lists(st.tuples(AMOUNTS, st.booleans()), max_size=5), st.lists(AMOUNTS, min_size=1, max_size=3)
)


@given(PODS)
def test_a_pod_needs_what_it_holds_at_its_fullest_moment(
    case: tuple[list[tuple[int, bool]], list[int]],
) -> None:
    """Init containers one after another, each beside the sidecars that were started before it; then all the rest."""
    inits, mains = case
    beside, moments = 0, []
    for gpus_, sidecar in inits:
        moments.append(beside + gpus_)
        beside += gpus_ if sidecar else 0
    moments.append(beside + sum(mains))
    spec = {
        "initContainers": [container(f"i{n}", g, sidecar=s) for n, (g, s) in enumerate(inits)],
        "containers": [container(f"c{n}", g) for n, g in enumerate(mains)],
    }
    assert pod_requests(spec).get(GPU, 0) == max(moments)
    assert gpus.gpu_request(spec) == beside + sum(mains)


def test_requests_are_summed_with_overhead_and_the_pods_own_come_first() -> None:
    spec = {
        "containers": [
            {
                "name": "a",
                "resources": {"requests": {"cpu": "500m"}, "limits": {"cpu": "2", "memory": "1Gi"}},
            },
            {"name": "b", "resources": {"requests": {"cpu": "1"}}},
        ],
        "overhead": {"cpu": "250m"},
    }
    assert pod_requests(spec) == {"cpu": 1.75, "memory": 1 << 30}
    assert pod_requests({**spec, "resources": {"requests": {"cpu": "3"}}}) == {"cpu": 3.25, "memory": 1 << 30}
