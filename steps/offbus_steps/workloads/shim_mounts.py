"""What a container needs of its node to run under the shim: one source for patch, admission and dry run.

Three folders of the node, which its agent makes (docs/architecture.md, "A node, as its programs see it"), each mounted
alone: the control page and the library read-only, and of the folder of events only the pod's own part, so that no pod
can write into another's, replace the library or damage the page. Pure.
"""

from collections.abc import Callable
from typing import Any

__all__ = ["FOLDER", "LIBRARY", "LOCAL", "MOUNTS", "PRELOAD", "VOLUMES", "in_local", "preload", "variables"]

FOLDER = "/run/offbus"
LIBRARY = f"{FOLDER}/lib/liboffbus.so"
PRELOAD = "LD_PRELOAD"
LOCAL = "$(OFFBUS_NODE_ROOT)"
"""What a path on the node begins with in a container of `local`."""
_PAGE, _LIB, _EVENTS = f"{FOLDER}/page", f"{FOLDER}/lib", f"{FOLDER}/events"
_OWN = "$(OFFBUS_POD_UID)"
"""The pod's part of the folder of events."""

VOLUMES: tuple[dict[str, Any], ...] = tuple(
    {"name": name, "hostPath": {"path": path, "type": "Directory"}}
    for name, path in (("offbus-page", _PAGE), ("offbus-lib", _LIB), ("offbus-events", _EVENTS))
)
MOUNTS: tuple[dict[str, Any], ...] = (
    {"name": "offbus-page", "mountPath": _PAGE, "readOnly": True},
    {"name": "offbus-lib", "mountPath": _LIB, "readOnly": True},
    {"name": "offbus-events", "mountPath": _EVENTS, "subPathExpr": _OWN},
)


def in_local(path: str, sub: str) -> str:
    """`offbus_steps.port.Port.host_path` of `local`; undos know by it what may have been set there."""
    return LOCAL + path + (f"/{sub}" if sub else "")


def preload(host_path: Callable[[str, str], str], own: str) -> dict[str, Any]:
    """The entry LD_PRELOAD of `env`: the shim, and behind it what the container would have of its own ("" for none)."""
    return {"name": PRELOAD, "value": host_path(LIBRARY, "") + (f":{own}" if own else "")}


def variables(host_path: Callable[[str, str], str]) -> list[dict[str, Any]]:
    """The entries of `env`, LD_PRELOAD apart. `host_path` is that of the port (offbus_steps.port.Port)."""
    uid = {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.uid"}}
    return [
        {"name": "OFFBUS_POD_UID", "valueFrom": uid},  # before what refers to it
        {"name": "OFFBUS_PAGE_DIR", "value": host_path(_PAGE, "")},
        {"name": "OFFBUS_EVENTS_DIR", "value": host_path(_EVENTS, _OWN)},
    ]
