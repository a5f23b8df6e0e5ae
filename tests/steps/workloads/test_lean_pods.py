"""Looks at all pods of a cluster keep little of each: anybody may create large ones, in any namespace."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from offbus_steps.listing import projected
from offbus_steps.port import Gone, Object, ObjectList
from offbus_steps.workloads import pods
from offbus_steps.workloads.fit import Fleet, shortage
from tests.kits.steps.timed_port import TimedObjects, TimedPort, node, pod, put
from tests.kits.virtual_time import in_virtual_time

LARGE = "x" * 1_000_000


def large(name: str, on: str) -> Object:
    one = pod(name, "web", on)
    (container,) = one["spec"]["containers"]
    container |= {"args": [LARGE], "command": [LARGE], "env": [{"name": "A", "value": LARGE}]}
    container["resources"] = {"requests": {"nvidia.com/gpu": "1"}, "limits": {"nvidia.com/gpu": "1"}}
    one["spec"]["initContainers"] = [{"name": "i", "image": "none", "args": [LARGE]}]
    return one


def test_what_its_author_makes_large_is_let_go() -> None:
    kept = pods.lean(large("web-1", "node-1"))
    assert kept is not None
    assert len(repr(kept)) < 2000
    assert kept["spec"]["containers"][0]["resources"]["limits"] == {"nvidia.com/gpu": "1"}


def test_the_pod_itself_stays_as_it_is() -> None:
    one = large("web-1", "node-1")
    pods.lean(one)
    assert one == large("web-1", "node-1")


@pytest.mark.parametrize(("on", "nodes"), [("", None), ("node-1", {"node-2"}), ("node-1", set())])
def test_pods_without_a_node_or_on_another_one_are_left_out(on: str, nodes: set[str] | None) -> None:
    assert pods.lean(large("web-1", on), nodes) is None


def test_it_has_all_that_tells_where_pods_fit() -> None:
    nodes = [node("node-1"), node("node-2")]
    for one in nodes:
        one["status"]["allocatable"] = {"nvidia.com/gpu": "1", "pods": "10"}
    every = [large("web-1", "node-1"), large("web-2", "node-2")]
    lean = [one for one in map(pods.lean, every) if one is not None]
    found = [shortage(one[:1], Fleet(nodes, one[1:], closed=["node-1"])) for one in (every, lean)]
    assert found[0] == found[1]
    assert found[0].missing


class Expiring(TimedObjects):
    """Lists whose pages take too long, the first time."""

    expired = False

    async def pages(self, kind: str, *, namespace: str = "", labels: str = "") -> AsyncIterator[ObjectList]:
        """Two pages."""
        found = self.store.list(kind, namespace=namespace, labels=labels)
        yield ObjectList(found.items[:1], found.resource_version)
        if not self.expired:
            self.expired = True
            raise Gone("the continue token has expired")
        yield ObjectList(found.items[1:], found.resource_version)


@in_virtual_time
async def test_a_list_that_takes_too_long_is_read_again_and_nothing_twice(tmp_path: Path) -> None:
    port = TimedPort(tmp_path)
    port.store.close()
    port.objects = objects = Expiring(tmp_path)
    for name in ("a", "b", "c"):
        put(port.store, pod(name, "web", "node-1"))
    found = await projected(objects, "Pod", lambda one: str(one["metadata"]["name"]))
    assert sorted(found) == ["a", "b", "c"]
    port.store.close()
