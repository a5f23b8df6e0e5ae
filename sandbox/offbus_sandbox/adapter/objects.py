"""The objects of a local cluster, over the supervisor's socket.

A quiet watch gets a bookmark every `offbus_sandbox.api.objects.QUIET_S`; one through which nothing came for three times
as long is Silent: the supervisor was stopped, or hangs.
"""

import json
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from offbus_sandbox.adapter.wire import error_of, resource_path
from offbus_sandbox.store.served import resource_of
from offbus_steps.port import (
    Invalid,
    Object,
    ObjectList,
    Objects,
    PortError,
    Ref,
    Silent,
    Unavailable,
    WatchEvent,
    WatchType,
)
from offbus_steps.text_lines import LineTooLong, lines_of
from offbus_steps.workloads.gpus import main_container

__all__ = ["LocalObjects", "ask", "error_in", "reaching"]

MERGE_PATCH = {"content-type": "application/merge-patch+json"}
SILENT_AFTER_S = 30.0


@dataclass(frozen=True, slots=True)
class LocalObjects(Objects):
    """See `offbus_steps.port.Objects`."""

    client: httpx.AsyncClient

    async def get(self, ref: Ref) -> Object:
        """One object."""
        return await ask(self.client, "GET", path_of(ref))

    async def list(self, kind: str, *, namespace: str = "", labels: str = "") -> ObjectList:
        """All objects of a kind that match."""
        resource = resource_of(kind)
        path = resource_path(resource, namespace)
        found = await ask(self.client, "GET", path, params={"labelSelector": labels})
        return ObjectList(found["items"], found["metadata"]["resourceVersion"])

    async def watch(
        self, kind: str, *, namespace: str = "", labels: str = "", resource_version: str
    ) -> AsyncIterator[WatchEvent]:
        """Changes after `resource_version`, until cancelled. Raises Gone, Silent, Unavailable."""
        params = {"watch": "true", "resourceVersion": resource_version, "labelSelector": labels}
        path = resource_path(resource_of(kind), namespace)
        with reaching():
            async with self.client.stream("GET", path, params=params, timeout=SILENT_AFTER_S) as answer:
                if answer.is_error:
                    await answer.aread()
                    raise error_in(answer)
                try:
                    async for line in lines_of(answer.aiter_raw()):
                        event = json.loads(line)
                        if event["type"] == "ERROR":
                            raise error_of(event["object"])
                        yield WatchEvent(WatchType(event["type"]), event["object"])
                except httpx.ReadTimeout as err:
                    raise Silent(f"the watch of {kind} objects", silent_s=SILENT_AFTER_S) from err
        raise Unavailable("the supervisor ended the watch", hint="list and watch again")

    async def create(self, obj: Mapping[str, Any], *, dry_run: bool = False) -> Object:
        """Create an object; with `dry_run`, return what would be created."""
        resource = resource_of(obj.get("kind"))
        namespace = (obj.get("metadata") or {}).get("namespace") or "default"
        path = resource_path(resource, namespace if resource.namespaced else "")
        params = {"dryRun": "All"} if dry_run else None
        return await ask(self.client, "POST", path, body=obj, params=params)

    async def patch(self, ref: Ref, patch: Mapping[str, Any], *, status: bool = False) -> Object:
        """JSON merge patch."""
        path = f"{path_of(ref)}/status" if status else path_of(ref)
        return await ask(self.client, "PATCH", path, body=patch, headers=MERGE_PATCH)

    async def delete(self, ref: Ref, *, uid: str = "", grace_seconds: int | None = None) -> None:
        """Ask for deletion."""
        options: dict[str, Any] = {"preconditions": {"uid": uid}} if uid else {}
        if grace_seconds is not None:
            options["gracePeriodSeconds"] = grace_seconds
        await ask(self.client, "DELETE", path_of(ref), body=options)

    async def evict(self, ref: Ref, *, uid: str = "") -> None:
        """Evict a pod."""
        body = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": ref.name, "namespace": ref.namespace},
            "deleteOptions": {"preconditions": {"uid": uid}} if uid else {},
        }
        await ask(self.client, "POST", f"{path_of(ref)}/eviction", body=body)

    async def logs(
        self, pod: Ref, *, container: str = "", previous: bool = False, tail: int | None = None
    ) -> str:
        """A container's log."""
        container = container or main_container(await self.get(pod))
        params = {"container": container} | ({"previous": "true"} if previous else {})
        if tail is not None:
            params["tailLines"] = str(tail)
        with reaching():
            answer = await self.client.get(f"{path_of(pod)}/log", params=params)
        if answer.is_error:
            raise error_in(answer)
        return answer.text


async def ask(
    client: httpx.AsyncClient,
    method: str,
    path: str,
    *,
    body: Mapping[str, Any] | None = None,
    params: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Object:
    """The supervisor's JSON object in answer to one request. Raises the error that it answered; Unavailable."""
    with reaching():
        answer = await client.request(method, path, json=body, params=params, headers=headers)
    if answer.is_error:
        raise error_in(answer)
    found: Object = answer.json()
    return found


def path_of(ref: Ref) -> str:
    """The path of one object. Raises Invalid for a name that is not valid: it would change the path."""
    resource = resource_of(ref.kind)
    for name in (ref.name, ref.namespace if resource.namespaced else "default"):
        if not name or "/" in name or name in {".", ".."}:
            raise Invalid(f"{ref} is not a valid object name")
    return resource_path(resource, ref.namespace if resource.namespaced else "", ref.name)


def error_in(answer: httpx.Response) -> PortError:
    """The error in a response."""
    try:
        status = answer.json()
    except ValueError:
        status = {"message": f"HTTP {answer.status_code}: {answer.text[:200]}"}
    return error_of(status if isinstance(status, dict) else {"message": str(status)})


@contextmanager
def reaching() -> Iterator[None]:
    """Translate httpx's errors: a supervisor that cannot be reached, or sends no lines, is Unavailable."""
    try:
        yield
    except (httpx.HTTPError, LineTooLong) as err:
        why = f"the supervisor of the local environment does not respond: {type(err).__name__}: {err}"
        raise Unavailable(why, hint="check that it runs: `offbus local status`") from err
