"""What processes report of a fault: taken from the events file, and believed only as far as it can be checked.

Job: bring a fault's `processes`, `counts` and `first_faulted` up to date with the rows of its arming. A row is
written by a process that nobody vouches for: a record counts only with the code that was armed, on a GPU of the
fault, at a time between arming and now, and the pid is looked up in /proc (`processes`). What does not fit is left
out and logged once. Processes and counts are those of the latest arming. It changes nothing but the fault it is
given.
"""

import logging

from offbus_agent.codes import CUDA_CODES, NVML_CODES
from offbus_agent.effects import Plane
from offbus_agent.leases import boottime_ns
from offbus_agent.models import Counts, FirstFaulted, ProcessSeen
from offbus_agent.node_page import NodePage
from offbus_agent.page import FaultedCall, ProcessRow
from offbus_agent.processes import host_pid
from offbus_agent.store import StoredFault

__all__ = ["Evidence"]

_NAMES = {Plane.CUDA: CUDA_CODES, Plane.NVML: NVML_CODES}
_Key = tuple[int, int, int]
"""Which process: pid namespace, pid in it, when it loaded the shim."""
_log = logging.getLogger(__name__)


class Evidence:
    """Reads the events file for faults."""

    def __init__(self, page: NodePage) -> None:
        self._page = page
        self._host_pids: dict[_Key, int | None] = {}
        self._doubted: set[tuple[int, Plane, _Key]] = set()

    def update(self, stored: StoredFault) -> list[FirstFaulted]:
        """Take in what is new of the fault's latest arming; the first faulted calls that were not known yet."""
        fault = stored.fault
        if not fault.generation or fault.armed_ns is None:
            return []
        rows = self._page.rows(fault.generation)
        if not rows:
            return []
        believed = [(row, self._calls(stored, row)) for row in rows]
        fault.counts = Counts(
            intercepted=sum(row.intercepted for row in rows), faulted=sum(row.faulted for row in rows)
        )
        fault.processes = [self._process(row, calls) for row, calls in believed]
        known = {(call.plane, call.pid, call.tid, call.at_ns) for call in fault.first_faulted}
        found = [call for _, calls in believed for call in calls]
        fresh = [call for call in found if (call.plane, call.pid, call.tid, call.at_ns) not in known]
        fault.first_faulted = sorted([*fault.first_faulted, *fresh], key=lambda call: call.at_ns)
        return sorted(fresh, key=lambda call: call.at_ns)

    def forget(self, stored: StoredFault) -> None:
        """The fault's evidence was handed over: free its rows."""
        if stored.fault.generation:
            self._page.forget(stored.fault.generation)

    def _process(self, row: ProcessRow, calls: list[FirstFaulted]) -> ProcessSeen:
        return ProcessSeen(
            pid=row.pid,
            host_pid=self._host_pid(row),
            start_ns=row.start_ns,
            faulted=row.faulted,
            first_faulted=min(calls, key=lambda call: call.at_ns, default=None),
        )

    def _calls(self, stored: StoredFault, row: ProcessRow) -> list[FirstFaulted]:
        given = ((Plane.CUDA, row.cuda), (Plane.NVML, row.nvml))
        return [self._call(stored, plane, row, call) for plane, call in given if self._fits(stored, plane, row, call)]

    def _call(self, stored: StoredFault, plane: Plane, row: ProcessRow, call: FaultedCall | None) -> FirstFaulted:
        assert call is not None  # noqa: S101 - `_fits` said so
        return FirstFaulted(
            plane=plane,
            function=call.function,
            code=call.code,
            code_name=_NAMES[plane].get(call.code, ""),
            pid=call.pid,
            host_pid=self._host_pid(row),
            tid=call.tid,
            gpu=_gpu(stored, call),
            at_ns=call.at_ns,
        )
