"""The pods' other routes: eviction and logs."""

from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from offbus_sandbox.adapter.wire import resource_path
from offbus_sandbox.api.objects import delete_options, read_body
from offbus_sandbox.controllers.disruption import evict
from offbus_sandbox.kubelet.host import log_folder
from offbus_sandbox.layout import Layout
from offbus_sandbox.store.store import Store
from offbus_steps.kinds import KINDS
from offbus_steps.port import Invalid, NotFound, Ref

__all__ = ["PodRoutes"]

LARGEST_LOG = 4 << 20
"""Bytes: at most this much of a log's end is returned."""


@dataclass(frozen=True, slots=True)
class PodRoutes:
    """Evictions and logs."""

    store: Store
    layout: Layout

    def routes(self) -> list[Route]:
        """Kubernetes' paths."""
        pod = resource_path(KINDS["Pod"], "{namespace}", "{name}")
        return [
            Route(f"{pod}/eviction", self.evict, methods=["POST"]),
            Route(f"{pod}/log", self.log, methods=["GET"]),
        ]

    async def evict(self, request: Request) -> Response:
        """The Eviction API (policy/v1)."""
        body = await read_body(request)
        uid, grace = delete_options(body.get("deleteOptions") or {})
        evict(self.store, Ref("Pod", **request.path_params), uid=uid, grace_seconds=grace)
        return JSONResponse({"kind": "Status", "apiVersion": "v1", "status": "Success"}, status_code=201)

    async def log(self, request: Request) -> Response:
        """A container's log: `container`, `previous`, `tailLines`."""
        pod = self.store.get(Ref("Pod", **request.path_params))
        names = [c["name"] for c in (*pod["spec"]["containers"], *(pod["spec"].get("initContainers") or ()))]
        asked = request.query_params.get("container", "")
        if asked and asked not in names:
            raise Invalid(f"container {asked!r} is not in the pod", hint=f"it has {', '.join(names)}")
        container = asked or str(names[0])  # the first one when none is named, as in Kubernetes
        status = pod["status"]
        statuses = (*status.get("containerStatuses", ()), *status.get("initContainerStatuses", ()))
        count = next((s["restartCount"] for s in statuses if s["name"] == container), 0)
        wanted = count - 1 if request.query_params.get("previous") == "true" else count
        tail = request.query_params.get("tailLines", "")
        if tail and (not tail.isdecimal() or len(tail) > 18):
            raise Invalid(f"tailLines is {tail!r}, not a whole number of 0 or more")
        node = pod["spec"].get("nodeName")
        folder = log_folder(self.layout.node(node), pod, container) if node else None
        return PlainTextResponse(read_log(folder, wanted, int(tail) if tail else None))


def read_log(folder: Path | None, start: int, tail: int | None) -> str:
    """The text of one start's log. Raises NotFound when there was no previous start."""
    if start < 0:
        raise NotFound("the container has not been restarted: there is no previous log")
    path = folder / f"{start}.log" if folder else None
    if path is None or not path.exists():
        return ""  # it has not started yet
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - LARGEST_LOG))
        text = file.read().decode("utf-8", errors="replace")
    return text if tail is None else "".join(text.splitlines(keepends=True)[-tail:] if tail else [])
