"""Watches: from a version on, in order, by selector, resumable, and Gone when the version is too old."""
# ruff: noqa: S101  this is a test suite that ships

from collections.abc import Callable
from typing import Any

import anyio
import pytest

from offbus_steps.port import Gone, Port, Ref, Silent, WatchType
from offbus_steps.testing.conformance.manifests import config_map
from offbus_steps.testing.conformance.waiting import next_event, watching

__all__ = ["SilenceConformance", "WatchConformance"]


class WatchConformance:
    """See the package's docstring for the fixtures."""

    async def test_a_watch_tells_the_life_of_an_object_in_order(self, port: Port, namespace: str) -> None:
        version = (await port.objects.list("ConfigMap", namespace=namespace)).resource_version
        ref = Ref("ConfigMap", "life", namespace)
        await port.objects.create(config_map(namespace, "life"))
        await port.objects.patch(ref, {"data": {"a": "2"}})
        await port.objects.delete(ref)
        seen = await events(port, namespace, version, "life", 3)
        assert [kind for kind, _ in seen] == [WatchType.ADDED, WatchType.MODIFIED, WatchType.DELETED]
        assert seen[1][1]["data"]["a"] == "2"

    async def test_a_watch_sees_what_happens_after_it_began(self, port: Port, namespace: str) -> None:
        version = (await port.objects.list("ConfigMap", namespace=namespace)).resource_version
        async with anyio.create_task_group() as group:
            group.start_soon(port.objects.create, config_map(namespace, "later"))
            seen = await events(port, namespace, version, "later", 1)
        assert seen[0][0] is WatchType.ADDED

    async def test_a_watch_resumes_after_the_version_of_an_event(self, port: Port, namespace: str) -> None:
        version = (await port.objects.list("ConfigMap", namespace=namespace)).resource_version
        for name in ("one", "two", "three"):
            await port.objects.create(config_map(namespace, name))
        async with watching(port, namespace, version) as first:
            named = await next_event(first)
            while named.object["metadata"]["name"] != "one":
                named = await next_event(first)
        resumed = named.object["metadata"]["resourceVersion"]
        async with watching(port, namespace, resumed) as rest:
            later = [(await next_event(rest)).object["metadata"]["name"] for _ in range(2)]
        assert later == ["two", "three"]

    async def test_versions_of_events_only_grow(self, port: Port, namespace: str) -> None:
        version = (await port.objects.list("ConfigMap", namespace=namespace)).resource_version
        await port.objects.create(config_map(namespace, "grow"))
        for value in "23456":
            await port.objects.patch(Ref("ConfigMap", "grow", namespace), {"data": {"a": value}})
        seen = await events(port, namespace, version, "grow", 6)
        versions = [int(obj["metadata"]["resourceVersion"]) for _, obj in seen]
        assert versions == sorted(set(versions))

    async def test_a_selector_makes_objects_come_and_go(self, port: Port, namespace: str) -> None:
        version = (await port.objects.list("ConfigMap", namespace=namespace)).resource_version
        ref = Ref("ConfigMap", "moves", namespace)
        await port.objects.create(config_map(namespace, "never", color="blue"))
        await port.objects.create(config_map(namespace, "moves", color="blue"))
        await port.objects.patch(ref, {"metadata": {"labels": {"color": "red"}}})
        await port.objects.patch(ref, {"data": {"a": "2"}})
        await port.objects.patch(ref, {"metadata": {"labels": {"color": "blue"}}})
        async with watching(port, namespace, version, labels="color=red") as selected:
            seen = [await next_event(selected) for _ in range(3)]
        assert [event.type for event in seen] == [WatchType.ADDED, WatchType.MODIFIED, WatchType.DELETED]
        assert {event.object["metadata"]["name"] for event in seen} == {"moves"}

    async def test_a_version_that_is_too_old_is_gone(
        self, port: Port, namespace: str, old_version: str
    ) -> None:
        async with watching(port, namespace, old_version) as old:
            with pytest.raises(Gone):
                await next_event(old)


class SilenceConformance:
    """A dead connection is noticed by what does not come through it."""

    async def test_a_watch_through_which_nothing_comes_is_silent(
        self, port: Port, namespace: str, silence: Callable[[], None]
    ) -> None:
        version = (await port.objects.list("ConfigMap", namespace=namespace)).resource_version
        await port.objects.create(config_map(namespace, "before"))
        async with watching(port, namespace, version) as watch:
            while (await next_event(watch)).object["metadata"]["name"] != "before":
                pass
            silence()
            with pytest.raises(Silent) as told:
                await next_event(watch)
        assert told.value.silent_s > 0


async def events(
    port: Port, namespace: str, version: str, name: str, count: int
) -> list[tuple[WatchType, dict[str, Any]]]:
    """The first `count` events about one object."""
    seen: list[tuple[WatchType, dict[str, Any]]] = []
    async with watching(port, namespace, version) as watch:
        while len(seen) < count:
            event = await next_event(watch)
            if event.object["metadata"]["name"] == name:
                seen.append((event.type, event.object))
    return seen
