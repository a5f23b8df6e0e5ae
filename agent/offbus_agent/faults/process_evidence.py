"""What processes report about a fault: read from the events file, and accepted only as far as it can be checked.

Job: update a fault's `processes`, `counts` and `first_faulted` from the rows of its arming. A row is written by an
untrusted process: a record counts only with the code that was armed, on a GPU of the fault, at a time between arming
and now, and the pid is looked up in /proc (`processes`). What does not fit is left out and logged once. Processes and
counts are those of the latest arming. It changes only the given fault.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from offbus_agent.catalogue.result_codes import CUDA_CODES, NVML_CODES
from offbus_agent.catalogue.xid_effects import Plane
from offbus_agent.faults.processes import Known, census, find_process, pod_uid
from offbus_agent.faults.store import StoredFault
from offbus_agent.lease_time import boottime_ns
from offbus_agent.models import Counts, FirstFaulted, ProcessSeen
from offbus_agent.page.control import FaultedCall, ProcessRow
from offbus_agent.planes.page_plane import NodePage

__all__ = ["Evidence"]

_NAMES = {Plane.CUDA: CUDA_CODES, Plane.NVML: NVML_CODES}
_Key = tuple[int, int, int]
"""Identifies a process: pid namespace, pid in it, when it loaded the shim."""
_MOST_CALLS = 1024
"""First faulted calls stored per fault: two for each process that has a row; more can only be forged."""
_MOST_REMEMBERED = 4096
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Census:
    """The processes that had the control page mapped, and when that was."""

    at_ns: int
    found: Mapping[tuple[int, int], Known]


class Evidence:
    """Reads the events file for faults."""

    def __init__(self, page: NodePage, node_root: Path) -> None:
        self._page = page
        self._root = node_root
        self._found: dict[_Key, Known] = {}
        self._census = _Census(0, {})
        self._unverified: set[tuple[int, Plane, _Key]] = set()

    def look_around(self) -> None:
        """Remember which processes a fault can affect: one may end before its failed call is read. Blocking."""
        at_ns = boottime_ns()
        self._census = _Census(at_ns, census(self._page.path, self._root))

    def update(self, stored: StoredFault) -> list[FirstFaulted]:
        """Add the new evidence of the fault's latest arming; returns the first faulted calls that are new."""
        fault = stored.fault
        rows = self._page.rows(fault.generation) if fault.generation else []
        if not rows:
            return []
        believed = [(row, self._calls(stored, row)) for row in rows]
        fault.counts = Counts(
            intercepted=sum(row.intercepted for row in rows), faulted=sum(row.faulted for row in rows)
        )
        fault.processes = [self._process(row, calls) for row, calls in believed]
        known = {_identity(call) for call in fault.first_faulted}
        fresh = [call for _, calls in believed for call in calls if _identity(call) not in known]
        fresh = fresh[: _MOST_CALLS - len(fault.first_faulted)]
        fault.first_faulted = sorted([*fault.first_faulted, *fresh], key=_when)
        return sorted(fresh, key=_when)

    def forget(self, stored: StoredFault) -> None:
        """Free the rows of a fault whose evidence was handed over."""
        if stored.fault.generation:
            self._page.forget(stored.fault.generation)

    def _process(self, row: ProcessRow, calls: list[FirstFaulted]) -> ProcessSeen:
        return ProcessSeen(
            pid=row.pid,
            host_pid=self._who(row).host_pid,
            start_ns=row.start_ns,
            faulted=row.faulted,
            first_faulted=min(calls, key=_when, default=None),
        )

    def _calls(self, stored: StoredFault, row: ProcessRow) -> list[FirstFaulted]:
        calls = []
        for plane, call in ((Plane.CUDA, row.cuda), (Plane.NVML, row.nvml)):
            if call is None:
                continue
            why = _why_unverified(stored, plane, call)
            if why:
                self._log_once(stored, plane, row, why)
            else:
                calls.append(self._call(stored, plane, row, call))
        return calls

    def _call(self, stored: StoredFault, plane: Plane, row: ProcessRow, call: FaultedCall) -> FirstFaulted:
        who, gpus = self._who(row), stored.fault.gpus
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

    def _who(self, row: ProcessRow) -> Known:
        """The row's process: looked up when first seen, since it may end right after its call failed.

        One that has ended is taken from the census, if it had loaded the shim by then: pids are reused.
        """
        key = _key(row)
        if len(self._found) > _MOST_REMEMBERED:
            self._found.clear()
        if key not in self._found:
            pid = find_process(row.pid, row.pid_namespace, self._page.path)
            counted = self._census.found.get((row.pid_namespace, row.pid))
            if pid is not None:
                self._found[key] = Known(pid, pod_uid(pid, self._root))
            elif counted and row.start_ns < self._census.at_ns:
                self._found[key] = counted
            else:
                self._found[key] = Known(None, None)
        return self._found[key]

    def _log_once(self, stored: StoredFault, plane: Plane, row: ProcessRow, why: str) -> None:
        key = (row.generation, plane, _key(row))
        if key not in self._unverified and len(self._unverified) < _MOST_REMEMBERED:
            self._unverified.add(key)
            _log.warning(
                "fault %s: pid %d claims a %s call that %s", stored.fault.id, row.pid, plane.value, why
            )


def _why_unverified(stored: StoredFault, plane: Plane, call: FaultedCall) -> str:
    """Why a record cannot be true; "" when it can."""
    fault = stored.fault
    if plane not in stored.codes:
        return "was not supposed to be faulted"
    if call.code != stored.codes[plane]:
        return f"returned {call.code} instead of {stored.codes[plane]}"
    if not (fault.armed_ns or 0) <= call.at_ns <= boottime_ns():
        return "did not happen while the fault was armed"
    if call.gpu and call.gpu.lower() not in [gpu.lower() for gpu in fault.gpus]:
        return f"was for {call.gpu}"
    return ""


def _key(row: ProcessRow) -> _Key:
    return row.pid_namespace, row.pid, row.start_ns


def _identity(call: FirstFaulted) -> tuple[Plane, int, int, int]:
    return call.plane, call.pid, call.tid, call.at_ns


def _when(call: FirstFaulted) -> int:
    return call.at_ns
