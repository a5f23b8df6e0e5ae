"""The faults of a node: what may be asked of them, in which order things happen, and who may ask.

Job: the life of a fault. Every change is persisted before it takes effect (and what heals takes effect before it is
persisted). A failing plane leaves the others undone and nothing armed, and the answer names it. Requests of an
owner that was superseded (a lower epoch) are refused. A lapse is final. Calls on one fault are serialised; the
event loop is never blocked by the kernel log. It must not know HTTP, nor how a plane works.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from weakref import WeakValueDictionary

from offbus_agent.evidence import Evidence
from offbus_agent.fault_events import EventLog
from offbus_agent.gpus import Gpu
from offbus_agent.leases import boottime_ns, expires_ns, has_lapsed
from offbus_agent.models import EventsAnswer, Fault, FaultRequest, LeaseRequest, OwnerRequest, State
from offbus_agent.ownership import not_found, refuse_ended, refuse_stale, refuse_stranger, same
from offbus_agent.plan import Plan, plan
from offbus_agent.planes import Planes
from offbus_agent.policy import Policy
from offbus_agent.refusals import Refusal
from offbus_agent.store import Store, StoredFault, StoreError

__all__ = ["Faults"]

_log = logging.getLogger(__name__)


class Faults:
    """All faults of the node."""

    def __init__(
        self,
        store: Store,
        planes: Planes,
        evidence: Evidence,
        policy: Policy,
        gpus: Callable[[], Iterable[Gpu]],
    ) -> None:
        self._store = store
        self._planes = planes
        self._evidence = evidence
        self._policy = policy
        self._gpus = gpus
        self._events = EventLog()
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self.changed = asyncio.Event()
        """Set when something was armed, renewed or ended: the keeper looks again."""

    # --- reading

    def all(self) -> list[Fault]:
        """Every fault that was not recovered, with its evidence up to now."""
        self.observe()
        return [stored.fault for stored in self._store]

    def get(self, fault: str) -> Fault:
        """One fault with its evidence up to now. Raises Refusal 404."""
        self.observe()
        return self._find(fault).fault

    async def events(self, fault: str, since: int, wait_s: float) -> EventsAnswer:
        """Events after `since`, waiting up to `wait_s` for one. Raises Refusal 404."""
        self.observe()
        return await self._events.after(self._find(fault), since, wait_s)

    # --- changing

    async def create(self, request: FaultRequest) -> tuple[Fault, bool]:
        """Make (and arm) a fault; (fault, True) when it is new, (fault, False) when it was there. Raises Refusal."""
        async with self._alone(request.id):
            self._check_epoch(request.run, request.epoch)
            known = self._store.get(request.id)
            if known is not None:
                return same(known, request), False
            made = plan(request, self._gpus())
            stored = _new(request, made)
            if request.armed:
                await self._arm(stored, made, request.ttl_s)
            else:
                self._save(stored)
            return stored.fault, True

    async def arm(self, fault: str, lease: LeaseRequest) -> Fault:
        """Arm a disarmed fault; one that is armed is renewed. Raises Refusal."""
        async with self._alone(fault):
            stored = self._owned(fault, lease)
            refuse_ended(stored)
            if stored.fault.state is State.ARMED:
                return self._renew(stored, lease)
            await self._arm(stored, plan(stored.request, self._gpus()), lease.ttl_s)
            return stored.fault

    async def renew(self, fault: str, lease: LeaseRequest) -> Fault:
        """Give an armed fault a new lease from now. Raises Refusal 410 after a lapse, 409 when disarmed."""
        async with self._alone(fault):
            stored = self._owned(fault, lease)
            refuse_ended(stored)
            if stored.fault.state is not State.ARMED:
                raise Refusal(
                    409, "not_armed", f"fault {fault} is disarmed: there is nothing to renew", "arm it"
                )
            return self._renew(stored, lease)

    async def disarm(self, fault: str, owner: OwnerRequest) -> Fault:
        """Disarm; a fault that is not armed stays as it is. Raises Refusal."""
        async with self._alone(fault):
            stored = self._owned(fault, owner)
            self._end(stored, State.DISARMED)
            self._save(stored)
            return stored.fault

    async def recover(self, fault: str, owner: OwnerRequest) -> Fault:
        """Disarm and forget; the answer is the fault with all its evidence. Repeats get the same answer."""
        async with self._alone(fault):
            self._check_epoch(owner.run, owner.epoch)
            known = self._store.get(fault)
            if known is None:
                raise not_found(fault)
            refuse_stranger(known, owner)
            self._end(known, State.DISARMED)
            known.forgotten = True
            self._save(known)
            self._evidence.forget(known)
            return known.fault

    # --- what the keeper calls

    def restore(self) -> None:
        """After a start: end what was being applied or has lapsed, go on with what lives."""
        for stored in self._store:
            if stored.phase == "applying":
                self._planes.disarm(stored.fault.id)
                stored.phase = "interrupted"
        if self._store.from_other_boot:
            for stored in self._store:
                self._end(stored, State.LAPSED)
        self.lapse_due()
        living = {stored.fault.id: stored for stored in self._store if stored.fault.state is State.ARMED}
        gone = self._planes.keep_only({name: stored.fault.generation for name, stored in living.items()})
        for name in gone:
            _log.warning("fault %s is no longer on the page: somebody removed the page", name)
            self._end(living[name], State.DISARMED)
        self._save()

    def lapse_due(self) -> None:
        """End every fault whose lease is over."""
        now = boottime_ns()
        due = [stored for stored in self._store if has_lapsed(stored.fault, now)]
        for stored in due:
            self._end(stored, State.LAPSED)
        if due:
            self._save_or_log()

    def observe(self) -> None:
        """Lapse what is due, then take in what processes have reported."""
        self.lapse_due()
        seen = False
        for stored in self._store:
            if stored.fault.state is State.ARMED:
                seen |= self._take_in(stored)
        if seen:
            self._save_or_log()

    def armed(self) -> list[Fault]:
        """The armed faults, without looking at the page."""
        return [stored.fault for stored in self._store if stored.fault.state is State.ARMED]

    # --- inside

    async def _arm(self, stored: StoredFault, made: Plan, ttl_s: float) -> None:
        now = boottime_ns()
        self._policy.admit(stored.request, self._store, now)
        stored.phase, stored.codes = "applying", made.answers
        self._save(stored)
        try:
            applied = await self._planes.apply(stored.request, made, ttl_s)
            stored.phase = "settled"
            fault = stored.fault
            fault.state, fault.generation = State.ARMED, applied.generation
            fault.armed_ns, fault.expires_ns = applied.armed_ns, applied.expires_ns
            fault.kernel = [*fault.kernel, *applied.kernel]
            for entry in applied.kernel:
                self._events.append(stored, "kernel_line", entry.at_ns, kernel_seq=entry.seq, line=entry.line)
            self._events.append(stored, "armed", applied.armed_ns, generation=applied.generation)
            self._save(stored)
        except BaseException:
            self._take_back(stored)
            raise
        self.changed.set()

    def _take_back(self, stored: StoredFault) -> None:
        """Nothing of a failed arming stays; a fault that never was armed is dropped."""
        self._planes.disarm(stored.fault.id)
        stored.phase, stored.fault.state = "settled", State.DISARMED
        if stored.fault.armed_ns is None:
            self._store.remove(stored.fault.id)
        self._save_or_log()

    def _renew(self, stored: StoredFault, lease: LeaseRequest) -> Fault:
        stored.fault.expires_ns = expires_ns(boottime_ns(), lease.ttl_s)
        self._save(stored)
        self._planes.renew(stored.fault.id, stored.fault.expires_ns)
        self.changed.set()
        return stored.fault

    def _end(self, stored: StoredFault, state: State) -> None:
        if stored.fault.state is not State.ARMED:
            return
        self._planes.disarm(stored.fault.id)
        self._take_in(stored)
        stored.fault.state = state
        self._events.append(stored, "lapsed" if state is State.LAPSED else "disarmed")
        self.changed.set()
        _log.info("fault %s is %s", stored.fault.id, state.value)

    def _take_in(self, stored: StoredFault) -> bool:
        fresh = self._evidence.update(stored)
        for first in fresh:
            self._events.append(stored, "first_faulted", first.at_ns, **first.model_dump(exclude={"at_ns"}))
        return bool(fresh)

    def _alone(self, fault: str) -> asyncio.Lock:
        self.lapse_due()
        lock = self._locks.get(fault)
        if lock is None:
            lock = self._locks[fault] = asyncio.Lock()
        return lock

    def _find(self, fault: str) -> StoredFault:
        stored = self._store.get(fault)
        if stored is None or stored.forgotten:
            raise not_found(fault)
        return stored

    def _owned(self, fault: str, owner: OwnerRequest | LeaseRequest) -> StoredFault:
        self._check_epoch(owner.run, owner.epoch)
        stored = self._find(fault)
        refuse_stranger(stored, owner)
        stored.fault.epoch = owner.epoch
        return stored

    def _check_epoch(self, run: str, epoch: int) -> None:
        newest = self._store.epoch(run)
        refuse_stale(run, epoch, newest)
        if epoch > newest:
            self._store.raise_epoch(run, epoch)
            self._save()

    def _save(self, stored: StoredFault | None = None) -> None:
        if stored is not None:
            self._store.put(stored)
        try:
            self._store.save()
        except StoreError as err:
            raise Refusal(500, "not_persisted", str(err), "free space below --state, then try again") from err

    def _save_or_log(self) -> None:
        """For what heals: it took effect already, and a full disk must not stop it."""
        try:
            self._store.save()
        except StoreError as err:
            _log.error("%s", err)


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
