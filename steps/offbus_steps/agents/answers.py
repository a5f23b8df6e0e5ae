"""What agents answer, as far as the runner reads it: shapes, and whether an answer has one. Pure.

An agent is a process of its node, and a node may be anybody's by now: an answer is JSON, and nothing more is known. One
without its shape is odd, which concerns that node alone. A shape is a type, `[shape]` for a list of it, or a mapping of
keys that must be there; one whose name ends in "?" may be missing, and "*" stands for every key. Other keys are let be:
agents of other versions know more, or less. The source of the shapes is offbus_agent.models.
"""

from collections.abc import Mapping
from typing import Any

__all__ = [
    "ANY",
    "CALL",
    "CLEARED",
    "EVENTS",
    "FAULT",
    "FAULTS",
    "HEALTH",
    "LARGEST",
    "LONGEST",
    "MOST_VALUES",
    "PRELOAD",
    "Shape",
    "oddity",
    "with_lists",
]

Shape = type | tuple[type, ...] | list[Any] | Mapping[str, Any]

LARGEST = 2**63
"""Numbers are counts, ids of processes and nanoseconds."""
MOST_VALUES = 1 << 20
"""Of one answer: a fault with all rows of the processes of 500 pods, the most of a kubelet, has half a million."""
LONGEST = 4096
"""Characters of a text: ids, lines of a kernel log (900), the value of an environment variable."""
LONGEST_LIST = 1 << 16
"""Items: 64 processes of each of 1,024 pods, which are all folders of events that an agent reads."""

CALL: Shape = {"plane": str, "pid": int, "function": str, "at_ns": int}
ANY: Shape = {}
HEALTH: Shape = {
    "boot_id": str,
    "now_ns": int,
    "gpus": [{"uuid": str, "index": int, "pci?": str}],
    "planes": {"*": {"ok": bool, "why?": str}},
    "responder?": {"gpus?": [str]},
}
FAULT: Shape = {
    "id": str,
    "state": str,
    "xid": int,
    "gpus": [str],
    "kernel?": [{"seq": int, "line": str, "at_ns": int}],
    "unread?": [str],
    "first_faulted?": [CALL],
    "processes?": [{"faulted": int}],
    "counts?": dict,
}
FAULTS: Shape = {"faults": [{"id": str, "state": str}]}
EVENTS: Shape = {"next": int, "events": [{"kind": str, "at_ns": int}]}
CLEARED: Shape = {"lines": list}
PRELOAD: Shape = {"processes": [{"container": str, "value": (str, type(None))}]}


def oddity(answer: object, shape: Shape, where: str = "") -> str | None:
    """Where an answer has not the shape, and what should be there; None when it has."""
    if isinstance(shape, list):
        if not isinstance(answer, list):
            return f"{where or 'it'} is no list"
        if len(answer) > LONGEST_LIST:
            return f"{where} has more than {LONGEST_LIST} items"
        items = (oddity(one, shape[0], f"{where}[{index}]") for index, one in enumerate(answer))
        return next((one for one in items if one), None)
    if isinstance(shape, Mapping):
        return _in_object(answer, shape, where)
    types = shape if isinstance(shape, tuple) else (shape,)
    if type(answer) not in types:  # a bool is an int otherwise
        return f"{where or 'it'} is no {' or '.join(one.__name__ for one in types)}"
    if isinstance(answer, int) and abs(answer) >= LARGEST:
        return f"{where} is too large"
    if isinstance(answer, str) and len(answer) > LONGEST:
        return f"{where} has more than {LONGEST} characters"
    return None


def _in_object(answer: object, shape: Mapping[str, Any], where: str) -> str | None:
    if not isinstance(answer, dict):
        return f"{where or 'it'} is no object"
    if "*" in shape:
        wanted = dict.fromkeys(answer, shape["*"])
    else:
        wanted = {key.removesuffix("?"): inner for key, inner in shape.items() if key[-1:] != "?"}
        wanted |= {key[:-1]: inner for key, inner in shape.items() if key[-1:] == "?" and key[:-1] in answer}
    for key, inner in wanted.items():
        path = f"{where}.{key[:40]}".lstrip(".")
        if key not in answer:
            return f"{path} is missing"
        if found := oddity(answer[key], inner, path):
            return found
    return None


def with_lists(fault: dict[str, Any]) -> dict[str, Any]:
    """A fault with the lists that its agent left out, empty."""
    return {"kernel": [], "unread": [], "first_faulted": [], "processes": [], **fault}
