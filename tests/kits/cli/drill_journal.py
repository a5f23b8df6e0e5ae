"""Journals of realistic drills, written by the real JournalWriter on a clock that the script moves.

Run as a program it plays a drill in a view, faster or slower: `python drill_journal.py live 4` (view, speed, drill).
"""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from offbus.journal.events import EventKind
from offbus.report.model import Report
from offbus_steps.agents.live_faults import call_in_brief
from tests.kits.cli.drill_writer import Drill

GPU = "GPU-1f0b54a2-0000-4b1d-8a61-7f7e2d3c4b5a"
LINE = "kernel: NVRM: Xid (PCI:0000:3b:00): 79, pid=4711, name=python3, GPU has fallen off the bus. offbus=3f9a2c41"


def passing(base: Path) -> tuple[Drill, Report]:
    """A whole drill that passes in about 31 s."""
    drill = Drill(base)
    _until_injected(drill)
    _consequences(drill)
    _undone(drill)
    return drill, drill.finish()


def failing(base: Path) -> tuple[Drill, Report]:
    """The node is never cordoned, and one undo meets a conflict."""
    drill = Drill(base)
    _until_injected(drill)
    message = "was not seen within 180 s"
    drill.step("cordon", 13.0, 193.0, "timed_out", message=message, hint="is the responder running?")
    for name in ("drain", "heal", "moved", "works"):
        drill.end(name, 193.0, "skipped", because="step cordon timed out")
    drill.end("load", 193.1, "cancelled", because="step cordon timed out")
    drill.at(193.2).write(EventKind.PHASE, name="undo")
    drill.undo(3, 193.3, 193.4)
    drill.undo(2, 193.5, 193.6, "conflict", "spec.template was changed by helm")
    drill.undo(1, 193.7, 193.9)
    item, detail = (
        "restore LD_PRELOAD of Deployment/drill/vllm",
        "not undone: spec.template was changed by helm",
    )
    drill.write(EventKind.RESIDUE, item=item, detail=detail, fix="offbus recover 3f9a2c41")
    return drill, drill.finish()


def killed(base: Path) -> tuple[Drill, Report]:
    """The runner is gone right after the injection."""
    drill = Drill(base)
    _until_injected(drill)
    drill.journal.close()
    return drill, drill.fold.report()


def small(base: Path, *, attention: Sequence[str] = ()) -> tuple[Drill, Report]:
    """Two steps, one fault, one undo; and why a human must act."""
    drill = Drill(base, name="small")
    drill.begin([("inject", "inject_fault", "action"), ("cordon", "await_cordon", "observation")])
    drill.at(0.1).write(EventKind.PHASE, name="open")
    drill.at(0.2).write(EventKind.ENVIRONMENT_OPENED, environment="local", state={})
    drill.at(0.5).write(EventKind.STEP_STARTED, "inject", attempt=1)
    drill.plan_undo("inject", "disarm fault f-1 on node-1", "disarm")
    said = drill.recorder("inject")
    drill.at(0.6)
    said.fault_declared(fault="f-1", subject="node-1 GPU-1", planes={"kernel": "the line was not read back"})
    drill.at(0.75)
    said.fault_proven(
        fault="f-1", plane="kernel", evidence={"seq": 412, "line": LINE}, brief=f"seq 412, {LINE}"
    )
    for reason in attention:
        said.needs_attention(reason)
    drill.end("inject", 0.8)
    drill.at(0.9).write(EventKind.STEP_STARTED, "cordon", attempt=1)
    drill.at(2.0).recorder("cordon").observed(
        lane="node", subject="Node/node-1", was="schedulable", to="cordoned", tone="caution"
    )
    drill.recorder("cordon").metric("time_to_cordon", timedelta(seconds=1.25), "s", derived_from=[9, 12])
    drill.end("cordon", 2.1)
    drill.at(2.2).write(EventKind.PHASE, name="undo")
    drill.undo(1, 2.3, 2.4, "restored", "read back: disarmed")
    text = 'metrics.time_to_cordon < duration("60s")'
    drill.at(2.5).write(EventKind.EXPECTATION, text=text, result="true", detail="")
    drill.at(3.0)
    return drill, drill.finish()


