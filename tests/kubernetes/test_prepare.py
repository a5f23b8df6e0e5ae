"""prepare_cuda on a real API server: by patch against who puts changes back, by admission, and what forbids either."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from offbus.errors import StepError, StepFailed
from offbus_steps.kubernetes.port import KubernetesPort
from offbus_steps.port import NotFound, Object, Ref
from offbus_steps.prepare.admission_kinds import BINDING, POLICY
from offbus_steps.prepare.admission_methods import Admitted, supported_methods
from offbus_steps.prepare.dry_run import dry_run_pod
from offbus_steps.prepare.mutating_policy import binding_of, policy_of
from offbus_steps.prepare.step_types import PREPARE_CUDA
from offbus_steps.testing.conformance.waiting import until
from offbus_steps.workloads.shim_mounts import LIBRARY, MOUNTS, VOLUMES, variables
from offbus_steps.workloads.target import Target
from offbus_steps.workloads.workload_kinds import workload_of
from tests.kits.kubernetes.deployments import GPU, deployed, deployment, pods_of, preloads, spec_of
from tests.kits.kubernetes.graph_controller import GraphController
from tests.kits.kubernetes.kubernetes_world import PortFor, Users, port_to, server_of_its_own
from tests.kits.kubernetes.lone_server import ADMISSION_API
from tests.kits.kubernetes.pod_player import playing
from tests.kits.steps.bench import bench_on

pytestmark = pytest.mark.anyio

ENFORCE = "pod-security.kubernetes.io/enforce"


@asynccontextmanager
async def graphs(port: KubernetesPort) -> AsyncIterator[GraphController]:
    """A controller that puts foreign changes back."""
    controller = GraphController(port, fights=True)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(controller.run)
        yield controller
        tasks.cancel_scope.cancel()


@pytest.mark.guarantee("G20")
async def test_by_admission_pods_are_replaced_and_the_spec_is_left(
    port: KubernetesPort, namespace: str, tmp_path: Path
) -> None:
    async with playing(port, namespace), bench_on(port, tmp_path) as one:
        target = await deployed(port, deployment("llm", namespace))
        before, pods = await spec_of(one, target), await pods_of(one, target)
        out = await one.run(PREPARE_CUDA, target=target, by="admission")
        now = await pods_of(one, target)
        assert out.pods == ["llm-0", "llm-1"]
        assert [preloads(pod) for pod in now] == [[LIBRARY, None]] * 2
        assert {p["metadata"]["uid"] for p in now}.isdisjoint(p["metadata"]["uid"] for p in pods)
        assert await spec_of(one, target) == before
        (undo,) = one.undos
        assert (await one.undo(undo)).result == "restored"
        assert [preloads(pod) for pod in await pods_of(one, target)] == [[None, None]] * 2
        assert await spec_of(one, target) == before
        for kind in (POLICY, BINDING):
            with pytest.raises(NotFound):
                await one.objects.get(Ref(kind, undo.policy))
        assert (await one.undo(undo)).result == "nothing"


MAKER = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "t-5d4f7c", "uid": "r", "controller": True}
"""As Deployment t names its ReplicaSets."""
STRANGERS: dict[str, list[dict[str, Any]]] = {
    "nobody's": [],
    "of an owner that is no controller": [{**MAKER, "controller": False}],
    "of a Job": [{**MAKER, "apiVersion": "batch/v1", "kind": "Job"}],
    "of another Deployment": [{**MAKER, "name": "t-canary-5d4f7c"}],
    "of one whose name begins so": [{**MAKER, "name": "tt-5d4f7c"}],
}
"""What makes pods with the target's labels beside it."""


