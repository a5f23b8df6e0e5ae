"""The port within one process, for tests on virtual time: the sandbox's own store behind it, no socket, no thread.

Another adapter of the port. Its parts can be taken away and brought back, as a network does; agents and targets are
what the test says they answer.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import anyio

from offbus_sandbox.controllers.deployment import replica_set
from offbus_sandbox.controllers.disruption import evict
from offbus_sandbox.store.database import Database
from offbus_sandbox.store.history import Change
from offbus_sandbox.store.owners import owner_reference
from offbus_sandbox.store.store import Store, in_scope
from offbus_steps.port import (
    Agents,
    Object,
    ObjectList,
    Objects,
    Ref,
    Reply,
    Silent,
    Traffic,
    Unavailable,
    WatchEvent,
    WatchType,
)
from offbus_steps.safety.guards import ClusterGuards
from offbus_steps.workloads.labels import parse_selector, selects
from tests.kits.steps.bench import Bench, bench_on
from tests.kits.virtual_time import VirtualClock

__all__ = ["TimedPort", "deployment", "error", "node", "ok", "pod", "put", "timed_bench"]

RETAINED_CHANGES = 4
"""So few that a watch is Gone when it was away for some changes."""


class Asked:
    """What was asked, answered or not, and when."""

    def __init__(self) -> None:
        self._asked: list[tuple[float, str]] = []

    def note(self, call: str) -> None:
        """It is asked now."""
        self._asked.append((anyio.current_time(), call))

    def times(self, *calls: str, since: float = 0) -> list[float]:
        """When one of these calls was made."""
        return [round(at, 6) for at, call in self._asked if call in calls and at >= since]


class TimedObjects(Asked, Objects):
    """`offbus_steps.port.Objects` on a store in this process. Calls are noted as "list Node"."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.store = Store(Database(folder / "store.sqlite"), retained_changes=RETAINED_CHANGES)
        self.refusals: dict[str, Exception] = {}
        """Calls that are refused, and how: "patch Node"."""
        self._away, self._away_s, self._silent = False, 0.0, False
        self._watches: list[anyio.CancelScope] = []
        self._dropped: dict[anyio.CancelScope, float] = {}

    def drop_watches(self, *, noticed_after_s: float) -> None:
        """Nothing more comes through the watches that are open now; so much later they say so."""
        while self._watches:
            watch = self._watches.pop()
            self._dropped[watch] = noticed_after_s
            watch.cancel()

    def leave(self, *, away_s: float = 0.0) -> None:
        """Be unavailable from now on; watches break off, and say that they have tried for so long."""
        self._away, self._away_s = True, away_s
        while self._watches:
            self._watches.pop().cancel()

    def fall_silent(self) -> None:
        """Answer no call any more."""
        self._silent = True

    def come_back(self) -> None:
        """Be there again."""
        self._away = False

    async def get(self, ref: Ref) -> Object:
        await self._reached("get", ref.kind)
        return self.store.get(ref)

    async def list(self, kind: str, *, namespace: str = "", labels: str = "") -> ObjectList:
        await self._reached("list", kind)
        return self.store.list(kind, namespace=namespace, labels=labels)

    pages = Objects.pages

    async def watch(
        self, kind: str, *, namespace: str = "", labels: str = "", resource_version: str
    ) -> AsyncIterator[WatchEvent]:
        await self._reached("watch", kind)
        selects = parse_selector(labels)
        version = int(resource_version or self.store.history.last)
        if not resource_version:
            for obj in self.store.list(kind, namespace=namespace, labels=labels).items:
                yield WatchEvent(WatchType.ADDED, obj)
        while True:
            batch = await self._batch(version)
            version = batch[-1].version
            for change in in_scope(batch, kind, namespace, selects):
                yield WatchEvent(change.type, change.object)

    async def create(self, obj: Mapping[str, Any], *, dry_run: bool = False) -> Object:
        await self._reached("create", str(obj.get("kind")))
        return self.store.create(obj, dry_run=dry_run)

    async def patch(self, ref: Ref, patch: Mapping[str, Any], *, status: bool = False) -> Object:
        await self._reached("patch", ref.kind)
        return self.store.patch(ref, patch, status=status)

    async def delete(self, ref: Ref, *, uid: str = "", grace_seconds: int | None = None) -> None:
        await self._reached("delete", ref.kind)
        self.store.delete(ref, uid=uid, grace_seconds=grace_seconds)

    async def evict(self, ref: Ref, *, uid: str = "") -> None:
        await self._reached("evict", ref.kind)
        evict(self.store, ref, uid=uid)

    async def logs(
        self, pod: Ref, *, container: str = "", previous: bool = False, tail: int | None = None
    ) -> str:
        """Of a node that does not answer."""
        await self._reached("logs", pod.kind)
        await anyio.sleep_forever()
        raise AssertionError

    async def _reached(self, verb: str, kind: str) -> None:
        self.note(f"{verb} {kind}")
        if self._silent:
            await anyio.sleep_forever()
        if self._away:
            raise Unavailable("the API server is away")
        if refusal := self.refusals.get(f"{verb} {kind}"):
            raise refusal

    async def _batch(self, version: int) -> Sequence[Change]:
        with anyio.CancelScope() as scope:
            self._watches.append(scope)
            async with aclosing(cast(Any, self.store.history.follow(version))) as batches:
                batch: Sequence[Change] = await anext(batches)
                return batch
        if scope in self._dropped:
            silent_s = self._dropped.pop(scope)
            await anyio.sleep(silent_s)
            raise Silent("watch Node", silent_s=silent_s)
        broke = Unavailable("the watch broke off")
        broke.away_s = self._away_s
        raise broke