def _until_injected(drill: Drill) -> None:
    drill.begin()
    drill.at(0.02).write(EventKind.PHASE, name="open")
    drill.at(0.9).write(EventKind.ENVIRONMENT_OPENED, environment="local", state={})
    nodes = {f"Node/node-{n} spec.unschedulable": False for n in (1, 2, 3)}
    drill.at(1.0).write(EventKind.FINGERPRINT, when="before", items=nodes)
    drill.write(EventKind.PHASE, name="steps")
    drill.at(1.1).write(EventKind.STEP_STARTED, "deploy", attempt=1)
    drill.plan_undo("deploy", "delete Deployment/drill/vllm")
    _pods_come(drill, 1.6, "")
    drill.end("deploy", 4.3)
    drill.at(4.3).write(EventKind.STEP_STARTED, "load", attempt=1)
    drill.at(4.4).write(EventKind.STEP_READY, "load")
    drill.step("baseline", 4.4, 6.9)
    text = "outputs.success_rate >= 0.99"
    drill.write(EventKind.EXPECTATION, "baseline", text=text, result="true", detail="")
    drill.at(6.9).write(EventKind.STEP_STARTED, "prepare", attempt=1)
    drill.plan_undo("prepare", "restore LD_PRELOAD of Deployment/drill/vllm")
    _pods_come(drill, 7.2, "b")
    drill.end("prepare", 10.1)
    _inject(drill)


def _pods_come(drill: Drill, start: float, suffix: str) -> None:
    said = drill.recorder()
    placed = [
        (name, {"node": f"node-{n}", "uid": f"u-{name}", "gpus": [GPU]})
        for n, name in ((1, "vllm-7d9f"), (2, "vllm-x2k4"))
    ]
    for name, place in placed:
        drill.at(start)
        said.observed(
            lane="pod",
            subject=f"Pod/drill/{name}{suffix}",
            to=f"scheduled on {place['node']}",
            evidence=place,
        )
    for name, place in placed:
        drill.at(start + 2)
        said.observed(
            lane="pod", subject=f"Pod/drill/{name}{suffix}", to="ready", tone="good", evidence=place
        )
        if suffix:
            said.observed(
                lane="pod", subject=f"Pod/drill/{name}", to="terminating", tone="caution", evidence=place
            )
            said.observed(lane="pod", subject=f"Pod/drill/{name}", to="deleted", tone="dim", evidence=place)


def _inject(drill: Drill) -> None:
    drill.at(10.1).write(EventKind.STEP_STARTED, "inject", attempt=1)
    drill.plan_undo("inject", "disarm fault 3f9a2c41-1 on node-1", "disarm")
    said = drill.recorder("inject")
    missing = "no faulted CUDA call by a process of the target was seen"
    planes = {
        "kernel": "the line was not read back",
        "cuda": missing,
        "nvml": missing.replace("CUDA", "NVML"),
    }
    said.fault_declared(fault="3f9a2c41-1", subject=f"XID 79 on node-1 {GPU}", planes=planes)
    drill.at(10.3)
    said.observed(lane="fault", subject="3f9a2c41-1", to="armed", tone="caution", evidence={"gpus": [GPU]})
    said.fault_proven(
        fault="3f9a2c41-1", plane="kernel", evidence={"seq": 412, "line": LINE}, brief=f"seq 412, {LINE}"
    )
    drill.end("inject", 10.4)
    drill.at(10.4).write(EventKind.STEP_STARTED, "fails", attempt=1)
    call = {"code": 999, "code_name": "CUDA_ERROR_UNKNOWN", "pid": 71, "gpu": GPU, "pod": "vllm-7d9fb"}
    drill.at(10.9)
    drill.recorder("fails").fault_proven(
        fault="3f9a2c41-1",
        plane="cuda",
        evidence={"function": "cuLaunchKernel"} | call,
        brief=call_in_brief({"function": "cuLaunchKernel"} | call),
    )
    drill.at(11.4)
    drill.recorder().observed(
        lane="pod",
        subject="Pod/drill/vllm-7d9fb",
        to="ended with 1",
        tone="bad",
        evidence={"exit_code": 1, "restarts": 1, "node": "node-1"},
    )
    drill.recorder().observed(
        lane="requests", subject="frontend", to="failing", tone="bad", was="good", evidence={"sent": 120}
    )
    drill.recorder().metric("requests.sent", 120, "1")
    drill.recorder().metric("requests.failed", 3, "1")
    drill.recorder().metric("requests.success_rate", 0.975, "1")
    drill.end("fails", 13.0)


