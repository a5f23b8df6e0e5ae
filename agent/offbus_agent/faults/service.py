"""The requests on a node's faults: their steps in order, and who may make them.

Job: the requests. What harms is persisted before it takes effect, and refused when it cannot be; what heals takes
effect first, is answered, and is persisted, with the owner that asked for it, as soon as the disk can take it. When a
plane fails, the others are undone, nothing is armed, and the response names it. Requests of a superseded owner (a lower
epoch) are refused, and an expiry is final. Calls on one fault are serialised; the kernel log never blocks the event
loop. It must not know HTTP, nor how a plane works.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary

from offbus_agent.faults.clear import ClearAnswer, Clearing
from offbus_agent.faults.collector import Collector
from offbus_agent.faults.ownership import left_no_trace, not_found, refuse_ended, refuse_stranger, same
from offbus_agent.faults.policy import Policy
from offbus_agent.faults.registry import FaultBook
from offbus_agent.faults.store import StoredFault
from offbus_agent.gpus import Gpu
from offbus_agent.lease_time import boottime_ns, expires_ns
from offbus_agent.models import (
    EventsAnswer,
    Fault,
    FaultRequest,
    KernelEntry,
    LeaseRequest,
    OwnerRequest,
    State,
)
from offbus_agent.planes.planes import Applied, PlaneFailedError, Planes
from offbus_agent.planes.resolve import Plan, plan
from offbus_agent.refusals import Refusal

__all__ = ["Faults"]


class Faults:
    """A node's requests. All raise Refusal; those that arm raise PlaneFailedError too."""

    def __init__(
        self,
        book: FaultBook,
        planes: Planes,
        policy: Policy,
        gpus: Callable[[], Iterable[Gpu]],
        clearing: Clearing,
        collector: Collector,
    ) -> None:
        self._book = book
        self._collector = collector
        self._planes = planes
        self._policy = policy
        self._gpus = gpus
        self._clearing = clearing
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def all(self) -> list[Fault]:
        """Every fault that was not recovered, with its current evidence."""
        self._book.expire_due()
        await self._collector.news()
        return [stored.fault for stored in self._book]

    async def get(self, fault: str) -> Fault:
        """One fault with its current evidence."""
        self._book.expire_due()
        await self._collector.news()
        return self._book.find(fault).fault

    async def events(self, fault: str, since: int, wait_s: float) -> EventsAnswer:
        """Events after `since`, waiting up to `wait_s` for one."""
        self._book.expire_due()
        await self._collector.news()
        return await self._book.events.after(self._book.find(fault), since, wait_s)

    async def create(self, request: FaultRequest) -> tuple[Fault, bool]:
        """Create (and arm) a fault; (fault, True) when it is new, (fault, False) when it existed."""
        async with self._alone(request.id):
            self._book.check_epoch(request.run, request.epoch)
            known = self._book.known(request.id)
            if known is not None and not left_no_trace(known):
                return same(known, request), False
            made = plan(request, self._gpus())
            stored = _new(request, made)
            try:
                if request.armed:
                    await self._arm(stored, made, request.ttl_s)
                else:
                    self._book.save(stored)
            except PlaneFailedError:
                self._book.fail(stored)
                raise
            except Refusal:
                self._book.drop(stored)
                raise
            except BaseException:
                # Cancelled, or a bug. A line may have been written, which a repetition would do again: the id is
                # used up.
                self._book.interrupt(stored)
                raise
            return stored.fault, True

    async def arm(self, fault: str, lease: LeaseRequest) -> Fault:
        """Arm a disarmed fault; renew an armed one."""
        async with self._alone(fault):
            stored = self._owned(fault, lease)
            refuse_ended(stored)
            if stored.fault.state is State.ARMED:
                return self._renew(stored, lease)
            await self._arm(stored, plan(stored.request, self._gpus()), lease.ttl_s)
            return stored.fault

    async def renew(self, fault: str, lease: LeaseRequest) -> Fault:
        """Start a new lease for an armed fault: 410 after an expiry, 409 when disarmed."""
        async with self._alone(fault):
            stored = self._owned(fault, lease)
            refuse_ended(stored)
            if stored.fault.state is not State.ARMED:
                raise Refusal(409, "not_armed", f"fault {fault} is disarmed: no lease to renew", "arm it")
            return self._renew(stored, lease)

    async def disarm(self, fault: str, owner: OwnerRequest) -> Fault:
        """Disarm; a fault that is not armed stays unchanged."""
        async with self._alone(fault):
            stored = self._owned(fault, owner)
            await self._disarm(stored)
            return stored.fault

    async def recover(self, fault: str, owner: OwnerRequest) -> Fault:
        """Disarm and forget; returns the fault with all its evidence. Repeats get the same answer."""
        async with self._alone(fault):
            known = self._remembered(fault, owner)
            if not known.forgotten:
                await self._disarm(known)
                self._book.forget(known)
                self._collector.forget(known)
            return known.fault

    async def clear(self, fault: str, owner: OwnerRequest) -> ClearAnswer:
        """Log the reset of the fault's GPUs for the responder; works on recovered and failed faults too."""
        async with self._alone(fault):
            stored = self._remembered(fault, owner)
            return await self._clearing.clear(stored)

    async def _disarm(self, stored: StoredFault) -> None:
        """Heal first; then read the last evidence, calls in flight at the disarming included; then end the fault."""
        self._book.heal(stored)
        try:
            await self._collector.news()
        finally:
            # Also when the caller goes away while it waits: the fault is off the page, and the file must say so.
            self._book.end(stored, State.DISARMED)

    async def _arm(self, stored: StoredFault, made: Plan, ttl_s: float) -> None:
        self._policy.admit(stored.request, self._book, self._book.now_ns())
        try:
            # On disk before the first plane changes: found at a start, it says that something may have been written.
            stored.phase, stored.codes = "applying", made.answers
            self._book.save(stored)
            if made.answers:
                await self._collector.look_around()
            self._applied(stored, await self._planes.apply(stored.request, made, ttl_s))
            self._book.save()
        except BaseException as err:
            stored.phase, stored.fault.state = "applied", State.DISARMED
            if isinstance(err, PlaneFailedError):
                self._written(stored, err.kernel)
                stored.fault.unread += err.unread
            self._planes.disarm(stored.fault.id)
            self._book.save_or_log()
            raise
        self._book.changed.set()

    def _applied(self, stored: StoredFault, applied: Applied) -> None:
        fault = stored.fault
        stored.phase, fault.state, fault.generation = "applied", State.ARMED, applied.generation
        fault.armed_ns, fault.expires_ns = applied.armed_ns, applied.expires_ns
        self._written(stored, applied.kernel)
        self._book.events.append(stored, "armed", applied.armed_ns, generation=applied.generation)

    def _written(self, stored: StoredFault, lines: list[KernelEntry]) -> None:
        """Store lines that are in the kernel log, even if a later step failed."""
        stored.fault.kernel = [*stored.fault.kernel, *lines]
        for entry in lines:
            self._book.events.append(
                stored, "kernel_line", entry.at_ns, kernel_seq=entry.seq, line=entry.line
            )

    def _renew(self, stored: StoredFault, lease: LeaseRequest) -> Fault:
        fault = stored.fault
        # On disk before the answer: an agent that is started again must not end a lease that was acknowledged.
        before, fault.expires_ns = fault.expires_ns, expires_ns(self._book.now_ns(), lease.ttl_s)
        try:
            self._book.save()
        except Refusal:
            fault.expires_ns = before
            raise
        self._planes.renew(fault.id, fault.expires_ns)
        self._book.changed.set()
        return fault

    @asynccontextmanager
    async def _alone(self, fault: str) -> AsyncIterator[None]:
        """Serialises the calls on a fault; first expires what is due, last persists what has healed."""
        self._book.expire_due()
        # Whoever waits for a lock holds it alive, and the last one takes it along.
        lock = self._locks.get(fault)
        if lock is None:
            lock = self._locks[fault] = asyncio.Lock()
        async with lock:
            try:
                yield
            finally:
                self._book.save_rest()

    def _remembered(self, fault: str, owner: OwnerRequest) -> StoredFault:
        """A fault of this owner, also a recovered or failed one."""
        self._book.check_epoch(owner.run, owner.epoch)
        known = self._book.known(fault)
        if known is None:
            raise not_found(fault)
        refuse_stranger(known, owner)
        return known

    def _owned(self, fault: str, owner: OwnerRequest | LeaseRequest) -> StoredFault:
        self._book.check_epoch(owner.run, owner.epoch)
        stored = self._book.find(fault)
        refuse_stranger(stored, owner)
        stored.fault.epoch = owner.epoch
        return stored


def _new(request: FaultRequest, made: Plan) -> StoredFault:
    now = boottime_ns()
    return StoredFault(
        request=request,
        fault=Fault(
            id=request.id,
            run=request.run,
            epoch=request.epoch,
            xid=request.xid,
            mnemonic=made.xid.mnemonic,
            gpus=request.gpus,
            planes=request.planes,
            state=State.DISARMED,
            created_ns=now,
            expires_ns=expires_ns(now, request.ttl_s),
        ),
    )
