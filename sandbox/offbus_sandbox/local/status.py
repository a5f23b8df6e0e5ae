"""What `offbus local status` shows: a snapshot, read through the port as by any client."""

from collections.abc import Iterator
from typing import Any

from offbus_sandbox.adapter.port import LocalPort
from offbus_sandbox.layout import Layout
from offbus_steps.port import Object, PortError
from offbus_steps.workloads.gpus import allocatable_gpus, held_gpus
from offbus_steps.workloads.pods import is_ready

__all__ = ["overview", "rows"]


async def overview(layout: Layout) -> dict[str, Any]:
    """Supervisor, nodes with their faults, pods. Raises Unavailable."""
    async with LocalPort(layout.api) as port:
        sandbox = await port.sandbox()
        nodes = (await port.objects.list("Node")).items
        pods = (await port.objects.list("Pod")).items
        return {
            "pid": sandbox["pid"],
            "folder": sandbox["folder"],
            "services": sandbox["services"],
            "nodes": [await node_row(port, node) for node in nodes],
            "pods": [pod_row(pod) for pod in pods],
        }


async def node_row(port: LocalPort, node: Object) -> dict[str, Any]:
    """One node."""
    name, spec = node["metadata"]["name"], node["spec"]
    try:
        answer = await port.agents.request(name, "GET", "/faults")
        faults = [{"id": f["id"], "xid": f["xid"], "state": f["state"]} for f in answer.json()["faults"]]
    except PortError as err:
        faults, problem = [], err.message
    else:
        problem = ""
    return {
        "name": name,
        "cordoned": bool(spec.get("unschedulable")),
        "gpus": allocatable_gpus(node),
        "faults": faults,
        "agent_problem": problem,
    }


def pod_row(pod: Object) -> dict[str, Any]:
    """One pod."""
    meta, status = pod["metadata"], pod["status"]
    return {
        "namespace": meta["namespace"],
        "name": meta["name"],
        "node": pod["spec"].get("nodeName"),
        "phase": status["phase"],
        "ready": is_ready(pod),
        "restarts": sum(c["restartCount"] for c in status.get("containerStatuses", ())),
        "gpus": list(held_gpus(pod)),
    }


def rows(name: str, found: dict[str, Any]) -> Iterator[str]:
    """The overview as lines of text."""
    yield f"{name} is up: supervisor {found['pid']}, {found['folder']}"
    for node in found["nodes"]:
        faults = ", ".join(f"XID {f['xid']} {f['state']} ({f['id']})" for f in node["faults"]) or "no faults"
        state = "cordoned" if node["cordoned"] else "schedulable"
        yield f"  {node['name']}: {state}, {node['gpus']} GPUs, {node['agent_problem'] or faults}"
    for pod in found["pods"]:
        state = "ready" if pod["ready"] else pod["phase"]
        where = pod["node"] or "no node"
        yield f"  {pod['namespace']}/{pod['name']} on {where}: {state}, {pod['restarts']} restarts"
    down = [s["name"] for s in found["services"] if s["pid"] is None]
    if down:
        yield f"  not running now: {', '.join(down)} (see their logs below {found['folder']})"
