"""Disarms all faults when the sandbox ends, without waiting for leases."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import anyio
import httpx
import structlog

from offbus_sandbox.adapter.unix_http import http_client, unix_transport
from offbus_sandbox.layout import Layout

__all__ = ["disarm_all"]

WITHIN_S = 5.0


async def disarm_all(layout: Layout, nodes: Iterable[str]) -> None:
    """Ask all agents at once. One that does not respond is logged: its faults end with its heartbeat, and its node's
    processes are about to end."""
    headers = {"X-Offbus-Token": layout.token.read_text().split("\n")[0].strip()}
    async with anyio.create_task_group() as asking:
        for node in nodes:
            asking.start_soon(disarm_node, node, layout.agent(node), headers)


async def disarm_node(node: str, socket: Path, headers: Mapping[str, str]) -> None:
    """Disarm the armed faults of one node; log a failure."""
    transport = unix_transport(socket)
    async with http_client(transport=transport, headers=headers, timeout=WITHIN_S) as agent:
        try:
            answer = await agent.get("http://agent/faults")
            for fault in answer.raise_for_status().json()["faults"]:
                if fault["state"] == "armed":  # disarmed on behalf of its owner
                    owner = {"run": fault["run"], "epoch": fault["epoch"]}
                    done = await agent.post(f"http://agent/faults/{fault['id']}/disarm", json=owner)
                    done.raise_for_status()
        except (httpx.HTTPError, ValueError, KeyError) as err:
            structlog.get_logger().warning("faults could not be disarmed", node=node, error=str(err))
