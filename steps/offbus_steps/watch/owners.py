"""Whose pod is it? By the chain of controllers from the pod to the workload, followed by uid; never by labels alone.

Anybody who may create pods in a namespace may give them a target's labels. What makes a pod the workload's is its
controller (the owner reference with `controller: true`), that one's controller, and so on, up to the workload itself;
`offbus_steps.workloads.controllers` has the chains.

Links are read by a list of the kind in the target's namespace, when a pod that a target selects names a controller
that is not known, and kept; nothing is watched for it. What made a pod is older than the pod: a list that is newer than
the pod and does not show its controller shows that there is none, so one list answers for any number of strangers. How
often a watch may look is `offbus_steps.watch.lookups`' part.

What a stranger can still do: the API server takes any owner reference, so who knows the uid of a target's ReplicaSet
(to read it is a right of its own) may name it as the controller of a pod. Kubernetes then counts it itself: a
ReplicaSet takes it for one of its pods and deletes the surplus, and it adopts a pod without controller whose labels
match its own selector, `pod-template-hash` included (kubernetes/kubernetes, pkg/controller/controller_ref_manager.go).
Such a pod really is the workload's. One with other labels is released, and one whose controller does not exist is
deleted, by the garbage collector.

A controller of another kind than these ends the chain: its name is the word of whoever made the pod. So a workload
whose operator uses kinds that are not listed has no pods here, which the observer tells with the reason. Only where
these kinds may not be read (roles from before this version, at a recovery: a run is refused without the right) do
labels alone decide, and that is told, too.
"""

from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator

from offbus_steps.listing import beginning_again
from offbus_steps.port import Forbidden, Invalid, NotFound, Object, ObjectList, Objects, Ref
from offbus_steps.watch.scope import number_of
from offbus_steps.workloads.controllers import BETWEEN, LABELLED, MAKERS, Controller, controller
from offbus_steps.workloads.pods import is_of_kubelet
from offbus_steps.workloads.target import Target

__all__ = ["MOST_LINKS", "Owners"]

MOST_LINKS = 10
"""Pod, StatefulSet, Pod, StatefulSet, LeaderWorkerSet, DisaggregatedSet, graph are 7."""


class Owners:
    """The links between pods and workloads, as far as they were read."""

    def __init__(self) -> None:
        self._above: dict[str, Controller | None] = {}
        """Of an object between, by its uid: its controller, None for none. Nothing is kept of what is not there."""
        self._read_at: dict[tuple[Ref, str], int] = {}
        """Up to which version what is between a workload and its pods was read, by kind."""
        self._unread: set[str] = set()
        """Kinds that may not be read."""
        self._unserved: set[str] = set()
        self.unread: Callable[[str], None] = lambda _why: None
        """Told once for each kind that may not be read."""

    def lead(self, first: Controller | None, workload: Ref, uid: str) -> bool:
        """Whether a pod with this controller is of the workload with this uid, by the links that were learned."""
        if first is None or first.kind not in MAKERS[workload.kind]:
            return False
        one: Controller | None = first
        for _ in range(MOST_LINKS):
            if one is None or one.uid == uid:
                return one is not None
            if one.kind in self._unread:
                return True
            one = self._above.get(one.uid)
        return False

    def why_not(self, first: Controller | None, workload: Ref) -> str:
        """Why a pod with this controller is none of the workload's, in words; "" where its chain leads there.

        Also "" where a link is not there: the garbage collector deletes such a pod, be it a stranger's or the last of a
        workload that was deleted before its controllers were read.
        """
        if first is None:
            return "it has no controller"
        if first.kind not in (makers := MAKERS[workload.kind]):
            return f"its controller is {first}, not a {' or '.join(sorted(makers))}"
        last = self._last(first, workload)
        if (last.kind, last.name) == (workload.kind, workload.name) or last.kind in self._unread:
            return ""
        if last.uid in self._above or last.kind not in BETWEEN[workload.kind]:
            return f"its chain of controllers ends with {last}"
        return ""

    def lacks(self, target: Target, firsts: Iterable[Controller | None], version: str = "") -> bool:
        """Whether `learn` would read something."""
        return next(self._gaps(target, firsts, version), None) is not None

    async def learn(
        self, objects: Objects, target: Target, firsts: Collection[Controller | None], version: str = ""
    ) -> bool:
        """Read what is not known of the chains of pods with these controllers, as told at a version; "" for now.

        Each kind is listed once at most. Whether anything was read. May raise Unavailable.
        """
        read: set[str] = set()
        while kinds := set(self._gaps(target, firsts, version)) - read:
            read |= kinds
            for kind in sorted(kinds):
                await self._read(objects, target, kind)
        return bool(read)

    async def its_pods(self, objects: Objects, target: Target, uid: str, listed: ObjectList) -> list[Object]:
        """Of pods that a list of the target's labels gave, those of the workload with this uid, and no kubelet's."""
        await self.learn(objects, target, set(map(controller, listed.items)), listed.resource_version)
        return [
            one
            for one in listed.items
            if self.lead(controller(one), target.ref, uid) and not is_of_kubelet(one)
        ]

    async def learn_again(self, objects: Objects, target: Target) -> None:
        """The workload is another one now, which may have adopted what the one before it left."""
        for workload, kind in list(self._read_at):
            if workload == target.ref:
                await self._read(objects, target, kind)

    def _last(self, first: Controller, workload: Ref) -> Controller:
        """Where a chain ends, as far as it is known: at the workload, at the latest."""
        one = first
        for _ in range(MOST_LINKS):
            above = self._above.get(one.uid)
            if above is None or (one.kind, one.name) == (workload.kind, workload.name):
                break
            one = above
        return one

    def _gaps(self, target: Target, firsts: Iterable[Controller | None], version: str) -> Iterator[str]:
        """The kinds of which something is not known that there may be at that version."""
        makers, between = MAKERS[target.kind], BETWEEN[target.kind] - self._unread - self._unserved
        for first in firsts:
            if first is None or first.kind not in makers:
                continue
            kind = self._last(first, target.ref).kind
            if kind in between and not (
                version and self._read_at.get((target.ref, kind), -1) >= number_of(version) > 0
            ):
                yield kind

    async def _read(self, objects: Objects, target: Target, kind: str) -> None:
        labels = target.selector_text if kind in LABELLED else ""
        try:
            self._read_at[target.ref, kind] = await beginning_again(
                lambda: self._links(objects.pages(kind, namespace=target.namespace, labels=labels))
            )
        except Forbidden as err:
            self._unread.add(kind)
            self.unread(err.message)
        except (NotFound, Invalid):  # then there is none
            self._unserved.add(kind)

    async def _links(self, pages: AsyncIterator[ObjectList]) -> int:
        """Keep what a list shows, once more where it is read again; its version."""
        version = 0
        async for page in pages:
            self._above.update({one["metadata"]["uid"]: controller(one) for one in page.items})
            version = number_of(page.resource_version)
        return version
