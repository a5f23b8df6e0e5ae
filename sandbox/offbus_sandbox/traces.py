"""What only a local cluster can tell about traces that a run left: processes of nobody, and armed pages."""

from pathlib import Path
from typing import Any

from offbus_sandbox.adapter import LocalPort
from offbus_sandbox.layout import Layout

__all__ = ["local_fingerprint"]


async def local_fingerprint(port: LocalPort, layout: Layout) -> dict[str, Any]:
    """For `offbus.environment.Environment.fingerprint`, beside what every cluster has. Raises Unavailable."""
    items: dict[str, Any] = {"Sandbox stray processes": await port.strays()}
    for folder in sorted((layout.root / "nodes").iterdir()):
        items[f"Node/{folder.name} page"] = armed(folder / "run/offbus")
    return items


def armed(page_dir: Path) -> bool:
    """Whether a node's control page makes calls fail."""
    from offbus_agent.page import is_armed

    return is_armed(page_dir)