async def test_the_policy_changes_gpu_containers_of_the_target_and_nothing_else(
    port: KubernetesPort, namespace: str
) -> None:
    name = f"offbus-{namespace}"
    target = Target(kind="Deployment", name="t", namespace=namespace, port=1, selector={"app": "t"})
    await port.objects.create(policy_of(name, "r1", target, {"imaged": "/image.so"}, port.host_path))
    await port.objects.create(binding_of(name, "r1"))

    async def shown(
        labels: dict[str, str],
        *containers: dict[str, Any],
        where: str = namespace,
        by: Sequence[dict[str, Any]] = (MAKER,),
        **spec: Any,
    ) -> Object:
        meta = {"name": "p", "namespace": where, "labels": labels, "ownerReferences": list(by)}
        spec = {"containers": containers, **spec}
        made = {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}
        return await port.objects.create(made, dry_run=True)

    def container(name: str, **more: Any) -> dict[str, Any]:
        return {"name": name, "image": "none", **more}

    plain = container("plain", resources=GPU)
    own = [{"name": "A", "value": "1"}, {"name": "LD_PRELOAD", "value": "/own.so"}]
    try:
        with anyio.fail_after(60):
            while preloads(await shown({"app": "t"}, plain)) != [LIBRARY]:  # noqa: ASYNC110  cannot be watched
                await anyio.sleep(0.1)
        chained = await shown(
            {"app": "t"},
            container("own", resources=GPU, env=own),
            container("imaged", resources=GPU),
            container("imaged-too", resources=GPU),
            container("sidecar", env=own),
        )
        assert preloads(chained) == [f"{LIBRARY}:/own.so", f"{LIBRARY}:/image.so", LIBRARY, "/own.so"]
        first = chained["spec"]["containers"][0]
        ours = [one["name"] for one in variables(lambda path, _: path)]
        assert sorted(one["name"] for one in first["env"]) == sorted(["A", "LD_PRELOAD", *ours])
        assert first["volumeMounts"] == list(MOUNTS)
        assert chained["spec"]["volumes"] == list(VOLUMES)
        shared = {"limits": {"nvidia.com/gpu.shared": "1"}}
        inits = [
            container("check", resources=GPU),
            container("engine", resources=shared, restartPolicy="Always", env=own),
            container("proxy", restartPolicy="Always"),
        ]
        beside = await shown({"app": "t"}, container("main"), initContainers=inits)
        assert preloads(beside) == [None]
        assert preloads(beside, "initContainers") == [None, f"{LIBRARY}:/own.so", None]
        ending = await shown({"app": "t"}, container("main"), initContainers=inits[:1])
        assert preloads(ending, "initContainers") == [None]
        assert "volumes" not in ending["spec"]
        none = {"limits": {"nvidia.com/gpu": "0"}}
        assert preloads(await shown({"app": "t"}, container("main", resources=none))) == [None]
        assert preloads(await shown({"app": "other"}, plain)) == [None]
        assert preloads(await shown({"app": "t"}, container("c"))) == [None]
        assert preloads(await shown({"app": "t"}, plain, where=f"{namespace}-b")) == [None]
        for by in STRANGERS.values():
            assert preloads(await shown({"app": "t"}, plain, by=by)) == [None]
    finally:
        for kind in (BINDING, POLICY):
            await port.objects.delete(Ref(kind, name))


@pytest.mark.guarantee("G20")
async def test_who_puts_a_patched_graph_back_is_named(
    port: KubernetesPort, namespace: str, tmp_path: Path
) -> None:
    parts = {
        name: {"componentType": kind, "extraPodSpec": {"mainContainer": {"image": "none"}}, **more}
        for name, kind, more in (
            ("Frontend", "frontend", {}),
            ("Worker", "worker", {"resources": {"limits": {"gpu": "1"}}}),
        )
    }
    graph = {
        "apiVersion": "nvidia.com/v1alpha1",
        "kind": "DynamoGraphDeployment",
        "metadata": {
            "name": "g",
            "namespace": namespace,
            "annotations": {
                "nvidia.com/deployment-rolling-update-max-unavailable": "1"
            },  # there are no GPUs to spare
        },
        "spec": {"services": parts},
    }
    async with graphs(port) as controller, bench_on(port, tmp_path) as one:
        async with playing(port, namespace):
            target = await deployed(port, graph)
        # no pod is replaced meanwhile: the reversal is seen before the rollout is complete
        with pytest.raises(
            StepFailed, match=r"g was reverted by field manager '.+': the shim is no longer"
        ) as raised:
            await one.run(PREPARE_CUDA, target=target)
        assert "by: admission" in str(raised.value)
        assert target.ref in controller.reverted
        async with playing(port, namespace):
            (undo,) = one.undos
            assert (await one.undo(undo)).result == "nothing"
            one.undos.clear()
            before, reverted = await spec_of(one, target), list(controller.reverted)
            out = await one.run(PREPARE_CUDA, target=target, by="admission")
            assert out.pods == ["g-worker-0"]
            assert await spec_of(one, target) == before
            assert controller.reverted == reverted
            assert await one.undo_all() == ["restored"]


async def test_an_operator_that_keeps_its_deployment_is_named_as_its_owner(
    port: KubernetesPort, namespace: str, tmp_path: Path
) -> None:
    main = {"image": "none"}
    services = {
        "Worker": {
            "componentType": "worker",
            "resources": {"limits": {"gpu": "1"}},
            "extraPodSpec": {"mainContainer": main},
        }
    }
    graph = {
        "apiVersion": "nvidia.com/v1alpha1",
        "kind": "DynamoGraphDeployment",
        "metadata": {"name": "g", "namespace": namespace},
        "spec": {"services": services},
    }
    ref = Ref("Deployment", "g-worker", namespace)
    async with graphs(port) as controller, bench_on(port, tmp_path) as one:
        async with playing(port, namespace):
            await port.objects.create(graph)
            await until(port, ref, lambda found: workload_of(found).rolled_out)
        target = Target.of(workload_of(await port.objects.get(ref)), port=8000)
        with pytest.raises(StepFailed, match="its owner DynamoGraphDeployment/g"):
            await one.run(PREPARE_CUDA, target=target)
        assert set(controller.reverted) == {ref}
        async with playing(port, namespace):
            assert await one.undo_all() == ["nothing"]


