"""prepare_cuda by our own webhook: a real API server without admission policies, the real program, real TLS."""

from pathlib import Path
from typing import Any

import anyio
import pytest

from offbus.errors import StepError, StepFailed
from offbus_steps.kubernetes.port import AGENT_NAMESPACE
from offbus_steps.port import NotFound, Object, Ref, WatchType
from offbus_steps.prepare.admission_kinds import BINDING, POLICY, WEBHOOK
from offbus_steps.prepare.mutating_policy import binding_of, policy_of
from offbus_steps.prepare.step_types import PREPARE_CUDA
from offbus_steps.prepare.webhook_configuration import CERTIFICATE, SERVICE, configuration_of
from offbus_steps.workloads.shim_mounts import LIBRARY
from offbus_steps.workloads.target import Target
from tests.kits.kubernetes.deployments import GPU, deployed, deployment, pods_of, preloads, spec_of
from tests.kits.kubernetes.lone_server import ADMISSION_API, ADMISSION_GATE
from tests.kits.kubernetes.pod_player import playing
from tests.kits.kubernetes.webhook_world import WebhookWorld, webhook_world
from tests.kits.steps.bench import Bench, bench_on

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(300)]


async def configurations(one: Bench) -> list[Object]:
    return list((await one.objects.list(WEBHOOK)).items)


@pytest.mark.guarantee("G20")
@pytest.mark.parametrize("flags", [(), (ADMISSION_API,)], ids=["not served", "policies do nothing"])
async def test_without_policies_the_webhook_loads_the_shim_and_is_undone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: tuple[str, ...]
) -> None:
    monkeypatch.setattr("offbus_steps.prepare.by_admission.SHOWS_WITHIN_S", 5.0)
    async with webhook_world(tmp_path, flags) as world:
        await world.start()
        async with playing(world.port, world.namespace), bench_on(world.port, tmp_path) as one:
            env = [{"name": "LD_PRELOAD", "value": "/own.so"}]
            target = await deployed(world.port, deployment("llm", world.namespace, env=env))
            before, pods = await spec_of(one, target), await pods_of(one, target)
            out = await one.run(PREPARE_CUDA, target=target, by="admission")
            now = await pods_of(one, target)
            assert out.pods == ["llm-0", "llm-1"]
            assert [preloads(pod) for pod in now] == [[f"{LIBRARY}:/own.so", None]] * 2
            assert {p["metadata"]["uid"] for p in now}.isdisjoint(p["metadata"]["uid"] for p in pods)
            assert await spec_of(one, target) == before
            said = [data["evidence"] for data in one.events("observed") if data["to"] == "shim wanted"]
            assert [each["by"] for each in said] == [WEBHOOK]
            (undo,) = one.undos
            assert (await one.undo(undo)).result == "restored"
            assert [preloads(pod) for pod in await pods_of(one, target)] == [["/own.so", None]] * 2
            assert await spec_of(one, target) == before
            assert await configurations(one) == []
            for kind in (POLICY, BINDING) if flags else ():
                assert (await one.objects.list(kind)).items == []
            assert (await one.undo(undo)).result == "nothing"


@pytest.mark.guarantee("G20")
async def test_the_webhook_changes_what_the_policy_changes(tmp_path: Path) -> None:
    async with webhook_world(tmp_path, (ADMISSION_GATE, ADMISSION_API)) as world:
        await world.start()
        target = Target(kind="Deployment", name="t", namespace=world.namespace, port=1, selector={"app": "t"})
        images = {"imaged": "/image.so"}
        plain = await created(world, target)
        for one in (policy_of("p", "r1", target, images, world.port.host_path), binding_of("p", "r1")):
            await world.port.objects.create(one)
        by_policy = await until_changed(world, target)
        for kind in (BINDING, POLICY):
            await world.port.objects.delete(Ref(kind, "p"))
        await until_unchanged(world, target, plain)
        published = await world.port.objects.get(Ref("ConfigMap", SERVICE, AGENT_NAMESPACE))
        certificate = published["data"][CERTIFICATE]
        await world.port.objects.create(
            configuration_of("p", "r1", target, images, AGENT_NAMESPACE, certificate)
        )
        by_webhook = await until_changed(world, target)
        assert by_name(by_webhook) == by_name(by_policy)
        assert preloads({"spec": by_webhook[0]}) == [
            f"{LIBRARY}:/own.so",
            f"{LIBRARY}:/image.so",
            LIBRARY,
            "/own.so",
        ]
        assert by_webhook[1:] == plain[1:]  # other pods, and another namespace's


