"""A controller: when the store reports a change, it compares the current state with the desired one and acts.

`reconcile` is synchronous, so nothing changes under it, and it must be idempotent: it is called at the start for
everything that exists, and again whenever it may have to act. An exception in it is a bug of the controller: it is
logged with its traceback and retried later; the other controllers continue.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import ClassVar, Generic, TypeVar

import anyio
import structlog
from anyio.abc import TaskGroup

from offbus_sandbox.store.history import Change
from offbus_sandbox.store.owners import controller_of
from offbus_sandbox.store.served import SERVED
from offbus_sandbox.store.store import Store
from offbus_steps.port import PortError, Ref, WatchType

__all__ = ["Controller", "OwnerController"]

Key = TypeVar("Key")

RETRY_S = 1.0
"""Pause before a failed reconcile is retried."""


class Controller(ABC, Generic[Key]):
    """Base of the controllers. `run` serves until cancelled."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._dirty: dict[Key, None] = {}
        self._wake = anyio.Event()
        self._tasks: TaskGroup | None = None
        self._log = structlog.get_logger().bind(controller=type(self).__name__)

    @abstractmethod
    def keys(self, change: Change) -> Iterable[Key]:
        """The keys to reconcile after a change."""

    @abstractmethod
    def reconcile(self, key: Key) -> None:
        """Bring `key` to its desired state."""

    async def run(self) -> None:
        """Reconcile everything once, then whatever changes."""
        self.store.listen(self._on_change)
        for kind in SERVED:
            for obj in self.store.each(kind):
                self._on_change(Change(0, WatchType.ADDED, obj, None))
        async with anyio.create_task_group() as self._tasks:
            while True:
                await self._wake.wait()
                self._wake = anyio.Event()
                while self._dirty:
                    self._try(self._dirty.popitem()[0])
                    await anyio.lowlevel.checkpoint()

    def look_again(self, key: Key, delay_s: float) -> None:
        """Reconcile `key` after a delay."""
        assert self._tasks is not None  # noqa: S101  # only `reconcile` asks for it
        self._tasks.start_soon(self._look_later, key, delay_s)

    async def _look_later(self, key: Key, delay_s: float) -> None:
        await anyio.sleep(delay_s)
        self._dirty[key] = None
        self._wake.set()

    def _on_change(self, change: Change) -> None:
        found = dict.fromkeys(self.keys(change))
        if found:
            self._dirty.update(found)
            self._wake.set()

    def _try(self, key: Key) -> None:
        try:
            self.reconcile(key)
        except PortError as err:
            self._log.warning("will retry", key=str(key), error=str(err))
            self.look_again(key, RETRY_S)
        except Exception:  # noqa: BLE001  # a bug in one controller must not end the cluster
            self._log.exception("a bug: reconcile failed, will retry", key=str(key))
            self.look_again(key, RETRY_S)


class OwnerController(Controller[Ref]):
    """Base of the controllers of objects that own others: reconciles the owner when it or one of those changes."""

    kind: ClassVar[str]
    """The owners' kind."""
    owned: ClassVar[str]
    """The kind of the objects that they own."""

    def keys(self, change: Change) -> Iterable[Ref]:
        """An owner, or the owner of an object."""
        if change.object["kind"] == self.kind:
            yield Ref.of(change.object)
        elif change.object["kind"] == self.owned:
            owner = controller_of(change.object)
            if owner and owner.kind == self.kind:
                yield owner
