"""The object store: what the conformance suite cannot see from outside."""

from pathlib import Path

import anyio
import pytest

from offbus_sandbox.adapter.port import LocalPort
from offbus_sandbox.controllers.graph_template import services_of
from offbus_sandbox.store.database import Database
from offbus_sandbox.store.history import Change
from offbus_sandbox.store.merge import merge
from offbus_sandbox.store.store import Store
from offbus_steps.port import Conflict, Gone, Invalid, Ref, WatchType
from offbus_steps.workloads.gpus import gpus_needed
from tests.kits.sandbox.local_cluster import SLEEP, deployment, pod

pytestmark = pytest.mark.anyio

REF = Ref("ConfigMap", "c", "test")
CONFIG_MAP = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": "test"}}


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
    ids=str,
)
def test_merge_follows_the_table_of_rfc_7396(target: object, patch: object, result: object) -> None:
    before = repr(target)
    assert merge(target, patch) == result
    assert repr(target) == before


def test_objects_and_versions_outlive_the_store(tmp_path: Path) -> None:
    first = Store(Database(tmp_path / "s"))
    made = first.create(CONFIG_MAP)
    first.close()
    second = Store(Database(tmp_path / "s"))
    assert second.get(REF) == made
    assert second.list("ConfigMap").resource_version == made["metadata"]["resourceVersion"]
    changed = second.patch(REF, {"data": {"a": "1"}})
    assert int(changed["metadata"]["resourceVersion"]) > int(made["metadata"]["resourceVersion"])
    second.close()


def test_a_version_from_before_a_restart_is_gone(tmp_path: Path) -> None:
    first = Store(Database(tmp_path / "s"))
    first.create(CONFIG_MAP)
    before = first.history.last - 1
    first.close()
    second = Store(Database(tmp_path / "s"))
    with pytest.raises(Gone):
        second.history.since(before)
    second.close()


def test_a_version_of_the_future_is_gone(store: Store) -> None:
    with pytest.raises(Gone):
        store.history.since(store.history.last + 1)


async def test_a_watch_that_falls_behind_is_gone(store: Store) -> None:
    store.create(CONFIG_MAP)
    start = store.history.last
    follow = store.history.follow(start)
    for count in range(25):  # the window keeps 10, and is trimmed at twice that
        store.patch(REF, {"data": {"count": str(count)}})
    with pytest.raises(Gone):
        await anext(follow)


async def test_closing_the_store_ends_watches(store: Store) -> None:
    seen: list[Change] = []

    async def follow() -> None:
        async for batch in store.history.follow(store.history.last):
            seen.extend(batch)

    with anyio.fail_after(30):
        async with anyio.create_task_group() as group:
            group.start_soon(follow)
            await anyio.lowlevel.checkpoint()
            store.create(CONFIG_MAP)
            await anyio.lowlevel.checkpoint()
            store.history.close()
    assert [c.object["kind"] for c in seen] == ["Namespace", "ConfigMap"]


def test_an_object_with_finalizers_stays_until_they_are_gone(store: Store) -> None:
    store.create({**CONFIG_MAP, "metadata": {**CONFIG_MAP["metadata"], "finalizers": ["x"]}})
    store.delete(REF)
    assert store.get(REF)["metadata"]["deletionTimestamp"]
    store.patch(REF, {"metadata": {"finalizers": None}})
    assert store.find(REF) is None


