"""Whoever may create pods anywhere chooses their size: a look at the cluster takes bounded memory all the same."""

import json
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

import anyio
import pytest

from offbus_steps.kubernetes import objects
from offbus_steps.kubernetes.port import KubernetesPort
from tests.kits import REPOSITORY
from tests.kits.kubernetes.lone_server import LoneServer

pytestmark = pytest.mark.anyio

MOST = 160 << 20
"""Bytes: the reaper has 512 MiB (deploy/base), some 80 of them before it looks."""
SIZE = 1_300_000
PODS: dict[str, tuple[int, dict[str, Any]]] = {
    "one long text each": (60, {"args": ["x" * SIZE]}),
    "very many small values each": (12, {"env": [{"name": "a"}] * (SIZE // 13)}),
}
"""How many there are, and of which container."""


async def create(port: KubernetesPort, namespace: str, count: int, container: dict[str, Any]) -> None:
    for number in range(count):
        meta = {"name": f"p{number:03}", "namespace": namespace}
        spec = {"containers": [{"name": "c", "image": "i", **container}]}
        await port.objects.create({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec})


async def removed(port: KubernetesPort, namespace: str, count: int) -> None:
    """There is no controller that deletes what a namespace has."""
    for number in range(count):
        await port.objects.delete(objects.Ref("Pod", f"p{number:03}", namespace), grace_seconds=0)


@pytest.mark.guarantee("G28")
@pytest.mark.parametrize("kind", PODS)
async def test_a_look_at_very_large_pods_takes_bounded_memory(
    port: KubernetesPort, server: LoneServer, tmp_path: Path, kind: str
) -> None:
    namespace, (count, container) = f"large-{uuid4().hex[:8]}", PODS[kind]
    await port.objects.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    await create(port, namespace, count, container)
    looks = [sys.executable, "-m", "tests.kits.kubernetes.memory_of_a_look", str(server.kubeconfig("admin"))]
    with anyio.fail_after(300):
        found = await anyio.run_process([*looks, str(tmp_path)], cwd=REPOSITORY)
    told = json.loads(found.stdout)
    await removed(port, namespace, count)
    assert sum(f"/{namespace}/" in owner for owner in told["owners"]) == count
    assert told["took"] < MOST


async def test_a_list_of_large_objects_is_whole(
    port: KubernetesPort, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "LARGEST_PAGE", 100_000, raising=False)
    sizes = [10, 200_000, 10, 70_000, 70_000, 10, 10, 90_000, *[10] * 40]
    for number, size in enumerate(sizes):
        meta = {"name": f"m{number:02}", "namespace": namespace}
        await port.objects.create(
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"a": "x" * size}}
        )
    listed = (await port.objects.list("ConfigMap", namespace=namespace)).items
    assert [len(one["data"]["a"]) for one in listed] == sizes
    names = [
        one["metadata"]["name"]
        async for page in port.objects.pages("ConfigMap", namespace=namespace)
        for one in page.items
    ]
    assert names == [f"m{number:02}" for number in range(len(sizes))]
