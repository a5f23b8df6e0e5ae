"""What processes report about a fault: read from the events file, and accepted only as far as it can be checked.

Job: say which processes, counts and first faulted calls the rows of an arming show. A row is written by an untrusted
process: a record counts only with the code that was armed, on a GPU of the fault, at a time between arming and now, and
the pid is looked up in /proc (`processes`). What does not fit is left out and logged once. It changes no fault: the
registry does, once `collector` passes on what was seen.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from offbus_agent.catalogue.result_codes import CUDA_CODES, NVML_CODES
from offbus_agent.catalogue.xid_effects import Plane
from offbus_agent.faults.processes import Known, census, find_processes, pod_uid
from offbus_agent.faults.store import StoredFault
from offbus_agent.lease_time import boottime_ns
from offbus_agent.models import Counts, FirstFaulted, ProcessSeen
from offbus_agent.page.control import FaultedCall, ProcessRow
from offbus_agent.planes.page_plane import NodePage

__all__ = ["MOST_CALLS", "Arming", "Evidence", "Seen", "identity", "when"]

_NAMES = {Plane.CUDA: CUDA_CODES, Plane.NVML: NVML_CODES}
_Key = tuple[int, int, int]
"""Identifies a process: pid namespace, pid in it, when it loaded the shim."""
MOST_CALLS = 1024
"""First faulted calls stored per fault: two for each process that has a row; more can only be forged."""
_MOST_REMEMBERED = 4096
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Census:
    """The processes that had the control page mapped, and when that was."""

    at_ns: int
    found: Mapping[tuple[int, int], Known]


@dataclass(frozen=True, slots=True)
class Arming:
    """What the evidence of a fault's latest arming is compared with: nothing of it changes while it is looked at."""

    fault: str
    generation: int
    armed_ns: int
    gpus: tuple[str, ...]
    codes: Mapping[Plane, int]

    @classmethod
    def of(cls, stored: StoredFault) -> "Arming":
        """As the fault is now."""
        fault = stored.fault
        return cls(
            fault.id, fault.generation or 0, fault.armed_ns or 0, tuple(fault.gpus), dict(stored.codes)
        )


@dataclass(frozen=True, slots=True)
class Seen:
    """What the rows of an arming say, as far as it can be believed."""

    counts: Counts
    processes: list[ProcessSeen]
    calls: list[FirstFaulted]


