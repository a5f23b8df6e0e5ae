"""Waiting for an object's state: by watch, with a timeout far beyond any real duration."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio

from offbus_steps.port import NotFound, Object, Port, Ref, WatchEvent, WatchType

__all__ = ["gone", "next_event", "until", "watching"]

WATCHDOG_S = 60.0


async def until(port: Port, ref: Ref, holds: Callable[[Object], bool]) -> Object:
    """The object as soon as `holds` is true of it. Raises TimeoutError."""
    with anyio.fail_after(WATCHDOG_S):
        listing = await port.objects.list(ref.kind, namespace=ref.namespace)
        for obj in listing.items:
            if obj["metadata"]["name"] == ref.name and holds(obj):
                return obj
        async for event in port.objects.watch(
            ref.kind, namespace=ref.namespace, resource_version=listing.resource_version
        ):
            if event.type in (WatchType.BOOKMARK, WatchType.DELETED):
                continue
            if event.object["metadata"]["name"] == ref.name and holds(event.object):
                return event.object
    raise AssertionError("a watch ended by itself")


async def gone(port: Port, ref: Ref) -> None:
    """Wait until the object does not exist. Raises TimeoutError."""
    with anyio.fail_after(WATCHDOG_S):
        listing = await port.objects.list(ref.kind, namespace=ref.namespace)
        try:
            await port.objects.get(ref)
        except NotFound:
            return
        async for event in port.objects.watch(
            ref.kind, namespace=ref.namespace, resource_version=listing.resource_version
        ):
            if event.type is WatchType.DELETED and event.object["metadata"]["name"] == ref.name:
                return


@asynccontextmanager
async def watching(
    port: Port, namespace: str, version: str, *, labels: str = ""
) -> AsyncIterator[AsyncIterator[WatchEvent]]:
    """A watch of ConfigMaps, closed at the end."""
    events = port.objects.watch("ConfigMap", namespace=namespace, labels=labels, resource_version=version)
    try:
        yield events
    finally:
        end = getattr(events, "aclose", None)
        if end is not None:
            await end()


async def next_event(events: AsyncIterator[WatchEvent]) -> WatchEvent:
    """The next change, bookmarks aside. Raises TimeoutError."""
    with anyio.fail_after(WATCHDOG_S):
        async for event in events:
            if event.type is not WatchType.BOOKMARK:
                return event
    raise AssertionError("a watch ended by itself")
