"""Waits for one object by list and watch, for those that the observer does not watch. Bounded by the caller."""

from offbus_steps.port import Gone, NotFound, Objects, Ref, WatchType

__all__ = ["until_gone"]


async def until_gone(objects: Objects, ref: Ref, uid: str) -> None:
    """Return when the object with that uid is no longer there. May raise Unavailable."""
    while True:
        try:
            found = await objects.get(ref)
        except NotFound:
            return
        if found["metadata"]["uid"] != uid:
            return
        try:
            await _deleted(objects, ref, found["metadata"]["resourceVersion"])
        except Gone:
            continue


async def _deleted(objects: Objects, ref: Ref, version: str) -> None:
    async for event in objects.watch(ref.kind, namespace=ref.namespace, resource_version=version):
        if event.type is WatchType.DELETED and event.object["metadata"]["name"] == ref.name:
            return
