"""What somebody may write in a namespace of its own breaks no drill in another one, and is none of its residue."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any, cast

import anyio
import pytest

from offbus.journal.writer import JournalWriter
from offbus.runner.clock import SystemClock
from offbus.runner.recorder import RunRecorder
from offbus_steps.cluster.cluster import Cluster, open_cluster
from offbus_steps.deploy.undo_delete import DeleteObject
from offbus_steps.kubernetes.port import KubernetesPort
from offbus_steps.kubernetes.rest.paths import collection
from offbus_steps.port import Ref
from offbus_steps.residue.external_changes import LEFT_BY_RUN, REST
from offbus_steps.residue.fingerprint import RUN_LABEL
from offbus_steps.safety.guards import ClusterGuards

pytestmark = pytest.mark.anyio

RUN = "abcd1234"
GRAPH = "DynamoGraphDeployment"


@asynccontextmanager
async def opened(port: KubernetesPort, folder: Path, guards: ClusterGuards) -> AsyncIterator[Cluster]:
    journal = JournalWriter(folder / "journal.jsonl", RUN, SystemClock())
    handle = RunRecorder(
        journal, 1, {}, environment="kubernetes", abort=pytest.fail, progress=lambda _step, _text: None
    )
    async with open_cluster(port, handle, guards) as cluster:
        yield cluster
    journal.close()


async def create_nested(port: KubernetesPort, namespace: str, name: str, depth: int) -> None:
    """A graph with a spec of that depth; only its text can be made so deep."""
    resource = await port.objects.served.resource(GRAPH)
    graph = {
        "apiVersion": resource.api_version,
        "kind": GRAPH,
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"services": {"a": "DEEP"}},
    }
    text = json.dumps(graph).replace('"DEEP"', '{"a":' * depth + "1" + "}" * depth)
    connection = port.api.connection
    headers = {**await connection.headers(), "Content-Type": "application/json"}
    url = connection.server + collection(resource, namespace)
    async with connection.session.post(url, data=text.encode(), headers=headers) as answer:
        assert answer.status == 201, await answer.text()


@pytest.mark.guarantee("G28")
@pytest.mark.parametrize("depth", [700, 1500])
@pytest.mark.parametrize("guarded", [True, False], ids=["namespaces are named", "none is named"])
async def test_what_somebody_nests_deeply_breaks_no_fingerprint(
    port: KubernetesPort, namespace: str, tmp_path: Path, *, depth: int, guarded: bool
) -> None:
    guards = ClusterGuards(namespaces=(namespace,)) if guarded else ClusterGuards()
    await create_nested(port, namespace, "usual", 3)
    async with opened(port, tmp_path, guards) as cluster:
        before = await cluster.fingerprint()
        await create_nested(port, f"{namespace}-b", "deep", depth)
        after = await cluster.fingerprint()
    await port.objects.delete(Ref(GRAPH, "deep", f"{namespace}-b"))
    usual, deep = (f"{Ref(GRAPH, *one)} {REST}" for one in (("usual", namespace), ("deep", f"{namespace}-b")))
    assert before[usual] == after[usual]
    assert (deep in after) is not guarded


async def test_what_somebody_nests_deeply_breaks_no_watch(port: KubernetesPort, namespace: str) -> None:
    seen: Callable[..., Any] = port.objects.watch
    version = (await port.objects.list(GRAPH, namespace=namespace)).resource_version
    await create_nested(port, namespace, "deep", 1500)
    await create_nested(port, namespace, "usual", 3)
    told = []
    with anyio.fail_after(60):
        events = seen(GRAPH, namespace=namespace, resource_version=version)
        async with aclosing(cast(Any, events)) as changes:
            async for event in changes:
                told.append(event.object["metadata"]["name"])
                if told[-1] == "usual":
                    break
    assert told == ["deep", "usual"]
    await port.objects.delete(Ref(GRAPH, "deep", namespace))


@pytest.mark.guarantee("G28")
async def test_a_label_makes_nothing_a_runs_where_that_made_nothing(
    port: KubernetesPort, namespace: str, tmp_path: Path
) -> None:
    """The id of a run is no secret: agents tell it to everybody."""
    refs = [Ref("ConfigMap", "x", one) for one in (namespace, f"{namespace}-b")]
    mine, others = (f"{ref} {LEFT_BY_RUN}" for ref in refs)
    async with opened(port, tmp_path, ClusterGuards(namespaces=(namespace,))) as cluster:
        for ref in refs:
            meta = {"name": ref.name, "namespace": ref.namespace, "labels": {RUN_LABEL: RUN}}
            await port.objects.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta})
        found = await cluster.fingerprint()
        assert mine in found
        assert others not in found
    made = DeleteObject(kind="Deployment", name="web", namespace=namespace)
    async with opened(port, tmp_path, ClusterGuards()) as cluster:
        found = await cluster.fingerprint()
        assert cluster.external_change(mine, {}, found, [made]) is None
        assert cluster.external_change(others, {}, found, [made])
        assert cluster.external_change(others, {}, found, None) is None, "nobody knows what the run made"
