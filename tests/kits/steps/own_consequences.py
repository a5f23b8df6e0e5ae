"""A step that watches one fault, while a responder and others write: what it saw, and when."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest

from offbus.step import StepType
from offbus_steps.port import Object, Ref
from tests.kits.steps.faults import FAULT
from tests.kits.steps.responder_marks import (
    event,
    finding,
)
from tests.kits.steps.timed_port import TimedPort, node, put, timed_bench
from tests.kits.virtual_time import meanwhile

__all__ = ["BY_HAND", "OTHERS", "SAID", "Conditions", "never", "repaired", "seen", "told"]

NODE = Ref("Node", "node-1")
READY: Mapping[str, Any] = {"type": "Ready", "status": "True"}
BY_HAND: Mapping[str, Any] = {"spec": {"unschedulable": True}}
OTHERS = event("48", "GPU-2", id="e2")
WITHIN_S = 60.0


class Conditions(tuple[dict[str, Any], ...]):
    """All conditions of a node but for Ready."""

    __slots__ = ()


def play(port: TimedPort, at: Ref, what: Any) -> None:
    """Write a patch of the node, its conditions, an object, or an object's status."""
    if isinstance(what, Conditions):
        port.store.set_status(at, {"conditions": [READY, *what]})
    elif "apiVersion" in what:
        put(port.store, what)
    elif "status" in what:
        port.store.set_status(Ref(what["kind"], what["name"]), what["status"])
    else:
        port.store.patch(at, what)


def repaired(name: str = "maintenance-node-1-e1", kind: str = "RebootNode", status: str = "True") -> Any:
    kinds = {"RebootNode": "NodeReady", "GPUReset": "Complete"}
    return {
        "kind": kind,
        "name": name,
        "status": {"conditions": [{"type": kinds[kind], "status": status}]},
    }


async def seen(
    folder: Path, step: StepType, *script: Any, before: tuple[Any, ...] = (), at: Ref = NODE, **fault: Any
) -> tuple[Any, dict[str, float]]:
    """Run a step while a responder and others write: one write a second, from the first on; outputs and metrics."""
    async with timed_bench(folder, node("node-1"), node("node-2")) as (one, port):
        for what in before:
            play(port, at, what)
        await one.cluster.observer.watch_responses()
        await one.cluster.log.until(partial(settled, port))
        aimed = FAULT.model_copy(update={"mark": one.cluster.log.mark(), **fault})
        writes = [(float(second), partial(play, port, at, what)) for second, what in enumerate(script, 1)]
        async with meanwhile(*writes):
            out = await one.run(step, within_s=WITHIN_S, fault=aimed)
        return out, {metric["name"]: metric["value"] for metric in one.events("metric")}


def settled(port: TimedPort, world: Any) -> bool | None:
    """Whether the watches show the node as it is."""
    marks: Object = port.store.get(NODE)["metadata"].get("annotations") or {}
    found = world.node("node-1")
    return True if found is not None and found.annotations == marks else None


async def never(folder: Path, step: StepType, *script: Any, **more: Any) -> None:
    """The step waits until it is given up."""
    began = anyio.current_time()
    with pytest.raises(TimeoutError):
        await seen(folder, step, *script, **more)
    assert anyio.current_time() - began >= WITHIN_S


SAID = f"MESSAGE=offbus={FAULT.id} .NVRM: Xid (PCI:0000:3b:00): 94, said"
"""The line of the fault, as NVSentinel repeats it in an Event (nvsentinel-observed.md)."""


def told(code: str = "79", uuid: str = "GPU-1", *, said: str = SAID) -> str:
    """An entry about a fault that is not fatal."""
    return finding(code, uuid, action="NONE", said=said)
