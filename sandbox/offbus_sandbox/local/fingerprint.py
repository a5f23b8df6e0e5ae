"""The part of the fingerprint that only a local cluster has: stray processes and armed pages."""

from typing import Any

from offbus_agent.page.abi import Ctl
from offbus_sandbox.adapter.port import LocalPort
from offbus_sandbox.layout import Layout
from offbus_steps.residue.external_changes import PAGE

__all__ = ["local_fingerprint"]


async def local_fingerprint(port: LocalPort, layout: Layout) -> dict[str, Any]:
    """For `offbus.environment.Environment.fingerprint`, in addition to every cluster's. Raises Unavailable."""
    items: dict[str, Any] = {"Sandbox stray processes": await port.strays()}
    for folder in sorted((layout.root / "nodes").iterdir()):
        page = folder / "run/offbus/page/ctl"  # the first word that processes check, whoever wrote it
        armed = page.exists() and Ctl.from_buffer_copy(page.read_bytes()).armed
        items[f"Node/{folder.name} {PAGE}"] = "armed" if armed else "disarmed"
    return items