def by_name(specs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """With variables in the order of their names: the policy adds a reference behind the values."""
    return [
        {
            **spec,
            "containers": [
                {**one, "env": sorted(one.get("env") or (), key=lambda entry: str(entry["name"]))}
                for one in spec["containers"]
            ],
        }
        for spec in specs
    ]


OWN = [{"name": "A", "value": "1"}, {"name": "LD_PRELOAD", "value": "/own.so"}]
MOUNTED = [{"name": "shm", "mountPath": "/dev/shm"}]
SHM = [{"name": "shm", "emptyDir": {"medium": "Memory"}}]


async def created(world: WebhookWorld, target: Target) -> list[dict[str, Any]]:
    """Specs of pods as the server would store them: one of the target's, and four that are none of its business."""

    async def shown(
        labels: dict[str, str], *containers: dict[str, Any], where: str, **by: Any
    ) -> dict[str, Any]:
        owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "uid": "r", "controller": True}
        owners = [{**owner, "name": "t-5d4f7c", **by}]
        meta = {"name": "p", "namespace": where, "labels": labels, "ownerReferences": owners}
        spec = {"containers": containers, "volumes": SHM}
        made = {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}
        spec = (await world.port.objects.create(made, dry_run=True))["spec"]
        # a token's volume is named at random
        return {key: value for key, value in spec.items() if key != "serviceAccountName"}

    gpu = {"image": "none", "resources": GPU}
    mine = (
        {"name": "own", **gpu, "env": OWN, "volumeMounts": MOUNTED},
        {"name": "imaged", **gpu},
        {"name": "imaged-too", **gpu, "env": OWN[:1]},
        {"name": "sidecar", "image": "none", "env": OWN},
    )
    space = target.namespace
    return [
        await shown(target.selector, *mine, where=space),
        await shown({"app": "other"}, *mine, where=space),
        await shown(target.selector, mine[3], where=space),
        await shown(target.selector, *mine, where=f"{space}-b"),
        await shown(target.selector, *mine, where=space, name="t-canary-5d4f7c"),
    ]


async def until_changed(world: WebhookWorld, target: Target) -> list[dict[str, Any]]:
    with anyio.fail_after(60):
        while preloads({"spec": (found := await created(world, target))[0]})[2] != LIBRARY:  # noqa: ASYNC110  cannot be watched
            await anyio.sleep(0.1)
    return found


async def until_unchanged(world: WebhookWorld, target: Target, plain: list[dict[str, Any]]) -> None:
    with anyio.fail_after(60):
        while await created(world, target) != plain:  # noqa: ASYNC110  cannot be watched
            await anyio.sleep(0.1)


@pytest.mark.guarantee("G21")
async def test_a_webhook_that_is_down_is_said_and_keeps_no_pod_from_starting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("offbus_steps.prepare.by_admission.SHOWS_WITHIN_S", 3.0)
    async with (
        webhook_world(tmp_path, ()) as world,
        playing(world.port, world.namespace),
        bench_on(world.port, tmp_path) as one,
    ):
        target = await deployed(world.port, deployment("llm", world.namespace))
        before = await pods_of(one, target)
        with pytest.raises(StepError, match="offbus's webhook is not ready"):  # it was never started
            await one.run(PREPARE_CUDA, target=target, by="admission")
        assert one.undos == []
        await world.start()
        world.kill()
        await world.ready(0)
        with pytest.raises(StepError, match="offbus's webhook is not ready"):
            await one.run(PREPARE_CUDA, target=target, by="admission")
        assert one.undos == []
        await world.ready(1)  # nobody knows yet
        with pytest.raises(StepError, match=r"no answer from offbus's webhook: check `kubectl -n .* logs"):
            await one.run(PREPARE_CUDA, target=target, by="admission")
        assert [each["webhooks"][0]["failurePolicy"] for each in await configurations(one)] == ["Ignore"]
        assert await pods_of(one, target) == before
        await one.objects.delete(Ref.of({**before[0], "kind": "Pod"}))
        await until_pods(one, target, 2)
        assert await one.undo_all() == ["restored"]
        assert await configurations(one) == []
        await world.start()  # with another certificate
        out = await one.run(PREPARE_CUDA, target=target, by="admission")
        assert out.pods == ["llm-0", "llm-1"]
        assert await one.undo_all() == ["restored"]


async def until_pods(one: Bench, target: Target, number: int) -> None:
    with anyio.fail_after(60):
        await one.cluster.log.until(
            lambda world: (
                True
                if sum(pod.ready and pod.active for pod in world.pods(target.namespace)) == number
                else None
            )
        )


@pytest.mark.guarantee("G21")
async def test_a_webhook_that_dies_in_the_middle_fails_the_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("offbus_steps.prepare.replace_pods.ROUNDS", 1)
    async with webhook_world(tmp_path, ()) as world:
        await world.start()
        async with playing(world.port, world.namespace), bench_on(world.port, tmp_path) as one:
            obj = deployment("llm", world.namespace)
            obj["spec"]["replicas"] = 4
            target = await deployed(world.port, obj)

            async def kill_after_the_first(listing: str) -> None:
                async for event in one.objects.watch(
                    "Pod", namespace=world.namespace, resource_version=listing
                ):
                    if event.type is WatchType.ADDED and LIBRARY in preloads(event.object):
                        world.kill()
                        return

            version = (await one.objects.list("Pod", namespace=world.namespace)).resource_version
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(kill_after_the_first, version)
                with pytest.raises(StepFailed, match=r"come back unchanged.*no answer from offbus's webhook"):
                    await one.run(PREPARE_CUDA, target=target, by="admission")
            assert await one.undo_all() == ["restored"]
            assert [preloads(pod) for pod in await pods_of(one, target)] == [[None, None]] * 4
            with pytest.raises(NotFound):
                await one.objects.get(Ref(WEBHOOK, "offbus-testrun1-step"))
