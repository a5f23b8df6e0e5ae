"""What processes report about a fault: read from their pods' events files, accepted only as far as it can be checked.

Job: say which processes, counts and first faulted calls the rows of an arming show. A row is written by an untrusted
process: a record counts only with the code that was armed, on a GPU of the fault, at a time between arming and now, and
the pid is looked up in /proc (`processes`): one of another pod than the file's is not counted. What does not fit is
left out, and logged once for each pod. It changes no fault: the registry does, once `collector` passes on what was
seen.
"""

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from offbus_agent.catalogue.plane import Plane
from offbus_agent.catalogue.result_codes import CUDA_CODES, NVML_CODES
from offbus_agent.faults.hidden import Looks
from offbus_agent.faults.processes import Known, Look, census, find_processes, living_pods
from offbus_agent.faults.store import StoredFault
from offbus_agent.lease_time import boottime_ns
from offbus_agent.models import Counts, FirstFaulted, ProcessSeen
from offbus_agent.page.control import FaultedCall, ProcessRow
from offbus_agent.planes.page_plane import NodePage

__all__ = ["MOST_CALLS", "MOST_CALLS_OF_A_POD", "Arming", "Evidence", "Seen", "identity", "when"]

_NAMES = {Plane.CUDA: CUDA_CODES, Plane.NVML: NVML_CODES}
_Key = tuple[str, int, int, int]
"""Identifies a process: the pod that reports it, pid namespace, pid in it, when it loaded the shim."""
MOST_CALLS = 1024
"""First faulted calls stored per fault."""
MOST_CALLS_OF_A_POD = 128
"""Of these, of one pod: two for each of its processes with a row. What one pod forges leaves room for the others."""
_MOST_REMEMBERED = 4096
_log = logging.getLogger(__name__)


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
    """Reads the events file for faults. Blocking, and it may take long: call it in a thread, one call at a time.

    All raise HelperUnreachable where a kernel-log helper is asked: nothing of what could not be asked is remembered.
    """

    def __init__(self, page: NodePage, node_root: Path, looks: Looks) -> None:
        self._page = page
        self._root = node_root
        self._looks = looks
        self._found: dict[_Key, Known] = {}
        self._census: Mapping[tuple[int, int], Known] = {}
        """The processes that had the control page mapped, and when that was looked up."""
        self._census_ns = 0
        self._namespaces: set[tuple[str, int]] = set()
        """Pods, and the pid namespaces that they were seen to have."""
        self._told: set[tuple[str, int, str]] = set()
        """Of which pod, which generation or 0, and of what kind: a pod may have as many lies as it likes."""

    def look_around(self) -> None:
        """Remember which processes a fault can affect: one may end before its failed call is read."""
        at_ns = boottime_ns()
        look = census(self._looks, self._root, self._pods())
        self._census, self._census_ns = look.found, at_ns
        self._take_in(look)

    def look(self, armings: Sequence[Arming]) -> dict[str, Seen]:
        """What these faults show now, by fault id; those that no process has a row for are left out."""
        generations = {one.generation for one in armings}
        rows = [
            (pod.pod, row) for pod in self._page.rows() for row in pod.rows if row.generation in generations
        ]
        self._identify(rows)
        own = [(pod, row) for pod, row in rows if self._is_of_its_pod(pod, row)]
        of = {one.fault: [found for found in own if found[1].generation == one.generation] for one in armings}
        return {one.fault: self._seen(one, of[one.fault]) for one in armings if of[one.fault]}

    def forget(self, generations: Collection[int]) -> None:
        """Free the rows of armings whose evidence was handed over."""
        self._page.forget(generations)

    def tidy(self) -> None:
        """Remove the events folders of pods that have no process here any more."""
        if self._page.events.pods():
            self._page.events.tidy(living_pods(self._root))

    def _is_of_its_pod(self, pod: str, row: ProcessRow) -> bool:
        """A row counts only for the pod in whose folder it is: not one that names a process of another pod."""
        other = self._found[_key(pod, row)].pod_uid
        if other != pod:
            where = other or "a pid namespace that none of its processes was seen in"
            self._tell_once((pod, 0, "pid"), f"pod {pod} reports pid {row.pid}, which is in {where}")
        return other == pod

    def _seen(self, arming: Arming, rows: Sequence[tuple[str, ProcessRow]]) -> Seen:
        believed = [(pod, row, self._calls(arming, pod, row)) for pod, row in rows]
        return Seen(
            counts=Counts(
                intercepted=sum(row.intercepted for _, row in rows),
                faulted=sum(row.faulted for _, row in rows),
            ),
            processes=[self._process(pod, row, calls) for pod, row, calls in believed],
            calls=[call for *_, calls in believed for call in calls],
        )

    def _process(self, pod: str, row: ProcessRow, calls: list[FirstFaulted]) -> ProcessSeen:
        return ProcessSeen(
            pid=row.pid,
            host_pid=self._found[_key(pod, row)].host_pid,
            start_ns=row.start_ns,
            faulted=row.faulted,
            first_faulted=min(calls, key=when, default=None),
        )

    def _calls(self, arming: Arming, pod: str, row: ProcessRow) -> list[FirstFaulted]:
        calls = []
        for plane, call in ((Plane.CUDA, row.cuda), (Plane.NVML, row.nvml)):
            if call is None:
                continue
            why = _why_unverified(arming, plane, call)
            if why:
                told = (
                    f"fault {arming.fault}: pid {row.pid} of pod {pod} claims a {plane.value} call that {why}"
                )
                self._tell_once((pod, row.generation, plane.value), told)
            else:
                calls.append(self._call(arming, plane, pod, row, call))
        return calls

    def _call(
        self, arming: Arming, plane: Plane, pod: str, row: ProcessRow, call: FaultedCall
    ) -> FirstFaulted:
        who, gpus = self._found[_key(pod, row)], arming.gpus
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

    def _identify(self, rows: Sequence[tuple[str, ProcessRow]]) -> None:
        """Look up the new ones, all in one pass of /proc.

        A process may end right after its call failed. One that has ended is taken from the census, if it had loaded
        the shim by then: pids are reused. One that is not found there either is of the pod that reported it, if that
        has, or had, a process in its pid namespace: only a pod's own processes are there.
        """
        new = {_key(pod, row): row for pod, row in rows if _key(pod, row) not in self._found}
        if len(self._found) + len(new) > _MOST_REMEMBERED:
            self._found.clear()
            new = {_key(pod, row): row for pod, row in rows}
        names = {(row.pid_namespace, row.pid) for row in new.values()}
        look = find_processes(names, self._looks, self._root, self._pods()) if names else Look({}, [], set())
        self._take_in(look)
        for key, row in new.items():
            name = (row.pid_namespace, row.pid)
            counted = self._census.get(name) if row.start_ns < self._census_ns else None
            its_own = Known(None, key[0] if (key[0], row.pid_namespace) in self._namespaces else None)
            self._found[key] = look.found.get(name) or counted or its_own

    def _pods(self) -> set[str]:
        """Those that may report: a process of any other has no row that counts."""
        return {folder.name for folder in self._page.events.pods()}

    def _take_in(self, look: Look) -> None:
        if len(self._namespaces) > _MOST_REMEMBERED:
            self._namespaces.clear()
        self._namespaces |= look.namespaces
        for one in look.too_long:
            told = f"pod {one.pod_uid}: process {one.host_pid} has too many mappings to be looked at: it is not found"
            self._tell_once((str(one.pod_uid), 0, "maps"), told)

    def _tell_once(self, about: tuple[str, int, str], what: str) -> None:
        if about not in self._told and len(self._told) < _MOST_REMEMBERED:
            self._told.add(about)
            _log.warning("%s", what)


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


def _key(pod: str, row: ProcessRow) -> _Key:
    return pod, row.pid_namespace, row.pid, row.start_ns


def identity(call: FirstFaulted) -> tuple[Plane, str | None, int, int, int]:
    """What makes two records the same call."""
    return call.plane, call.pod_uid, call.pid, call.tid, call.at_ns


def when(call: FirstFaulted) -> int:
    """For sorting."""
    return call.at_ns
