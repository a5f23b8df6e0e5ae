"""The faults of this process that are or were armed, and the proof that they show on the target.

A follower per fault reads the agent's events by long poll. A first faulted call proves its plane only when the agent
found its process on the node (`host_pid`) and in a pod (`pod_uid`), and that pod is one of the target's on that node.
Anything else (such as a record whose process was not found) is recorded and proves nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from anyio import Event, sleep

from offbus.declared import StatementTone
from offbus.recorder import Recorder
from offbus_agent.catalogue.plane import Plane
from offbus_steps.agents.client import EXPIRED, AgentRefused, FaultGone, NodeAgents
from offbus_steps.agents.fault_model import Fault
from offbus_steps.background_tasks import Background
from offbus_steps.node_clock import NodeClocks
from offbus_steps.port import Unavailable
from offbus_steps.watch.event_log import Observations
from offbus_steps.workloads.target import Target

__all__ = ["MISSING_PROOF", "Faults", "LiveFault", "call_in_brief", "pod_of", "record_call"]

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
"""Before an agent that did not answer is asked again."""


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
        key = (str(call["plane"]), int(call["pid"]), str(call["function"]))
        if key in live.proven:
            return True
        came = {  # the target's pods may have started on the node after the injection
            pod.uid: pod.ref.name
            for pod in self._log.pods_seen(live.fault.mark)
            if pod.node == live.fault.node
            and pod.ref.namespace == live.target.namespace  # others are watched, too, for another target
            and live.target.selects(pod.labels)
        }
        pod = pod_of(call, {**came, **live.fault.pods})
        if pod is None:
            return False
        live.proven.add(key)
        live.seen.set()
        record_call(self._run, self._clocks, live.fault, call, pod)
        return True

    async def _follow(self, live: LiveFault) -> None:
        since = 0
        while live.ended_ns is None:
            try:
                page = await self._agents.events(live.fault.node, live.fault.id, since)
            except FaultGone:
                return
            except (AgentRefused, Unavailable):
                await sleep(PAUSE_S)  # the lease's task decides when an agent has been away for too long
                continue
            since = page["next"]
            for event in page["events"]:
                kind = event["kind"]
                told = kind if kind in ("armed", "disarmed", *EXPIRED) else ""
                if kind == "first_faulted" and not self.called(live, event):
                    told = "faulted a process that was not found in a pod of the target"
                if not told:
                    continue
                evidence = {key: value for key, value in event.items() if key not in ("kind", "at_ns")}
                moment = self._clocks.moment(live.fault.node, event["at_ns"])
                self._run.observed(
                    lane="fault",
                    subject=live.fault.id,
                    to=told,
                    evidence=evidence,
                    at=moment,
                    tone=TONES.get(kind),
                    brief=call_in_brief(event) if kind == "first_faulted" else "",
                )
                if kind == "disarmed" or kind in EXPIRED:
                    self.ended(live.fault.id, moment.mono_ns if moment else int(event["at_ns"]))


def pod_of(call: Mapping[str, Any], pods: Mapping[str, str]) -> str | None:
    """The pod that made a faulted call, out of `pods` (uid to name); None when that is not established."""
    if call.get("host_pid") is None:
        return None
    return pods.get(str(call.get("pod_uid")))


def record_call(run: Recorder, clocks: NodeClocks, fault: Fault, call: Mapping[str, Any], pod: str) -> None:
    """Journal the proof that a plane shows the fault on the target."""
    keys = ("function", "code", "code_name", "pid", "host_pid", "pod_uid", "tid", "gpu")
    evidence = {key: call[key] for key in keys if key in call} | {"pod": pod, "node": fault.node}
    moment = clocks.moment(fault.node, call["at_ns"])
    brief = call_in_brief(evidence)
    run.fault_proven(fault=fault.id, plane=str(call["plane"]), evidence=evidence, at=moment, brief=brief)


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
