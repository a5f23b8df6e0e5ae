"""The objects' routes: list, watch, create, get, patch, status, delete, for every kind of the port.

Bodies are bounded and must be JSON objects; every refusal is a Kubernetes `Status` (offbus_sandbox.adapter.wire).
"""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from offbus_sandbox.adapter.wire import resource_path, status_of
from offbus_sandbox.store.store import Store, in_scope
from offbus_steps.kinds import ApiResource
from offbus_steps.port import Conflict, Gone, Invalid, Object, Ref, WatchType
from offbus_steps.workloads.labels import Selector, parse_selector

__all__ = ["ObjectRoutes", "read_body"]

LARGEST_BODY = 1_572_864
"""Bytes: etcd's default limit (1.5 MiB), so a cluster refuses the same."""
BOOKMARK_AFTER = 100
"""Changes that a watch may skip before it gets a bookmark."""
QUIET_S = 10.0
"""How long a watch may be quiet before it gets one, as a sign of life."""


@dataclass(frozen=True, slots=True)
class ObjectRoutes:
    """The routes of one kind."""

    store: Store
    resource: ApiResource

    def routes(self) -> list[Route]:
        """This kind's routes."""
        everywhere = resource_path(self.resource)
        scope = "{namespace}" if self.resource.namespaced else ""
        inside = resource_path(self.resource, scope)
        one = resource_path(self.resource, scope, "{name}")
        lists = [Route(everywhere, self.list, methods=["GET"])] if scope else []
        return [
            *lists,
            Route(inside, self.list, methods=["GET"]),
            Route(inside, self.create, methods=["POST"]),
            Route(one, self.get, methods=["GET"]),
            Route(one, self.patch, methods=["PATCH"]),
            Route(one, self.delete, methods=["DELETE"]),
            Route(f"{one}/status", partial(self.patch, status=True), methods=["PATCH"]),
        ]

    async def list(self, request: Request) -> Response:
        """All objects, or with `watch` their changes."""
        namespace = request.path_params.get("namespace", "")
        labels = request.query_params.get("labelSelector", "")
        if request.query_params.get("watch") in {"1", "true"}:
            version = request.query_params.get("resourceVersion", "")
            if not version.isdecimal() or len(version) > 18:
                raise Invalid(f"resourceVersion is {version!r}; a watch starts from the version of a list")
            lines = self._lines(namespace, parse_selector(labels), int(version))
            self.store.history.since(int(version))  # raises Gone before the stream begins, if it can
            return StreamingResponse(lines, media_type="application/json")
        found = self.store.list(self.resource.kind, namespace=namespace, labels=labels)
        meta = {"resourceVersion": found.resource_version}
        return JSONResponse(
            {"kind": f"{self.resource.kind}List", "metadata": meta, "items": list(found.items)}
        )

    async def _lines(self, namespace: str, selects: Selector, version: int) -> AsyncIterator[str]:
        passed = 0
        try:
            async for batch in self.store.history.follow(version, quiet_s=QUIET_S):
                version = batch[-1].version if batch else version
                seen = list(in_scope(batch, self.resource.kind, namespace, selects))
                for change in seen:
                    yield line(change.type.value, change.object)
                passed = 0 if seen else passed + len(batch)
                if passed >= BOOKMARK_AFTER or not batch:
                    passed = 0
                    meta = {"resourceVersion": str(version)}
                    bookmark: Object = {"kind": self.resource.kind}
                    bookmark |= {"apiVersion": self.resource.api_version, "metadata": meta}
                    yield line(WatchType.BOOKMARK.value, bookmark)
        except Gone as err:
            yield line("ERROR", status_of(err))

    async def create(self, request: Request) -> Response:
        """A new object."""
        body = await read_body(request)
        meta = body.get("metadata")
        namespace = request.path_params.get("namespace", "")
        if isinstance(meta, dict) and meta.get("namespace", namespace) != namespace:
            raise Invalid(f"metadata.namespace is {meta['namespace']!r}, the path says {namespace!r}")
        if isinstance(meta, dict) and namespace:
            body = {**body, "metadata": {**meta, "namespace": namespace}}
        if body.get("kind") != self.resource.kind:
            raise Invalid(f"kind is {body.get('kind')!r}, the path is that of {self.resource.kind}")
        dry_run = request.query_params.get("dryRun") == "All"
        return JSONResponse(self.store.create(body, dry_run=dry_run), status_code=201)

    async def get(self, request: Request) -> Response:
        """One object."""
        return JSONResponse(self.store.get(self._ref(request)))

    async def patch(self, request: Request, *, status: bool = False) -> Response:
        """JSON merge patch of everything but the status, or of the status alone."""
        body = await read_body(request)
        return JSONResponse(self.store.patch(self._ref(request), body, status=status))

    async def delete(self, request: Request) -> Response:
        """Ask for deletion; the body is Kubernetes' `DeleteOptions`."""
        options = await read_body(request, optional=True)
        uid, grace = delete_options(options)
        return JSONResponse(self.store.delete(self._ref(request), uid=uid, grace_seconds=grace))

    def _ref(self, request: Request) -> Ref:
        params = request.path_params
        return Ref(self.resource.kind, params["name"], params.get("namespace", ""))


def delete_options(options: dict[str, Any]) -> tuple[str, int | None]:
    """uid and grace of `DeleteOptions`. Raises Invalid, and Conflict for a resourceVersion precondition."""
    preconditions = options.get("preconditions") or {}
    if preconditions.get("resourceVersion"):
        raise Conflict(
            "a resourceVersion precondition of a deletion is not supported here; set `uid` instead"
        )
    grace = options.get("gracePeriodSeconds")
    if grace is not None and (not isinstance(grace, int) or grace < 0):
        raise Invalid(f"gracePeriodSeconds is {grace!r}, not a whole number of 0 or more")
    return str(preconditions.get("uid") or ""), grace


async def read_body(request: Request, *, optional: bool = False) -> dict[str, Any]:
    """The request's JSON object, bounded. Raises Invalid."""
    raw = bytearray()
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > LARGEST_BODY:
            raise Invalid(f"the body is longer than {LARGEST_BODY} bytes")
    if not raw and optional:
        return {}
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError) as err:
        raise Invalid(f"the body is not JSON: {err}") from err
    if not isinstance(body, dict):
        raise Invalid("the body is not a JSON object")
    return body


def line(kind: str, obj: Object) -> str:
    """One event of a watch, as Kubernetes streams them."""
    return json.dumps({"type": kind, "object": obj}, separators=(",", ":")) + "\n"