@pytest.mark.guarantee("G20")
async def test_a_spec_that_is_put_back_later_stops_the_run(
    port: KubernetesPort, namespace: str, tmp_path: Path
) -> None:
    async with playing(port, namespace), bench_on(port, tmp_path) as one:
        obj = deployment("llm", namespace)
        target = await deployed(port, obj)
        await one.run(PREPARE_CUDA, target=target)
        assert one.aborted == []
        template = {"containers": obj["spec"]["template"]["spec"]["containers"], "volumes": None}
        await port.objects.patch(target.ref, {"spec": {"template": {"spec": template}}})
        with anyio.fail_after(60):
            await one.stopped.wait()
        assert one.aborted == [
            f"{target.ref} was reverted by somebody else: the shim is no longer in its spec"
        ]
        await one.undo_all()


@pytest.mark.guarantee("G21")
@pytest.mark.parametrize("by", ["patch", "admission"])
async def test_pod_security_refuses_before_anything_is_touched(
    port: KubernetesPort, namespace: str, tmp_path: Path, by: str
) -> None:
    async with playing(port, namespace), bench_on(port, tmp_path) as one:
        target = await deployed(port, deployment("llm", namespace))
        await port.objects.patch(Ref("Namespace", namespace), {"metadata": {"labels": {ENFORCE: "baseline"}}})
        before = await one.objects.get(target.ref)
        with pytest.raises(StepError, match=r"Pod Security forbids the shim's hostPath") as raised:
            await one.run(PREPARE_CUDA, target=target, by=by)
        assert "enforce=privileged" in str(raised.value)
        assert one.undos == []
        assert (await one.objects.get(target.ref))["spec"] == before["spec"]


@pytest.mark.guarantee("G21")
@pytest.mark.parametrize("by", ["patch", "admission"])
async def test_a_preload_from_elsewhere_is_refused_before_anything_is_touched(
    port: KubernetesPort, namespace: str, tmp_path: Path, by: str
) -> None:
    source = {"configMapKeyRef": {"name": "c", "key": "k", "optional": True}}
    async with playing(port, namespace), bench_on(port, tmp_path) as one:
        env = [{"name": "LD_PRELOAD", "valueFrom": source}]
        target = await deployed(port, deployment("llm", namespace, env=env))
        with pytest.raises(StepError, match="by valueFrom"):
            await one.run(PREPARE_CUDA, target=target, by=by)
        assert one.undos == []


async def test_who_may_not_create_policies_is_told_which_role_to_bind(
    port: KubernetesPort, port_for: PortFor, namespace: str
) -> None:
    target = Target(kind="Deployment", name="t", namespace=namespace, port=1, selector={"app": "t"})
    async with port_for(Users.NOBODY) as nobody:
        cluster: Any = type("Place", (), {"port": nobody})
        with pytest.raises(StepError, match="missing permission to create") as raised:
            await supported_methods(cluster, Admitted("p", "r1", target, {}))
        assert "offbus-runner-admission" in str(raised.value)


def test_a_dry_run_is_a_pod_of_its_own() -> None:
    meta = {"name": "p", "namespace": "n", "uid": "u", "labels": {"a": "b"}}
    meta["ownerReferences"] = [{"kind": "Node", "name": "n1"}, {**MAKER, "blockOwnerDeletion": True}]
    copied = dry_run_pod({"metadata": meta, "spec": {"nodeName": "n1", "containers": []}, "status": {}})
    assert copied["metadata"]["labels"] == {"a": "b"}
    assert {"name", "uid"}.isdisjoint(copied["metadata"])
    assert copied["metadata"]["ownerReferences"] == [MAKER]
    assert copied["spec"] == {"containers": []}


@pytest.mark.guarantee("G21")
@pytest.mark.parametrize(
    ("flags", "why"),
    [((), "does not serve MutatingAdmissionPolicy"), ((ADMISSION_API,), "ignores it")],
    ids=["not served", "without its feature gate"],
)
async def test_a_cluster_without_admission_policies_is_refused_and_left_clean(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: tuple[str, ...], why: str
) -> None:
    monkeypatch.setattr("offbus_steps.prepare.by_admission.SHOWS_WITHIN_S", 3.0)
    with server_of_its_own(tmp_path / "server", flags=flags) as server:
        async with port_to(server) as port:
            await port.objects.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}})
            async with playing(port, "n"), bench_on(port, tmp_path) as one:
                target = await deployed(port, deployment("llm", "n"))
                pods = await pods_of(one, target)
                with pytest.raises(StepError, match=why) as raised:
                    await one.run(PREPARE_CUDA, target=target, by="admission")
                assert "by: patch" in str(raised.value)
                assert await pods_of(one, target) == pods
                await one.undo_all()
                for undo in (POLICY, BINDING):
                    if flags:
                        assert (await one.objects.list(undo)).items == []
