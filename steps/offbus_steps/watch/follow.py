"""Follows one scope of a cluster, for whoever keeps what it tells: list, then watch; never by polling.

A watch that is Gone lists again; one that is Unavailable resumes where it stopped, with a growing pause, and after a
minute its follower is told that it is blind. A watch that was Silent is told and resumed where it stopped: what is told
next may be as old as the silence was long.
"""

from collections.abc import Collection
from typing import Protocol, TypeVar

import anyio

from offbus_steps.port import (
    Gone,
    Invalid,
    NotFound,
    Objects,
    Ref,
    Silent,
    Unavailable,
    WatchEvent,
    WatchType,
)
from offbus_steps.watch.scope import P, Scope

__all__ = ["BLIND_AFTER", "LONGEST_PAUSE", "Follower", "follow"]

LONGEST_PAUSE = 5.0
BLIND_AFTER = 60.0
"""Seconds without the server after which a watch counts as lost. Mere silence does not count."""

Kept_contra = TypeVar("Kept_contra", contravariant=True)


class Follower(Protocol[Kept_contra]):
    """Whoever keeps what is told. `take` compares: what is told may be what is known."""

    async def learn(self, told: Collection[Kept_contra], version: str, /) -> None:
        """Read what has to be known before these, told at a version, are taken. May raise PortError: then they are
        told again."""

    def seed(self, projection: Kept_contra, /) -> None:
        """An object of the first list."""

    def take(self, ref: Ref, now: Kept_contra | None, /) -> None:
        """An object as it is now; None when it is gone."""

    def unread(self, what: str, why: str, /) -> None:
        """An object that cannot be read, and is passed over. Of one watch only a few are told."""

    def gone(self, watch: str, /) -> None:
        """The watch is too old: the difference to a new list follows, and what lay between is not known."""

    def silent(self, watch: str, err: Silent, /) -> None:
        """Nothing came for so long that what lies between must have dropped the watch."""

    def blind(self, watch: str, err: Unavailable, /) -> None:
        """The server has been unavailable for too long; it is tried on."""


async def follow(scope: Scope[P], objects: Objects, to: Follower[P]) -> None:
    """Follow a scope until it is cancelled, or turns out not to be served. Raises PortError for what has no way on."""
    while not scope.unserved:
        began = anyio.current_time()
        try:
            await _list(scope, objects, to)
            await _watch(scope, objects, to)
        except Gone:
            scope.version = ""
            to.gone(str(scope))
        except (NotFound, Invalid):
            scope.unserved = True
            scope.listed.set()
        except Silent as err:
            to.silent(str(scope), err)
        except Unavailable as err:
            now = anyio.current_time()
            lost = now - err.away_s
            if scope.lost is None or lost - began > BLIND_AFTER:
                scope.lost = lost
            if now - scope.lost > BLIND_AFTER:
                to.blind(str(scope), err)
            await anyio.sleep(scope.pause)
            scope.pause = min(scope.pause * 2, LONGEST_PAUSE)


async def _list(scope: Scope[P], objects: Objects, to: Follower[P]) -> None:
    if scope.version:
        return
    listing = await scope.list(objects, to.unread)
    await to.learn(listing.projections.values(), listing.version)
    for ref in scope.known - listing.projections.keys():
        scope.known.discard(ref)
        to.take(ref, None)
    for ref, projection in listing.projections.items():
        scope.known.add(ref)
        if scope.listed.is_set():
            to.take(ref, projection)
        else:
            to.seed(projection)
    scope.told(listing.version)
    scope.listed.set()


async def _watch(scope: Scope[P], objects: Objects, to: Follower[P]) -> None:
    watch = objects.watch(scope.kind, namespace=scope.namespace, resource_version=scope.version)
    async for event in watch:
        if event.type is not WatchType.BOOKMARK:
            await _take(scope, event, to)
        scope.told(event.object["metadata"]["resourceVersion"])


async def _take(scope: Scope[P], event: WatchEvent, to: Follower[P]) -> None:
    """Take a change. What can no longer be read, or is ignored by now, is not known as it was: as after a list."""
    gone, ref = event.type is WatchType.DELETED, scope.ref(event.object)
    projection = None if gone else scope.read(event.object, to.unread)
    if projection is not None:
        await to.learn([projection], event.object["metadata"]["resourceVersion"])
        scope.known.add(ref)
        to.take(ref, projection)
    elif ref in scope.known:
        scope.known.discard(ref)
        to.take(ref, None)