class Evidence:
    """Reads the events file for faults. Blocking, and it may take long: call it in a thread, one call at a time."""

    def __init__(self, page: NodePage, node_root: Path) -> None:
        self._page = page
        self._root = node_root
        self._found: dict[_Key, Known] = {}
        self._census = _Census(0, {})
        self._unverified: set[tuple[int, Plane, _Key]] = set()

    def look_around(self) -> None:
        """Remember which processes a fault can affect: one may end before its failed call is read."""
        at_ns = boottime_ns()
        self._census = _Census(at_ns, census(self._page.path, self._root))

    def look(self, armings: Sequence[Arming]) -> dict[str, Seen]:
        """What these faults show now, by fault id; those that no process has a row for are left out."""
        rows: dict[int, list[ProcessRow]] = {one.generation: [] for one in armings}
        for row in self._page.rows():
            if row.generation in rows:
                rows[row.generation].append(row)
        self._identify(row for found in rows.values() for row in found)
        return {one.fault: self._seen(one, rows[one.generation]) for one in armings if rows[one.generation]}

    def forget(self, stored: StoredFault) -> None:
        """Free the rows of a fault whose evidence was handed over."""
        if stored.fault.generation:
            self._page.forget(stored.fault.generation)

    def _seen(self, arming: Arming, rows: Sequence[ProcessRow]) -> Seen:
        believed = [(row, self._calls(arming, row)) for row in rows]
        return Seen(
            counts=Counts(
                intercepted=sum(row.intercepted for row in rows), faulted=sum(row.faulted for row in rows)
            ),
            processes=[self._process(row, calls) for row, calls in believed],
            calls=[call for _, calls in believed for call in calls],
        )

    def _process(self, row: ProcessRow, calls: list[FirstFaulted]) -> ProcessSeen:
        return ProcessSeen(
            pid=row.pid,
            host_pid=self._found[_key(row)].host_pid,
            start_ns=row.start_ns,
            faulted=row.faulted,
            first_faulted=min(calls, key=when, default=None),
        )

    def _calls(self, arming: Arming, row: ProcessRow) -> list[FirstFaulted]:
        calls = []
        for plane, call in ((Plane.CUDA, row.cuda), (Plane.NVML, row.nvml)):
            if call is None:
                continue
            why = _why_unverified(arming, plane, call)
            if why:
                self._log_once(arming, plane, row, why)
            else:
                calls.append(self._call(arming, plane, row, call))
        return calls

    def _call(self, arming: Arming, plane: Plane, row: ProcessRow, call: FaultedCall) -> FirstFaulted:
        who, gpus = self._found[_key(row)], arming.gpus
        if call.gpu:  # in the fault's own spelling
            gpu = next(one for one in gpus if one.lower() == call.gpu.lower())
        else:  # the process did not know it: the fault's only GPU, if there is only one
            gpu = gpus[0] if len(gpus) == 1 else ""
        return FirstFaulted(
            plane=plane,
            function=call.function,
            code=call.code,
            code_name=_NAMES[plane].get(call.code, ""),
            pid=call.pid,
            host_pid=who.host_pid,
            pod_uid=who.pod_uid,
            tid=call.tid,
            gpu=gpu,
            at_ns=call.at_ns,
        )

    def _identify(self, rows: Iterable[ProcessRow]) -> None:
        """Look up the new ones, all in one pass of /proc.

        A process may end right after its call failed. One that has ended is taken from the census, if it had loaded
        the shim by then: pids are reused.
        """
        new = {_key(row): row for row in rows if _key(row) not in self._found}
        if len(self._found) + len(new) > _MOST_REMEMBERED:
            self._found.clear()
            new = {_key(row): row for row in rows}
        pids = find_processes({(row.pid_namespace, row.pid) for row in new.values()}, self._page.path)
        for key, row in new.items():
            pid, counted = (
                pids.get((row.pid_namespace, row.pid)),
                self._census.found.get((row.pid_namespace, row.pid)),
            )
            if pid is not None:
                self._found[key] = Known(pid, pod_uid(pid, self._root))
            elif counted and row.start_ns < self._census.at_ns:
                self._found[key] = counted
            else:
                self._found[key] = Known(None, None)

    def _log_once(self, arming: Arming, plane: Plane, row: ProcessRow, why: str) -> None:
        key = (row.generation, plane, _key(row))
        if key not in self._unverified and len(self._unverified) < _MOST_REMEMBERED:
            self._unverified.add(key)
            _log.warning("fault %s: pid %d claims a %s call that %s", arming.fault, row.pid, plane.value, why)


def _why_unverified(arming: Arming, plane: Plane, call: FaultedCall) -> str:
    """Why a record cannot be true; "" when it can."""
    if plane not in arming.codes:
        return "was not supposed to be faulted"
    if call.code != arming.codes[plane]:
        return f"returned {call.code} instead of {arming.codes[plane]}"
    if not arming.armed_ns <= call.at_ns <= boottime_ns():
        return "did not happen while the fault was armed"
    if call.gpu and call.gpu.lower() not in [gpu.lower() for gpu in arming.gpus]:
        return f"was for {call.gpu}"
    return ""


def _key(row: ProcessRow) -> _Key:
    return row.pid_namespace, row.pid, row.start_ns


def identity(call: FirstFaulted) -> tuple[Plane, int, int, int]:
    """What makes two records the same call."""
    return call.plane, call.pid, call.tid, call.at_ns


def when(call: FirstFaulted) -> int:
    """For sorting."""
    return call.at_ns
