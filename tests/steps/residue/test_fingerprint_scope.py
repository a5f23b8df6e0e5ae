"""The fingerprint of a large cluster looks for pods only where the drill may act, and says the same."""

from pathlib import Path
from typing import Any

import pytest

from offbus_steps.port import ObjectList
from offbus_steps.safety.guards import ClusterGuards
from tests.kits.steps.bench import bench_on
from tests.kits.steps.timed_port import TimedObjects, TimedPort, deployment, node, pod, put
from tests.kits.virtual_time import VirtualClock, in_virtual_time


class Noting(TimedObjects):
    """Notes where pods are looked for."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.searched: list[str] = []

    async def list(self, kind: str, *, namespace: str = "", labels: str = "") -> ObjectList:
        """As all lists, pages too."""
        if kind == "Pod" and not labels:
            self.searched.append(namespace)
        return await super().list(kind, namespace=namespace, labels=labels)


@in_virtual_time
@pytest.mark.parametrize(
    ("namespaces", "searched"),
    [
        (("drill",), ["drill"]),
        (("drill", "other", "drill"), ["drill", "other"]),
        (("drill*",), [""]),
        (("drill", "o?her"), [""]),
        (("[d]rill",), [""]),
    ],
)
async def test_pods_are_looked_for_where_the_drill_may_act(
    tmp_path: Path, namespaces: tuple[str, ...], searched: list[str]
) -> None:
    port = TimedPort(tmp_path)
    port.store.close()
    port.objects = objects = Noting(tmp_path)
    theirs = pod("theirs", "x", "node-1")
    theirs["metadata"]["namespace"] = "tenant"
    for one in (node("node-1"), deployment("web", 1), pod("web-1", "web", "node-1"), theirs):
        put(port.store, one)
    async with bench_on(
        port, tmp_path, ClusterGuards(namespaces=namespaces), clock=VirtualClock()
    ) as one_bench:
        found: dict[str, Any] = await one_bench.cluster.fingerprint()
    assert objects.searched == searched
    assert [name for name in found if name.startswith("Pods of ")] == ["Pods of Deployment/drill/web"]
    port.store.close()
