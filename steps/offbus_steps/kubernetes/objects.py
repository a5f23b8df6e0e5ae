"""The objects of a cluster: `offbus_steps.port.Objects` over the REST interface.

Whoever may create objects anywhere chooses their size, so the pages of a list are bounded by bytes, too: a page that is
too large is not read on, and asked for again with fewer items; the next ones have as many as are likely to fit. Memory
is one page's, for callers of `pages` who keep little of each: what a page holds is let go when the next is asked for.
"""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from offbus_steps.kinds import ApiResource
from offbus_steps.kubernetes.rest.api import Api, Call, TooLarge
from offbus_steps.kubernetes.rest.discovery import ServedKinds
from offbus_steps.kubernetes.rest.paths import collection, member
from offbus_steps.kubernetes.rest.watch_stream import events_after
from offbus_steps.listing import beginning_again
from offbus_steps.port import Object, ObjectList, Objects, Ref, WatchEvent
from offbus_steps.text_lines import LONGEST as LARGEST_OBJECT
from offbus_steps.workloads.gpus import main_container

__all__ = ["KubernetesObjects"]

MERGE_PATCH = "application/merge-patch+json"
PAGE = 500
"""Items in one page of a list, as kubectl asks for."""
LARGEST_PAGE = 4 << 20
"""Bytes of one page. In memory it has up to 25 times as many: `{"name":"a"},` are 13 bytes, and a mapping of 250."""
FEWER = 8
"""By what the items of a page are divided that was too large."""
FILLED = 0.75
"""How much of its bytes a page is to have, by the size of the items of the page before."""
LARGEST_LOG = 16 << 20
"""Bytes of one container's log, from its beginning or from the first of the `tail` lines on (`limitBytes`)."""


@dataclass(frozen=True, slots=True)
class KubernetesObjects(Objects):
    """See `offbus_steps.port.Objects`."""

    api: Api
    served: ServedKinds

    async def get(self, ref: Ref) -> Object:
        """One object."""
        return await self.api.json(Call("GET", await self._path(ref)))

    async def list(self, kind: str, *, namespace: str = "", labels: str = "", fields: str = "") -> ObjectList:
        """All objects of a kind that match; `fields` is a Kubernetes field selector."""
        resource = await self.served.resource(kind)
        selectors = _selectors(labels, fields)
        return await beginning_again(lambda: self._pages(resource, namespace, selectors))

    async def pages(
        self, kind: str, *, namespace: str = "", labels: str = ""
    ) -> AsyncGenerator[ObjectList, None]:
        """All objects of a kind that match, as the server gives them."""
        resource = await self.served.resource(kind)
        async for page in self._parts(resource, namespace, _selectors(labels)):
            yield page

    async def watch(
        self, kind: str, *, namespace: str = "", labels: str = "", resource_version: str
    ) -> AsyncGenerator[WatchEvent, None]:
        """Changes after `resource_version`, without end."""
        resource = await self.served.resource(kind)
        path = collection(resource, namespace)
        async with aclosing(events_after(self.api, path, _selectors(labels), resource_version)) as events:
            async for event in events:
                yield event

    async def create(self, obj: Mapping[str, Any], *, dry_run: bool = False) -> Object:
        """Create, or show what would be created."""
        resource = await self.served.for_object(obj)
        namespace = (obj.get("metadata") or {}).get("namespace") or "default"
        path = collection(resource, namespace if resource.namespaced else "")
        params = {"dryRun": "All"} if dry_run else {}
        body = {**obj, "apiVersion": resource.api_version}
        return await self.api.json(Call("POST", path, body=body, params=params))

    async def patch(self, ref: Ref, patch: Mapping[str, Any], *, status: bool = False) -> Object:
        """JSON merge patch."""
        path = await self._path(ref, "status" if status else "")
        return await self.api.json(Call("PATCH", path, body=patch, content_type=MERGE_PATCH))

    async def delete(self, ref: Ref, *, uid: str = "", grace_seconds: int | None = None) -> None:
        """Ask for deletion; what the object owns is deleted after it."""
        body = {"propagationPolicy": "Background", **_options(uid, grace_seconds)}
        await self.api.ask(Call("DELETE", await self._path(ref), body=body))

    async def evict(self, ref: Ref, *, uid: str = "") -> None:
        """Evict a pod."""
        body = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": ref.name, "namespace": ref.namespace},
            "deleteOptions": _options(uid, None),
        }
        await self.api.ask(Call("POST", await self._path(ref, "eviction"), body=body))

    async def logs(
        self, pod: Ref, *, container: str = "", previous: bool = False, tail: int | None = None
    ) -> str:
        """A container's log."""
        # the API server wants a name where there are several
        container = container or main_container(await self.get(pod))
        params = {"container": container, "limitBytes": str(LARGEST_LOG)}
        params |= {"previous": "true"} if previous else {}
        if tail is not None:
            params["tailLines"] = str(tail)
        answer = await self.api.ask(
            Call("GET", await self._path(pod, "log"), params=params, headers={"Accept": "*/*"})
        )
        return answer.body.decode(errors="replace")

    async def _pages(self, resource: ApiResource, namespace: str, selectors: Mapping[str, str]) -> ObjectList:
        items: list[Object] = []
        version = ""
        async for page in self._parts(resource, namespace, selectors):
            items += page.items
            version = page.resource_version
        return ObjectList(items, version)

    async def _parts(
        self, resource: ApiResource, namespace: str, selectors: Mapping[str, str]
    ) -> AsyncGenerator[ObjectList, None]:
        """Pages of at most `PAGE` items."""
        path, token, limit = collection(resource, namespace), "", PAGE
        while True:
            params = {**selectors, "limit": str(limit), **_continued(token)}
            try:
                items, meta, length = await _page(self.api, resource, Call("GET", path, params=params), limit)
            except TooLarge:
                if limit <= 1:
                    raise
                limit = max(1, limit // FEWER)
                continue
            limit = max(1, min(PAGE, int(LARGEST_PAGE * FILLED * len(items) / length)))
            yield ObjectList(items, meta["resourceVersion"])
            items.clear()
            token = meta.get("continue", "")
            if not token:
                return

    async def _path(self, ref: Ref, subresource: str = "") -> str:
        return member(await self.served.resource(ref.kind), ref, subresource)


async def _page(
    api: Api, resource: ApiResource, call: Call, limit: int
) -> tuple[list[Object], Mapping[str, Any], int]:
    """The items of a page, its metadata, and its bytes. Raises TooLarge."""
    most = LARGEST_PAGE if limit > 1 else LARGEST_OBJECT
    page, length = await api.listed(call, most)
    # items of a list carry no kind of their own
    known = {"apiVersion": resource.api_version, "kind": resource.kind}
    for one in page["items"]:  # a third of every object; `get` still returns them
        one["metadata"].pop("managedFields", None)
    return [{**known, **one} for one in page["items"]], page["metadata"], length


def _continued(token: str) -> dict[str, str]:
    return {"continue": token} if token else {}


def _selectors(labels: str, fields: str = "") -> dict[str, str]:
    return {key: value for key, value in (("labelSelector", labels), ("fieldSelector", fields)) if value}


def _options(uid: str, grace_seconds: int | None) -> dict[str, Any]:
    """Kubernetes' `DeleteOptions`."""
    made: dict[str, Any] = {"preconditions": {"uid": uid}} if uid else {}
    return made if grace_seconds is None else {**made, "gracePeriodSeconds": grace_seconds}
