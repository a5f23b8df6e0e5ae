"""The faults of this process that are or were armed, and the proof that they show on the target.

A follower per fault reads the agent's events by long poll. A first faulted call proves its plane only when the agent
found its process on the node (`host_pid`) and in a pod (`pod_uid`), and that pod is one of the target's on that node.
Anything else (such as a record whose process was not found) is recorded and proves nothing.

A node may be anybody's by now, and its agent answer what it likes, as fast as it likes: of a fault MOST_EVENTS events
are looked at, more than any agent has, then its agent is not asked for more; the fault's lease and its undo say how it
ended. Of an event only what agents know of it is kept (EVIDENCE), and no long text. Other tasks run while a long answer
is read.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from anyio import Event, current_time, sleep
from anyio.lowlevel import checkpoint

from offbus.declared import StatementTone
from offbus.recorder import Recorder
from offbus_agent.catalogue.plane import Plane
from offbus_steps.agents.answers import LARGEST
from offbus_steps.agents.client import EXPIRED, AgentRefused, FaultGone, NodeAgents, OddAnswer
from offbus_steps.agents.fault_model import Fault
from offbus_steps.background_tasks import Background
from offbus_steps.node_clock import NodeClocks
from offbus_steps.port import Unavailable
from offbus_steps.watch.event_log import Observations
from offbus_steps.workloads.target import Target

__all__ = [
    "MISSING_PROOF",
    "MOST_EVENTS",
    "MOST_PROOFS",
    "Faults",
    "LiveFault",
    "call_in_brief",
    "pod_of",
    "record_call",
]

MISSING_PROOF: Mapping[str, str] = {
    Plane.KERNEL: "the line was not read back from the node's kernel log",
    Plane.CUDA: "no faulted CUDA call by a process of the target was seen",
    Plane.NVML: "no faulted NVML call by a process of the target was seen",
}
"""What a verdict says about a plane without proof."""

TONES: Mapping[str, StatementTone] = {
    "armed": "caution",
    "disarmed": "good",
    **dict.fromkeys(EXPIRED, "bad"),
}
"""What an event of a fault means."""

PAUSE_S = 0.5
"""Before an agent that did not answer, or answered at once without news, is asked again."""
ODD_PAUSE_S = 5.0
"""Before one that answered oddly is: to read such an answer may have taken some tenths of a second."""
MOST_EVENTS = 2048
"""Of one fault that are looked at: an agent has at most 1,024 first faulted calls (its MOST_CALLS), some 20 others."""
MOST_PROOFS = 256
"""Calls that are recorded as proofs of one plane; an agent tells at most 128 of one pod."""
AT_A_TIME = 32
"""Events that are taken in before other tasks run."""
EVIDENCE = (
    "seq", "generation", "line", "plane", "function", "code", "code_name", "pid", "host_pid", "pod_uid", "tid", "gpu",
    "reason",
)  # fmt: skip
"""What agents say of an event, beside its kind and time (offbus_agent.models: FirstFaulted, KernelEntry)."""
LONGEST_TEXT = 256
"""Characters of one of them."""


@dataclass(slots=True)
class LiveFault:
    """A fault, its target, when it ended, and what has been proven."""

    fault: Fault
    target: Target
    ended_ns: int | None = None
    """When it was disarmed; None while it is armed."""
    proven: set[tuple[str, int, str]] = field(default_factory=set)
    """(plane, pid, function) that were recorded."""
    seen: Event = field(default_factory=Event)
    """Set when the first call of the target was proven."""


class Faults:
    """All faults of this run in this process, oldest first."""

    def __init__(
        self, agents: NodeAgents, run: Recorder, log: Observations, clocks: NodeClocks, tasks: Background
    ) -> None:
        self.live: dict[str, LiveFault] = {}
        self._agents = agents
        self._run = run
        self._log = log
        self._clocks = clocks
        self._tasks = tasks

    def follow(self, fault: Fault, target: Target) -> None:
        """Record the fault's events until it ends."""
        self.live[fault.id] = LiveFault(fault, target)
        self._tasks.start(self._follow, self.live[fault.id], name=f"events of {fault.id}")

    def ended(self, fault: str, at_ns: int) -> None:
        """The fault was disarmed."""
        live = self.live.get(fault)
        if live is not None and live.ended_ns is None:
            live.ended_ns = at_ns

    def called(self, live: LiveFault, call: Mapping[str, Any]) -> bool:
        """Record a first faulted call. Returns whether it proves its plane on the target."""
        plane = call["plane"][:LONGEST_TEXT]
        key = (plane, call["pid"], call["function"][:LONGEST_TEXT])
        if key in live.proven:
            return True
        target, world = live.target, self._log.world
        workload = world.workload(target.ref)
        came = {  # the target's pods may have started on the node after the injection
            pod.uid: pod.ref.name
            for pod in self._log.pods_seen(live.fault.mark)
            if pod.uid == call.get("pod_uid")
            and pod.node == live.fault.node
            and pod.ref.namespace == target.namespace  # others are watched, too, for another target
            and target.selects(pod.labels)
            and workload is not None
            and world.owners.lead(pod.controller, target.ref, workload.uid)
        }
        pod = pod_of(call, {**came, **live.fault.pods})
        if pod is None:
            return False
        live.seen.set()
        if sum(one == plane for one, _, _ in live.proven) < MOST_PROOFS:
            live.proven.add(key)
            record_call(self._run, self._clocks, live.fault, call, pod)
        return True

    async def _follow(self, live: LiveFault) -> None:
        since = taken = 0
        while live.ended_ns is None:
            asked = current_time()
            try:
                page = await self._agents.events(live.fault.node, live.fault.id, since)
            except FaultGone:
                return
            except OddAnswer:
                await sleep(ODD_PAUSE_S)
                continue
            except (AgentRefused, Unavailable):
                await sleep(PAUSE_S)  # the lease's task decides when an agent has been away for too long
                continue
            since = page["next"]
            for event in page["events"]:
                if taken == MOST_EVENTS:
                    to = "more events of its agent are left out"
                    self._run.observed(lane="fault", subject=live.fault.id, to=to, tone="caution")
                    return
                taken += 1
                self._take(live, event)
                if taken % AT_A_TIME == 0:
                    await checkpoint()
            if not page["events"] and current_time() < asked + PAUSE_S:
                await sleep(PAUSE_S)

    def _take(self, live: LiveFault, event: Mapping[str, Any]) -> None:
        kind = event["kind"]
        told = kind if kind in ("armed", "disarmed", *EXPIRED) else ""
        if kind == "first_faulted" and not self.called(live, event):
            told = "faulted a process that was not found in a pod of the target"
        if not told:
            return
        evidence = known(event)
        moment = self._clocks.moment(live.fault.node, event["at_ns"])
        self._run.observed(
            lane="fault",
            subject=live.fault.id,
            to=told,
            evidence=evidence,
            at=moment,
            tone=TONES.get(kind),
            brief=call_in_brief(evidence) if kind == "first_faulted" else "",
        )
        if kind == "disarmed" or kind in EXPIRED:
            self.ended(live.fault.id, moment.mono_ns if moment else int(event["at_ns"]))


