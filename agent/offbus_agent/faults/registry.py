"""The node's faults, and what happens to them without a request.

Job: store every fault with its state, evidence and events; end what has expired; resume or clean up after a restart of
the agent. What heals takes effect first and is persisted then, so that a full disk cannot keep a fault armed. It never
waits for evidence, which `collector` brings. It serves no requests (`service` does) and knows no HTTP.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping

from offbus_agent.faults.event_log import EventLog
from offbus_agent.faults.ownership import not_found, refuse_stale
from offbus_agent.faults.process_evidence import MOST_CALLS, MOST_CALLS_OF_A_POD, Seen, identity, when
from offbus_agent.faults.store import Store, StoredFault, StoreError
from offbus_agent.lease_time import boottime_ns, has_expired
from offbus_agent.models import Fault, State
from offbus_agent.planes.planes import Planes
from offbus_agent.refusals import Refusal

__all__ = ["FaultBook"]

_log = logging.getLogger(__name__)


class FaultBook:
    """All faults of the node that were not recovered. `now_ns` is the clock of their leases."""

    def __init__(self, store: Store, planes: Planes, now_ns: Callable[[], int] = boottime_ns) -> None:
        self.now_ns = now_ns
        self._store = store
        self._planes = planes
        self.events = EventLog()
        self.changed = asyncio.Event()
        """Set when something was armed, renewed or ended: wakes the keeper."""
        self.save_failed = ""
        """Why the last change is not on disk; "" when it is."""

    def __iter__(self) -> Iterator[StoredFault]:
        return iter(self._store)

    def known(self, fault: str) -> StoredFault | None:
        """The fault of that id, also a recovered one."""
        return self._store.get(fault)

    def find(self, fault: str) -> StoredFault:
        """The fault of that id. Raises Refusal 404 for an unknown or recovered one."""
        stored = self._store.get(fault)
        if stored is None or stored.forgotten:
            raise not_found(fault)
        return stored

    def armed(self) -> list[Fault]:
        """The armed faults, without reading the page."""
        return [stored.fault for stored in self._store if stored.fault.state is State.ARMED]

    def check_epoch(self, run: str, epoch: int) -> None:
        """Store a run's owner, in memory: `save` persists it before an effect, `save_rest` after one that heals.

        Raises Refusal 409 for an owner that was superseded.
        """
        newest = self._store.epoch(run)
        refuse_stale(run, epoch, newest)
        if epoch > newest:
            self._store.raise_epoch(run, epoch)

    def save_rest(self) -> None:
        """Persist what a request has changed and not persisted, or what a full disk has kept from being persisted."""
        if self._store.unsaved:
            self.save_or_log()

    def save(self, stored: StoredFault | None = None) -> None:
        """Persist (a new fault too). Raises Refusal 500: no effect may follow."""
        if stored is not None:
            self._store.put(stored)
        try:
            self._save()
        except StoreError as err:
            raise Refusal(
                500, "not_persisted", str(err), "check the disk space and permissions of --state, then retry"
            ) from err

    def fail(self, stored: StoredFault) -> None:
        """Store an attempt that did not show: not listed, but returned to a recover or clear."""
        stored.fault.state, stored.forgotten = State.FAILED, True
        self.save_or_log()

    def interrupt(self, stored: StoredFault) -> None:
        """Store an interrupted attempt: it is unknown what it wrote."""
        stored.phase = "interrupted"
        self.save_or_log()

    def drop(self, stored: StoredFault) -> None:
        """Remove a fault that never took effect."""
        self._store.remove(stored.fault.id)
        self.save_or_log()

    def save_or_log(self) -> None:
        """Persist what has already healed; on a full disk with the next request (`save_rest`)."""
        try:
            self._save()
        except StoreError as err:
            _log.error("%s", err)

    def _save(self) -> None:
        try:
            self._store.save()
        except StoreError as err:
            self.save_failed = str(err)
            raise
        self.save_failed = ""

    def observed(self) -> Iterator[StoredFault]:
        """The faults that processes may still report about."""
        return (stored for stored in self._store if stored.fault.generation and not stored.forgotten)

    def heal(self, stored: StoredFault) -> None:
        """Remove a fault from the page, and nothing else: its last evidence may be read before it is told as ended."""
        if stored.fault.state is State.ARMED:
            self._planes.disarm(stored.fault.id)

    def end(self, stored: StoredFault, state: State) -> None:
        """Remove an armed fault from the page. The caller persists."""
        if stored.fault.state is State.ARMED:
            self.heal(stored)
            stored.fault.state = state
            self._store.put(stored)
            self.events.append(stored, "expired" if state is State.EXPIRED else "disarmed")
            self.changed.set()
            _log.info("fault %s is %s", stored.fault.id, state.value)

    def take_in(self, faults: Mapping[str, StoredFault], seen: Mapping[str, Seen]) -> None:
        """Update the evidence of faults; persisted when a first faulted call is new."""
        if sum([self._take_in(faults[fault], found) for fault, found in seen.items()]):
            self.save_or_log()

    def _take_in(self, stored: StoredFault, seen: Seen) -> int:
        """How many first faulted calls are new."""
        fault = stored.fault
        fault.counts, fault.processes = seen.counts, seen.processes
        known = {identity(call) for call in fault.first_faulted}
        of_pod = Counter(call.pod_uid for call in fault.first_faulted)
        fresh = []
        for call in sorted(seen.calls, key=when):
            if identity(call) not in known and of_pod[call.pod_uid] < MOST_CALLS_OF_A_POD:
                of_pod[call.pod_uid] += 1
                fresh.append(call)
        # Never negative, which would cut from the end: this is where calls are added, so there are at most that many.
        del fresh[MOST_CALLS - len(known) :]
        fault.first_faulted = sorted([*fault.first_faulted, *fresh], key=when)
        for call in fresh:
            self.events.append(stored, "first_faulted", call.at_ns, **call.model_dump(exclude={"at_ns"}))
        return len(fresh)

    def forget(self, stored: StoredFault) -> None:
        """Forget a fault that was handed over to its owner. The caller persists."""
        stored.forgotten = True
        self._store.put(stored)

    def expire_due(self) -> None:
        """End every fault whose lease has expired."""
        now = self.now_ns()
        due = [stored for stored in self._store if has_expired(stored.fault, now)]
        for stored in due:
            self.end(stored, State.EXPIRED)
        if due:
            self.save_or_log()

    def restore(self) -> None:
        """After a start: end what was being applied or has expired, resume the rest."""
        for stored in self._store:
            if stored.phase == "applying":
                # The agent died while it changed the planes: whether the fault is on the page or not, it is off it now.
                self._planes.disarm(stored.fault.id)
                stored.phase = "interrupted"
            if self._store.from_other_boot:
                self.end(stored, State.EXPIRED)
        self.expire_due()
        living = {stored.fault.id: stored for stored in self._store if stored.fault.state is State.ARMED}
        # The page counts, not the file: a fault that is not on it would be renewed for ever without an effect.
        gone = self._planes.keep_only({name: stored.fault.generation for name, stored in living.items()})
        for name in gone:
            _log.warning("fault %s is no longer on the page: the page was removed", name)
            self.end(living[name], State.DISARMED)
        self.save_or_log()
