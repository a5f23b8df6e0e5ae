"""Lists the objects of a cluster for callers that keep little of each: memory is that of one part of the list.

A list in parts is of one version, which the cluster keeps for some minutes (etcd's compaction). One that takes longer
is Gone in its middle, and begins again, in parts, too: a list in one piece has no bound, and the rest of an expired one
is of another version, after which a watch would miss what changed in between.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

from offbus_steps.port import Gone, Object, ObjectList, Objects, Unavailable

__all__ = ["TRIES", "beginning_again", "projected"]

TRIES = 3
"""How often a list is begun. What took minutes each time is a server that cannot answer now."""

K = TypeVar("K")
T = TypeVar("T")


async def beginning_again(look: Callable[[], Awaitable[T]]) -> T:
    """What `look` finds in lists that it reads part by part; it is called anew when one has expired, so it begins with
    nothing each time. Raises Unavailable when they expire each time."""
    for _ in range(TRIES - 1):
        try:
            return await look()
        except Gone:
            continue
    try:
        return await look()
    except Gone as err:
        raise Unavailable(
            f"a list takes longer than the cluster keeps its versions: {err.message}",
            hint="the API server is slow, or something between here and it is",
        ) from err


async def projected(
    objects: Objects, kind: str, keep: Callable[[Object], K | None], *, namespace: str = "", labels: str = ""
) -> list[K]:
    """What `keep` keeps of each object of a kind, without the Nones. Raises PortError."""
    return await beginning_again(
        lambda: _projected(objects.pages(kind, namespace=namespace, labels=labels), keep)
    )


async def _projected(parts: AsyncIterator[ObjectList], keep: Callable[[Object], K | None]) -> list[K]:
    return [found async for part in parts for one in part.items if (found := keep(one)) is not None]