def test_listeners_hear_of_every_change_after_it_is_stored(store: Store) -> None:
    heard = []
    store.listen(lambda change: heard.append((change.type, store.find(Ref.of(change.object)) is not None)))
    store.create(CONFIG_MAP)
    store.delete(REF)
    assert heard[-2:] == [(WatchType.ADDED, True), (WatchType.DELETED, False)]


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"metadata": {"name": "other"}}, Invalid),
        ({"metadata": {"creationTimestamp": "2000-01-01T00:00:00Z"}}, Invalid),
        ({"kind": "Secret"}, Invalid),
        ({"metadata": {"labels": {"a": 1}}}, Invalid),
        ({"metadata": {"uid": "other"}}, Conflict),
        ({"metadata": {"resourceVersion": "0"}}, Conflict),
    ],
    ids=["name", "creation", "kind", "label", "uid", "version"],
)
def test_what_nobody_may_patch(store: Store, change: dict[str, object], error: type[Exception]) -> None:
    made = store.create(CONFIG_MAP)
    with pytest.raises(error):
        store.patch(REF, change)
    assert store.get(REF) == made


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "p"}, "spec": {}}, "containers"),
        ({"kind": "Pod", "apiVersion": "v2", "metadata": {"name": "p"}}, "apiVersion"),
        (
            {"kind": "Deployment", "apiVersion": "apps/v1", "metadata": {"name": "d"}},
            "spec.selector.*spec.template",
        ),
        (deployment("d", 1, SLEEP, selector={"matchLabels": {"app": "other"}}), "must be set and match"),
        (deployment("d", -1, SLEEP), "spec.replicas"),
        (pod("p", ["true"], container={"env": [{"value": "1"}]}), r"spec.containers.0.env.0.name"),
        (pod("p", ["true"], container={"command": "true"}), r"spec.containers.0.command"),
        (pod("p", ["true"], container={"resources": {"limits": {"nvidia.com/gpu": "half"}}}), "whole number"),
        (pod("p", ["true"], initContainers=[{"name": "main", "command": ["true"]}]), "the same name"),
        (pod("p", ["true"], container={"name": "../up"}), "spec.containers.0.name"),
        ({"kind": "ConfigMap", "apiVersion": "v1"}, "metadata"),
        ({"kind": "Node", "apiVersion": "v1", "metadata": {"name": "n", "namespace": "x"}}, "namespace"),
        (
            {
                "kind": "DynamoGraphDeployment",
                "apiVersion": "nvidia.com/v1alpha1",
                "metadata": {"name": "g"},
                "spec": {"services": {"Worker": {"replicas": -1}}},
            },
            r"Worker.replicas.*Worker.extraPodSpec",
        ),
    ],
    ids=[
        "pod",
        "version",
        "deployment",
        "selector",
        "replicas",
        "env",
        "command",
        "gpu",
        "names",
        "container-name",
        "metadata",
        "namespace",
        "graph",
    ],
)
def test_what_could_not_work_is_refused_with_the_reason(
    store: Store, body: dict[str, object], why: str
) -> None:
    with pytest.raises(Invalid, match=why):
        store.create(body)


def test_a_pods_spec_is_fixed(store: Store) -> None:
    spec = {"containers": [{"name": "main", "command": ["true"]}]}
    store.create(
        {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "p", "namespace": "test"}, "spec": spec}
    )
    with pytest.raises(Invalid, match="nodeName"):
        store.patch(Ref("Pod", "p", "test"), {"spec": {"nodeName": "node-1"}})


async def test_a_watch_that_sees_nothing_is_told_how_far_it_is(port: LocalPort) -> None:
    version = (await port.objects.list("Lease")).resource_version
    with anyio.fail_after(60):
        async with anyio.create_task_group() as group:
            group.start_soon(churn, port)
            async for event in port.objects.watch("Lease", resource_version=version):
                assert event.type is WatchType.BOOKMARK
                assert int(event.object["metadata"]["resourceVersion"]) > int(version)
                break
            group.cancel_scope.cancel()


async def churn(port: LocalPort) -> None:
    """Changes that nobody asked for."""
    await port.objects.create(CONFIG_MAP)
    for count in range(10_000):
        await port.objects.patch(REF, {"data": {"count": str(count)}})


@pytest.mark.parametrize("amount", [None, 1, "1.0", "1000m"], ids=str)
def test_gpu_amounts_are_quantities(store: Store, amount: object) -> None:
    made = store.create(pod("p", ["true"], container={"resources": {"limits": {"nvidia.com/gpu": amount}}}))
    assert gpus_needed(made["spec"]) == (amount is not None)


@pytest.mark.parametrize("field", ["services", "components"])
def test_empty_replicas_of_a_graph_are_one(field: str) -> None:
    pods = {"podTemplate": {"spec": {"containers": []}}, "replicas": None}
    parts = {"services": {"w": {"replicas": None}}, "components": [{"name": "w", **pods}]}
    assert services_of({"spec": {field: parts[field]}})["w"]["replicas"] == 1
