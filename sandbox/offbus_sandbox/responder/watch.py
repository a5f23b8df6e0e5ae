"""Follows all objects of a kind: a list, then a watch from its version, and a new list when the watch is too old.

`follow` yields every existing or changed object, and deletions, until cancelled. While the API is unreachable it
retries, waiting up to 5 s. An object that disappeared between two lists is reported as deleted. Must not: poll, or keep
more than names and versions.
"""

import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import anyio

from offbus.errors import Retryable
from offbus_steps.port import Gone, Object, Objects, Ref, WatchType

__all__ = ["Seen", "follow"]

_FIRST_WAIT_S = 0.1
_LONGEST_WAIT_S = 5.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Seen:
    """An object as it is now; `object` is None when it is gone."""

    ref: Ref
    object: Object | None


@dataclass(frozen=True, slots=True)
class _Scope:
    kind: str
    namespace: str
    labels: str


async def follow(
    objects: Objects,
    kind: str,
    *,
    namespace: str = "",
    labels: str = "",
    listed: Callable[[], None] = lambda: None,
) -> AsyncIterator[Seen]:
    """All objects of a kind, until cancelled; `listed` is called whenever a whole list has been yielded."""
    scope = _Scope(kind, namespace, labels)
    known: set[Ref] = set()
    wait = _FIRST_WAIT_S
    while True:
        try:
            async for seen in _from_list(objects, scope, known, listed):
                yield seen
                wait = _FIRST_WAIT_S
        except Gone:
            _log.info("the watch of %s is too old, listing again", kind)
        except Retryable as err:
            _log.warning("cannot watch %s, retrying in %.1f s: %s", kind, wait, err)
            await anyio.sleep(wait)
            wait = min(wait * 2, _LONGEST_WAIT_S)


async def _from_list(
    objects: Objects, scope: _Scope, known: set[Ref], listed: Callable[[], None]
) -> AsyncIterator[Seen]:
    found = await objects.list(scope.kind, namespace=scope.namespace, labels=scope.labels)
    now = {Ref.of(item): item for item in found.items}
    for gone in known - now.keys():
        yield Seen(gone, None)
    known.clear()
    known.update(now)
    for ref, item in now.items():
        yield Seen(ref, item)
    listed()
    async for event in objects.watch(
        scope.kind, namespace=scope.namespace, labels=scope.labels, resource_version=found.resource_version
    ):
        if event.type is WatchType.BOOKMARK:
            continue
        ref = Ref.of(event.object)
        if event.type is WatchType.DELETED:
            known.discard(ref)
            yield Seen(ref, None)
        else:
            known.add(ref)
            yield Seen(ref, event.object)
