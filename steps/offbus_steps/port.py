"""The environment port: everything that steps, probes and the stand-in responder need from a cluster.

Objects are plain dicts in Kubernetes' own shapes (camelCase, `apiVersion`, `kind`, `metadata`), the same from
every adapter: `kubernetes` maps the port to kubernetes-asyncio, `local` to its supervisor. One conformance suite
(`offbus_steps.testing.conformance`) runs against each of them.

Errors are subclasses of `PortError`, never an HTTP library's. Every call may raise `Unavailable` (try again).
"""

from collections.abc import AsyncGenerator, AsyncIterator, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol, runtime_checkable

from offbus.errors import Retryable, StepError

__all__ = [
    "LARGEST_ANSWER",
    "LARGEST_STREAM",
    "LARGEST_TOGETHER",
    "LONGEST_LINE",
    "Agents",
    "Conflict",
    "Forbidden",
    "Gone",
    "Invalid",
    "NotFound",
    "Object",
    "ObjectList",
    "Objects",
    "Observable",
    "Observed",
    "Port",
    "PortError",
    "Ref",
    "Reply",
    "Silent",
    "TooManyDisruptions",
    "Traffic",
    "Unavailable",
    "WatchEvent",
    "WatchType",
]

Object = dict[str, Any]
"""A Kubernetes object as JSON."""


LARGEST_ANSWER = 1 << 20
"""Bytes of a target's answer that is read whole: a completion of 4096 tokens with log-probabilities has half of it."""
LONGEST_LINE, LARGEST_STREAM = 1 << 18, 1 << 25
"""Bytes of a target's stream, in a line and in all: an event of one token has some 300, so 75,000 tokens. A line counts
as 64 at least."""
LARGEST_TOGETHER = 64 << 20
"""Bytes of the bodies of a run's targets that are being read."""


@dataclass(frozen=True, slots=True)
class Ref:
    """Identifies one object. `namespace` is "" for cluster-scoped kinds."""

    kind: str
    name: str
    namespace: str = ""

    @classmethod
    def of(cls, obj: Mapping[str, Any]) -> "Ref":
        """The reference of an object."""
        meta = obj["metadata"]
        return cls(obj["kind"], meta["name"], meta.get("namespace", ""))

    def __str__(self) -> str:
        return f"{self.kind}/{self.namespace + '/' if self.namespace else ''}{self.name}"


class PortError(StepError):
    """Base of the errors that a port raises."""


class NotFound(PortError):
    """Raised when the object does not exist."""


class Conflict(PortError):
    """Raised by create when it exists already, and by patch or delete when resourceVersion or uid differ (409)."""


class Gone(PortError):
    """Raised by a watch whose resource version is too old (410): list again."""


class Invalid(PortError):
    """Raised when the object or the call is not acceptable (400, 422)."""


class Forbidden(PortError):
    """Raised when the caller lacks the permission (401, 403)."""


class TooManyDisruptions(PortError, Retryable):
    """Raised by evict when a disruption budget does not allow it now (429)."""


class Unavailable(PortError, Retryable):
    """Raised when the server cannot be reached or cannot answer now (5xx, connection errors)."""

    away_s = 0.0
    """How long the adapter has been retrying already: it may resume a watch by itself for a while."""


class Silent(Unavailable):
    """Raised by a watch through which nothing came for so long that what lies between must have dropped it.

    What happened meanwhile is told by a new watch from the last version (or that is Gone). Before it is raised, nothing
    tells such a watch from a quiet one.
    """

    def __init__(self, watch: str, *, silent_s: float) -> None:
        """`watch` in words; `silent_s` is how long nothing has come through it."""
        super().__init__(
            f"{watch}: nothing came for {silent_s:.0f} s, not even a sign of life",
            hint="something between here and the server drops connections; raise its idle timeout above a minute",
        )
        self.silent_s = silent_s


class WatchType(StrEnum):
    """The kinds of watch events."""

    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"
    BOOKMARK = "BOOKMARK"


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """One change. For BOOKMARK only `metadata.resourceVersion` of the object is set."""

    type: WatchType
    object: Object


@dataclass(frozen=True, slots=True)
class ObjectList:
    """All items (adapters hide paging), and the version to watch from."""

    items: Sequence[Object]
    resource_version: str


