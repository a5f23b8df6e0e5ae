"""Deployments with GPU pods on the lone API server, and what has become of them."""

from typing import Any

from offbus_steps.kubernetes.port import KubernetesPort
from offbus_steps.port import Object, Ref
from offbus_steps.testing.conformance.waiting import until
from offbus_steps.workloads.target import Target
from offbus_steps.workloads.workload_kinds import workload_of
from tests.kits.steps.bench import Bench

__all__ = ["GPU", "deployed", "deployment", "pods_of", "preloads", "spec_of"]

GPU = {"limits": {"nvidia.com/gpu": "1"}}


def deployment(name: str, namespace: str, **main: Any) -> dict[str, Any]:
    """A GPU container and a sidecar, two pods."""
    containers = [
        {"name": "main", "image": "none", "resources": GPU, **main},
        {"name": "sidecar", "image": "none"},
    ]
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app": name}},
            "strategy": {"type": "Recreate"},
            "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": containers}},
        },
    }


async def deployed(port: KubernetesPort, obj: dict[str, Any]) -> Target:
    """The target, once its pods are ready."""
    await port.objects.create(obj)
    await until(port, Ref.of(obj), lambda one: workload_of(one).rolled_out)
    return Target.of(workload_of(await port.objects.get(Ref.of(obj))), port=8000)


async def spec_of(one: Bench, target: Target) -> Any:
    return (await one.objects.get(target.ref))["spec"]


async def pods_of(one: Bench, target: Target) -> list[Object]:
    labels = ",".join(f"{k}={v}" for k, v in target.selector.items())
    return list((await one.objects.list("Pod", namespace=target.namespace, labels=labels)).items)


def preloads(pod: Object, field: str = "containers") -> list[str | None]:
    """LD_PRELOAD of each container."""
    return [
        next((e.get("value") for e in c.get("env") or () if e["name"] == "LD_PRELOAD"), None)
        for c in pod["spec"][field]
    ]
