"""A list whose continue token the API server has really forgotten: etcd is compacted between two of its pages.

A server with a cache of its watches has the rest of such a list for a while longer; this one has none.
"""

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from offbus_steps.kubernetes import objects
from offbus_steps.kubernetes.port import KubernetesPort
from offbus_steps.listing import beginning_again
from offbus_steps.port import Gone
from tests.kits.kubernetes.kubernetes_world import port_to, server_of_its_own
from tests.kits.kubernetes.lone_server import ADMIN, LoneServer

pytestmark = pytest.mark.anyio


@pytest.fixture
def uncached(tmp_path: Path) -> Iterator[LoneServer]:
    with server_of_its_own(tmp_path, ADMIN, flags=["--watch-cache=false"]) as server:
        yield server


def compact(server: LoneServer, version: str) -> None:
    """Have etcd forget what was before a version (its gateway: POST /v3/kv/compaction)."""
    body = json.dumps({"revision": version, "physical": True}).encode()
    url = f"http://127.0.0.1:{server.etcd_port}/v3/kv/compaction"
    with urllib.request.urlopen(urllib.request.Request(url, body), timeout=30) as answer:
        assert answer.status == 200


async def test_it_begins_again_and_loses_nothing(
    uncached: LoneServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "PAGE", 2)
    async with port_to(uncached) as port:
        await begins_again(port, uncached, "default")


async def begins_again(port: KubernetesPort, server: LoneServer, namespace: str) -> None:
    names = [f"m{number}" for number in range(6)]

    async def put(name: str) -> str:
        meta = {"name": name, "namespace": namespace}
        made = await port.objects.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta})
        return str(made["metadata"]["resourceVersion"])

    for name in names:
        await put(name)
    expired = []

    async def look() -> list[str]:
        found: list[str] = []
        try:
            async for page in port.objects.pages("ConfigMap", namespace=namespace):
                found += [one["metadata"]["name"] for one in page.items]
                if not expired:
                    expired.append("")
                    compact(server, await put("m00"))
        except Gone as err:
            expired[0] = err.message
            raise
        return found

    assert await beginning_again(look) == sorted([*names, "m00"])
    assert "too old" in expired[0]
