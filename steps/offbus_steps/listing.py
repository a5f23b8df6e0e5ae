"""Lists the objects of a cluster for callers that keep little of each: memory is that of one part of the list."""

from collections.abc import AsyncIterator, Callable
from typing import TypeVar

from offbus_steps.port import Gone, Object, ObjectList, Objects

__all__ = ["projected"]

K = TypeVar("K")


async def projected(
    objects: Objects, kind: str, keep: Callable[[Object], K | None], *, namespace: str = ""
) -> list[K]:
    """What `keep` keeps of each object of a kind, without the Nones. Raises PortError."""
    try:
        return await _projected(objects.pages(kind, namespace=namespace), keep)
    except Gone:  # it took too long: once more, in one piece
        return await _projected(_whole(objects, kind, namespace), keep)


async def _projected(parts: AsyncIterator[ObjectList], keep: Callable[[Object], K | None]) -> list[K]:
    return [found async for part in parts for one in part.items if (found := keep(one)) is not None]


async def _whole(objects: Objects, kind: str, namespace: str) -> AsyncIterator[ObjectList]:
    yield await objects.list(kind, namespace=namespace)