def known(event: Mapping[str, Any]) -> dict[str, Any]:
    """What agents say of an event or a call: texts, cut, and numbers; nothing else that a node may send."""
    said = {key: event[key] for key in EVIDENCE if key in event}
    return {
        key: value[:LONGEST_TEXT] if isinstance(value, str) else value
        for key, value in said.items()
        if value is None
        or isinstance(value, str | float)
        or (isinstance(value, int) and abs(value) < LARGEST)
    }


def pod_of(call: Mapping[str, Any], pods: Mapping[str, str]) -> str | None:
    """The pod that made a faulted call, out of `pods` (uid to name); None when that is not established."""
    if call.get("host_pid") is None:
        return None
    return pods.get(str(call.get("pod_uid")))


def record_call(run: Recorder, clocks: NodeClocks, fault: Fault, call: Mapping[str, Any], pod: str) -> None:
    """Journal the proof that a plane shows the fault on the target."""
    said = {key: value for key, value in known(call).items() if key not in ("seq", "plane")}
    evidence = said | {"pod": pod, "node": fault.node}
    moment = clocks.moment(fault.node, call["at_ns"])
    brief = call_in_brief(evidence)
    run.fault_proven(
        fault=fault.id, plane=call["plane"][:LONGEST_TEXT], evidence=evidence, at=moment, brief=brief
    )


def call_in_brief(call: Mapping[str, Any]) -> str:
    """A faulted call in one line: "cuLaunchKernel, CUDA_ERROR_UNKNOWN (999), pid 71, pod llm-0, GPU-1"."""
    name, code = call.get("code_name"), call.get("code")
    parts = (
        call.get("function"),
        f"{name} ({code})" if name and code is not None else name or (code is not None and f"code {code}"),
        call.get("pid") is not None and f"pid {call['pid']}",
        call.get("pod") and f"pod {call['pod']}",
        call.get("gpu"),
    )
    return ", ".join(str(part) for part in parts if part)