def _consequences(drill: Drill) -> None:
    said = drill.recorder()
    gone = {"code": 15, "code_name": "NVML_ERROR_GPU_IS_LOST", "pid": 71, "gpu": GPU, "pod": "vllm-7d9fb"}
    drill.at(13.0).write(EventKind.STEP_STARTED, "cordon", attempt=1)
    drill.at(13.2)
    gone = {"function": "nvmlDeviceGetUUID"} | gone
    said.fault_proven(fault="3f9a2c41-1", plane="nvml", evidence=gone, brief=call_in_brief(gone))
    drill.at(14.1)
    evidence = {"condition": "SysLogsXIDError", "status": "True", "reason": "SysLogsXIDErrorIsNotHealthy"}
    said.observed(
        lane="node",
        subject="Node/node-1",
        to="SysLogsXIDError True",
        tone="caution",
        evidence=evidence,
        brief=evidence["reason"],
    )
    said.observed(lane="node", subject="Node/node-1", was="schedulable", to="cordoned", tone="caution")
    said.observed(
        lane="node", subject="Node/node-1", was="state none", to="state quarantined", tone="caution"
    )
    said.metric("time_to_detect", timedelta(seconds=3.81), "s")
    said.metric("time_to_cordon", timedelta(seconds=3.82), "s")
    drill.end("cordon", 14.2)
    drill.at(14.2).write(EventKind.STEP_STARTED, "drain", attempt=1)
    drill.at(15.0)
    said.observed(
        lane="node", subject="Node/node-1", was="state quarantined", to="state draining", tone="caution"
    )
    place = {"node": "node-1", "uid": "u-vllm-7d9fb", "gpus": [GPU]}
    said.observed(lane="pod", subject="Pod/drill/vllm-7d9fb", to="evicted", tone="caution", evidence=place)
    said.observed(
        lane="pod", subject="Pod/drill/vllm-p81z", to="scheduled on node-3", evidence={"node": "node-3"}
    )
    drill.at(18.0)
    said.observed(lane="pod", subject="Pod/drill/vllm-7d9fb", to="deleted", tone="dim", evidence=place)
    said.observed(
        lane="pod", subject="Pod/drill/vllm-p81z", to="ready", tone="good", evidence={"node": "node-3"}
    )
    said.metric("time_to_drain", timedelta(seconds=4.8), "s")
    drill.end("drain", 18.1)
    drill.at(18.1).write(EventKind.STEP_STARTED, "heal", attempt=1)
    drill.undo(3, 18.2, 18.3, "restored", "read back: disarmed")
    drill.at(20.0)
    said.observed(lane="fault", subject="3f9a2c41-1", to="disarmed", tone="good", evidence={})
    said.observed(lane="requests", subject="frontend", to="good", tone="good", was="failing")
    said.observed(lane="node", subject="Node/node-1", was="cordoned", to="uncordoned", tone="good")
    said.observed(lane="node", subject="Node/node-1", was="state draining", to="state none", tone="dim")
    said.observed(
        lane="node", subject="Node/node-1", was="SysLogsXIDError True", to="SysLogsXIDError False", tone="dim"
    )
    said.metric("time_to_uncordon", timedelta(seconds=1.7), "s")
    drill.end("heal", 20.1)
    drill.step("moved", 20.1, 24.0)
    said.metric("time_to_recover", timedelta(seconds=7.6), "s")
    drill.step("works", 24.0, 26.5)
    said.metric("requests.sent", 243, "1")
    said.metric("requests.success_rate", 240 / 243, "1")
    drill.end("load", 27.0)


def _undone(drill: Drill) -> None:
    drill.at(27.0).write(EventKind.PHASE, name="undo")
    drill.undo(2, 27.1, 29.6)
    drill.undo(1, 29.7, 31.0)
    text = 'metrics.time_to_cordon < duration("60s")'
    drill.write(EventKind.EXPECTATION, text=text, result="true", detail="")
    drill.at(31.0).write(EventKind.PHASE, name="close")
    drill.at(31.2)


DRILLS: dict[str, Callable[[Path], tuple[Drill, Report]]] = {
    "passing": passing,
    "failing": failing,
    "killed": killed,
    "small": small,
}
WAITS = {
    "cordon": "node-1 to be cordoned",
    "drain": "1 pod to leave node-1",
    "moved": "2 of 2 replicas ready, 4 of 10 good answers",
    "load": "20 requests/s",
}


def _play(kind: str, speed: float, drill: Drill, report: Report) -> None:
    """Play a journal in a view, with the pauses that it had."""
    from offbus.cli.views import make_view

    origin = drill.events[0]["mono_ns"]
    began = time.monotonic()

    def now() -> int:
        return origin + round((time.monotonic() - began) * speed * 1e9)

    with make_view(kind, report.name, [(one.id, one.uses) for one in report.steps], now_ns=now) as view:
        for event in drill.events:
            for pause in _pauses((event["mono_ns"] - now()) / 1e9 / speed):
                time.sleep(pause)  # for a person who looks at it: no test plays a journal like this
                view.tick()
            view.event(event)
            if event["kind"] == EventKind.STEP_STARTED and event["step"] in WAITS:
                view.progress(event["step"], WAITS[event["step"]])
        view.finish(report, drill.folder.report)


def _pauses(seconds: float) -> Iterator[float]:
    while seconds > 0:
        yield min(1.0, seconds)
        seconds -= 1.0


if __name__ == "__main__":
    with TemporaryDirectory() as scratch:
        _play(sys.argv[1], float(sys.argv[2]), *DRILLS[sys.argv[3]](Path(scratch)))