Answer = Callable[[str, str, Any], Awaitable[Reply]]
"""(method, path, body) -> what comes back."""


async def nobody(_method: str, _path: str, _body: Any) -> Reply:
    """No agent, no target."""
    raise Unavailable("nobody is there")


class TimedAgents(Asked):
    """`offbus_steps.port.Agents`: every node's agent is `answer`. Calls are noted as "GET /health"."""

    def __init__(self) -> None:
        super().__init__()
        self.answer: Answer = nobody

    ready = Agents.ready

    async def request(
        self,
        node: str,
        method: str,
        path: str,
        *,
        json: Any = None,
        timeout: float = 10.0,  # noqa: ASYNC109
    ) -> Reply:
        self.note(f"{method} {path.partition('?')[0]}")
        with anyio.move_on_after(timeout):
            return await self.answer(method, path, json)
        raise Unavailable(f"the agent of {node} did not answer within {timeout:g} s")


@dataclass
class TimedReply:
    """`offbus_steps.port.StreamingReply` of an answer that is there."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    async def lines(self) -> AsyncIterator[str]:
        for line in self.body.decode().splitlines():
            yield line

    async def read(self) -> bytes:
        return self.body


class TimedTraffic(Asked, Traffic):
    """`offbus_steps.port.Traffic`: the target is `answer`. Calls are noted as "POST /v1/chat/completions"."""

    def __init__(self) -> None:
        super().__init__()
        self.answer: Answer = nobody

    @asynccontextmanager
    async def exchange(
        self, to: Ref, method: str, path: str, *, port: int, json: Any, headers: Mapping[str, str] | None
    ) -> AsyncIterator[TimedReply]:
        self.note(f"{method} {path}")
        reply = await self.answer(method, path, json)
        yield TimedReply(reply.status, reply.headers, reply.body)


class TimedPort:
    """`offbus_steps.port.Port`, all in this process."""

    agent_namespace = ""
    local = False

    def __init__(self, folder: Path) -> None:
        self.objects = TimedObjects(folder)
        self.agents = TimedAgents()
        self.traffic = TimedTraffic()

    @property
    def store(self) -> Store:
        """The cluster as it is; what is written here comes from somebody else."""
        return self.objects.store

    def host_path(self, path: str, sub: str) -> str:
        return path


@asynccontextmanager
async def timed_bench(
    folder: Path, *objects: Object, guards: ClusterGuards | None = None
) -> AsyncIterator[tuple[Bench, TimedPort]]:
    """A cluster of these objects, open, on virtual time."""
    port = TimedPort(folder)
    for one in objects:
        put(port.store, one)
    async with bench_on(port, folder, guards, clock=VirtualClock()) as one:
        yield one, port
    port.store.close()


def put(store: Store, obj: Object) -> None:
    """Make an object with its status, which only its controller writes.

    A pod that does not say who owns it is its Deployment's, where one is there that selects it.
    """
    made = {key: value for key, value in obj.items() if key != "status"}
    if obj["kind"] == "Pod" and "ownerReferences" not in obj["metadata"]:
        made = {**made, "metadata": {**obj["metadata"], "ownerReferences": owners_of(store, obj)}}
    store.create(made)
    if "status" in obj:
        store.set_status(Ref.of(obj), obj["status"])


def owners_of(store: Store, pod: Object) -> list[dict[str, Any]]:
    """What the Deployment that selects a pod, if any, gives it: the reference to its ReplicaSet, which is made here."""
    labels = pod["metadata"].get("labels") or {}
    for owner in store.each("Deployment", pod["metadata"]["namespace"]):
        if selects(owner["spec"]["selector"], labels):
            made = replica_set(owner, "1")
            found = store.find(Ref.of(made)) or store.create(made)
            return [owner_reference(found)]
    return []


def ok(body: str | bytes, status: int = 200) -> Reply:
    """An answer."""
    return Reply(status, {}, body if isinstance(body, bytes) else body.encode())


def error(status: int, code: str) -> Reply:
    """An agent's refusal."""
    return ok(f'{{"error": {{"code": "{code}", "message": "{code}"}}}}', status)


def node(name: str, **spec: Any) -> Object:
    """A node that is ready."""
    status = {"conditions": [{"type": "Ready", "status": "True"}]}
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "spec": spec, "status": status}


def deployment(name: str, replicas: int, labels: Mapping[str, str] | None = None) -> Object:
    """A Deployment that is rolled out."""
    container = {"name": "main", "image": "none", "ports": [{"name": "http", "containerPort": 8000}]}
    counts = dict.fromkeys(("replicas", "readyReplicas", "updatedReplicas", "availableReplicas"), replicas)
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "drill", "labels": dict(labels or {})},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [container]}},
        },
        "status": {**counts, "observedGeneration": 1},
    }


def pod(name: str, app: str, on: str) -> Object:
    """A pod that is ready."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "drill", "labels": {"app": app}},
        "spec": {"nodeName": on, "containers": [{"name": "main", "image": "none"}]},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
    }
