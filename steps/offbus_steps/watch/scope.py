"""One watch: what it was told, and whether that is all there is.

A watch tells changes in the order of their versions, which are numbers (KEP-5504, Comparable Resource Version); where
they are none, only what was deleted shows that something is missing.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

import anyio

from offbus.errors import OffbusError, StepError
from offbus_steps.listing import beginning_again
from offbus_steps.port import Object, ObjectList, Objects, Ref

__all__ = ["FIRST_PAUSE", "MALFORMED", "Listing", "P", "Projected", "Scope", "Tell", "number_of"]

FIRST_PAUSE = 0.1
CATCH_UP_S = 5.0
"""How much later than a list a watch may tell what the list shows."""
MALFORMED = (ArithmeticError, AttributeError, LookupError, RecursionError, StepError, TypeError, ValueError)
"""What is raised when an object is read whose fields have another shape than its kind's. Whoever may create one chooses
its shape where a schema lets them: it is their object that goes unread, never the watch that ends."""
MOST_UNREAD = 16
"""Objects of a watch that are told by name when they cannot be read: anybody may make more of them."""
Tell = Callable[[str, str], None]
"""Is given what cannot be read, and why."""


class Projected(Protocol):
    """What is kept of an object."""

    @property
    def ref(self) -> Ref:
        """Of which object."""


P = TypeVar("P", bound=Projected)


@dataclass(frozen=True, slots=True)
class Listing(Generic[P]):
    """What a list shows."""

    projections: Mapping[Ref, P]
    version: str
    """To watch from."""
    newest: int
    """The newest version of one of its objects."""


@dataclass(slots=True)
class Scope(Generic[P]):
    """One watch: a kind, in a namespace ("" for all)."""

    kind: str
    namespace: str
    project: Callable[[Object], P | None]
    """What is kept of an object; None for one that is ignored."""
    listed: anyio.Event = field(default_factory=anyio.Event)
    unserved: bool = False
    version: str = ""
    known: set[Ref] = field(default_factory=set)
    unread: set[Ref] = field(default_factory=set)
    """What was told to be unreadable, up to `MOST_UNREAD`."""
    failed: Exception | None = None
    """What ended it for good."""
    pause: float = FIRST_PAUSE
    lost: float | None = None
    """Since when the server has been unavailable; None while it is not known to be."""
    heard: float = field(default_factory=anyio.current_time)
    """When it was last told something."""
    news: anyio.Event = field(default_factory=anyio.Event)
    """Set, and replaced, when it is told something."""

    def __str__(self) -> str:
        return f"{self.kind} objects" + (f" in {self.namespace}" if self.namespace else "")

    def told(self, version: str) -> None:
        """The server has told what there is up to a version."""
        self.version, self.heard = version, anyio.current_time()
        self.lost, self.pause = None, FIRST_PAUSE
        news, self.news = self.news, anyio.Event()
        news.set()

    def ref(self, obj: Object) -> Ref:
        """Of an object of the kind: items of lists may lack it (Kubernetes leaves it out)."""
        return Ref.of({**obj, "kind": self.kind})

    def read(self, obj: Object, tell: Tell | None = None) -> P | None:
        """What is kept of an object; None for one that is ignored, or cannot be read, which is told once."""
        try:
            return self.project({**obj, "kind": self.kind})
        except MALFORMED as err:
            if tell is not None:
                self._tell(self.ref(obj), f"{type(err).__name__}: {err}"[:200], tell)
            return None

    async def list(self, objects: Objects, tell: Tell | None = None) -> Listing[P]:
        """What there is now. Raises PortError."""
        return await beginning_again(
            lambda: self._listing(objects.pages(self.kind, namespace=self.namespace), tell)
        )

    async def missed(self, objects: Objects) -> str | None:
        """Why not all that is there was told, in words; None when it was. Lists once."""
        known = set(self.known)
        try:
            listing = await self.list(objects)
        except OffbusError as err:
            return f"{self} cannot be listed: {err.message}"
        with anyio.move_on_after(CATCH_UP_S):
            while True:
                # Whether not all that the list shows was told; `known` is what was known before it.
                so_far, still_known = (
                    number_of(self.version),
                    (known - listing.projections.keys()) & self.known,
                )
                if so_far >= listing.newest and not (still_known and so_far <= number_of(listing.version)):
                    return None
                await self.news.wait()
        return (
            f"the watch of {self} told nothing for {anyio.current_time() - self.heard:.0f} s, and the API server has "
            "changes that it did not tell: something between here and the server drops connections"
        )

    def _tell(self, ref: Ref, why: str, tell: Tell) -> None:
        if ref in self.unread or len(self.unread) > MOST_UNREAD:
            return
        self.unread.add(ref)
        more = len(self.unread) > MOST_UNREAD
        tell(f"more {self}" if more else str(ref), why)

    async def _listing(self, pages: AsyncIterator[ObjectList], tell: Tell | None) -> Listing[P]:
        projections: dict[Ref, P] = {}
        version, newest = "", 0
        async for page in pages:
            seen = (self.read(obj, tell) for obj in page.items)
            projections.update({one.ref: one for one in seen if one is not None})
            newest = max(newest, *(number_of(obj["metadata"]["resourceVersion"]) for obj in page.items), 0)
            version = page.resource_version
        return Listing(projections, version, newest)


def number_of(version: str) -> int:
    """A resource version; 0 for one that is no number."""
    return int(version) if version.isdecimal() else 0