class Objects(Protocol):
    """The object store of a cluster."""

    async def get(self, ref: Ref) -> Object:
        """One object. Raises NotFound."""

    async def list(self, kind: str, *, namespace: str = "", labels: str = "") -> ObjectList:
        """All objects of a kind; `namespace` "" means all; `labels` is a Kubernetes label selector "a=b,c in (d)"."""

    async def pages(self, kind: str, *, namespace: str = "", labels: str = "") -> AsyncIterator[ObjectList]:
        """What `list` returns, a part at a time, for callers that keep little of it; all of one version.

        The items of a part are there until the next one is asked for: a caller that keeps them takes them out.
        Raises Gone when it took longer than the cluster keeps versions: begin again (`offbus_steps.listing`).
        """
        yield await self.list(kind, namespace=namespace, labels=labels)

    def watch(
        self, kind: str, *, namespace: str = "", labels: str = "", resource_version: str
    ) -> AsyncIterator[WatchEvent]:
        """Changes after `resource_version`, without end: only Gone, Unavailable or cancellation end it.

        A dead connection is noticed: the adapter demands signs of life that do not depend on changes, and raises Silent
        when none came. Which signs, and within which time, is the adapter's; at most 75 s.
        """

    async def create(self, obj: Mapping[str, Any], *, dry_run: bool = False) -> Object:
        """Create. Raises Conflict when it exists.

        With `dry_run` everything is checked and defaulted as for a creation, and nothing is stored.
        """

    async def patch(self, ref: Ref, patch: Mapping[str, Any], *, status: bool = False) -> Object:
        """JSON merge patch. With `metadata.resourceVersion` in the patch it is conditional (Conflict).

        With `status`, only `status` of the patch is applied; without, `status` is not changed. Lists are
        replaced whole, as RFC 7396 says: read, change, patch with the resourceVersion, retry on Conflict.
        """

    async def delete(self, ref: Ref, *, uid: str = "", grace_seconds: int | None = None) -> None:
        """Ask for deletion (pods end asynchronously). `uid` is a precondition (Conflict). Raises NotFound."""

    async def evict(self, ref: Ref, *, uid: str = "") -> None:
        """Evict a pod through the Eviction API. Raises TooManyDisruptions, NotFound, Conflict."""

    async def logs(
        self, pod: Ref, *, container: str = "", previous: bool = False, tail: int | None = None
    ) -> str:
        """A container's log (stdout and stderr); "" is the pod's main one (workloads.gpus). Raises NotFound."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer, read whole."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON. Raises PortError when it is not."""
        import json

        try:
            return json.loads(self.body)
        except (ValueError, RecursionError) as err:
            raise PortError(f"the answer is not JSON: {self.body[:200]!r}") from err


class Agents(Protocol):
    """HTTP to the node agents."""

    async def ready(self, nodes: Collection[str]) -> Collection[str]:
        """Those of very many nodes whose agents can be asked, by one quick check. Raises PortError."""
        return nodes

    async def request(
        self,
        node: str,
        method: str,
        path: str,
        *,
        json: Any = None,
        timeout: float = 10.0,  # noqa: ASYNC109  HTTP's own
    ) -> Reply:
        """One request to the node's agent, with the token. Raises Unavailable (no agent, no answer)."""


class Traffic(Protocol):
    """HTTP to a target, the way its clients reach it."""

    @asynccontextmanager
    async def stream(
        self,
        to: Ref,
        method: str,
        path: str,
        *,
        port: int,
        json: Any = None,
        headers: Mapping[str, str] | None = None,
        timeout: float,  # noqa: ASYNC109  HTTP's own
    ) -> AsyncIterator["StreamingReply"]:
        """A request to a Service-like workload frontend or to one Pod (`to.kind` is "Pod"); the body streams.

        Bounded as a whole by `timeout` seconds, the caller's reading of the body included. Raises Unavailable when the
        *path* to the target fails (never counted as a failed request), and PortError when the target refused or broke
        the connection, or took longer. `headers` are of the caller's own kind (offbus_steps.inference.headers): none
        that the way to the target has a meaning for.
        """
        import anyio

        with anyio.move_on_after(timeout) as bound:
            async with self.exchange(to, method, path, port=port, json=json, headers=headers) as reply:
                yield reply
        if bound.cancelled_caught:
            raise PortError(f"{to} did not answer {method} {path} within {timeout:g} s")

    def exchange(
        self, to: Ref, method: str, path: str, *, port: int, json: Any, headers: Mapping[str, str] | None
    ) -> AbstractAsyncContextManager["StreamingReply"]:
        """The same without a bound, and with the same errors: what an adapter implements, and `stream` calls."""


class StreamingReply(Protocol):
    """An HTTP answer whose body arrives in pieces.

    A target is not trusted. Its answers are asked for uncompressed and never decompressed (one with a Content-Encoding
    is broken), and the bodies of all its answers in flight hold `LARGEST_TOGETHER` at most.
    """

    status: int
    headers: Mapping[str, str]

    def lines(self) -> AsyncGenerator[str, None]:
        """The body's lines as they arrive, without line ends; who leaves before its end closes it.

        Raises PortError when it breaks off, or has more than `LONGEST_LINE` in a line or `LARGEST_STREAM` in all.
        """

    async def read(self) -> bytes:
        """The whole body. Raises PortError when it breaks off, or has more than `LARGEST_ANSWER`."""


class Port(Protocol):
    """An adapter: the three parts together, and what steps must know about the environment."""

    objects: Objects
    agents: Agents
    traffic: Traffic
    agent_namespace: str = ""
    """The namespace of offbus's own programs in the cluster; "" where they are not pods."""
    local: bool = False
    """Whether its nodes are folders of this machine, which nothing can reboot or reset. Never by what a node says."""

    def host_path(self, path: str, sub: str) -> str:
        """How a path on the node (below a hostPath mount) is written in a container's environment variables.

        `sub` is the subfolder that is mounted there alone (subPathExpr), "" for none. In a cluster the result is the
        mount path itself; in `local`, where nodes are folders and nothing is mounted, it is
        "$(OFFBUS_NODE_ROOT)" + path + "/" + sub, which its kubelet expands as Kubernetes expands $(VAR).
        """


@dataclass(frozen=True, slots=True)
class Observed:
    """An environment that is only looked at."""

    port: Port
    serves: str
    """What serves its objects, with the version: "Kubernetes v1.34.4"."""


@runtime_checkable
class Observable(Protocol):
    """An opener of environments (`offbus.environment.Opener`) that can be looked at without a run. Optional."""

    def observed(self, options: Any) -> AbstractAsyncContextManager[Observed]:
        """Connect, take no lease and no lock, change nothing. Raises CouldNotRun."""
