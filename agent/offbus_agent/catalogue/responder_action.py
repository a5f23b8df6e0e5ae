"""The action that NVSentinel's monitor recommends for an XID: the one table for agent, steps, docs and stand-in.

Job: NVSentinel's documented rule (`MapActionStringToProto`): the cells of NVIDIA's catalogue become what its table says
(`offbus_agent.detectors`, data/nvsentinel.toml), anything else, an empty cell included, CONTACT_SUPPORT. For 144-150
the words of the line decide (`nvlink5`), for 154 its last parentheses.

What the monitor knows of the GPU decides, too: the driver's version chooses the layout by which it reads an NVLink 5
line, and COMPONENT_RESET becomes RESTART_VM for a GPU that its metadata does not list. Seen with the real monitor
(main of 2026-08-21): without a metadata file, or without a driver version in it, the driver counts as older than R575.
Pure; a text of another shape is never an error.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Self, get_args

from offbus_agent.catalogue import nvlink5
from offbus_agent.catalogue.xid_effects import NVLINK5_XIDS
from offbus_agent.detectors.rules import detector

__all__ = ["KNOWING", "Action", "Monitor", "action_of"]

Action = Literal["NONE", "COMPONENT_RESET", "RESTART_BM", "RESTART_VM", "CONTACT_SUPPORT"]
"""NVSentinel's recommended actions for XIDs; all except NONE are fatal and cordon the node."""

_ACTIONS: Mapping[str, Action] = {name: name for name in get_args(Action)}


@dataclass(frozen=True, slots=True)
class Monitor:
    """What a node's monitor knows when it reads a line: its metadata file, as it was when the monitor started."""

    driver: int | None
    """The driver's major version (580); None: it knows none, which counts as older than R575."""
    lists_gpu: bool
    """Whether its metadata lists the line's GPU."""

    @classmethod
    def of(cls, version: str, *, lists_gpu: bool) -> Self:
        """By the version as the metadata spells it ("580.82.07"; "" for none)."""
        return cls(nvlink5.branch(version), lists_gpu)


KNOWING = Monitor(driver=nvlink5.FIRST_R575, lists_gpu=True)
"""A monitor that knows the GPU, with a driver of the layout of the catalogue's own texts."""


def action_of(xid: int, text: str, bucket: str, monitor: Monitor) -> Action:
    """The action for a line. `text` begins with the number; `bucket` is the cell of NVIDIA's catalogue, "" for none."""
    found = _by_line(xid, text, bucket, monitor)
    return "RESTART_VM" if found == "COMPONENT_RESET" and not monitor.lists_gpu else found


def _by_line(xid: int, text: str, bucket: str, monitor: Monitor) -> Action:
    rules = detector("nvsentinel")
    if xid in NVLINK5_XIDS and nvlink5.unit(text):
        bucket = nvlink5.bucket(text, driver=monitor.driver) or "IGNORE"  # no rule: the enum's zero, NONE
    elif xid == 154:
        opened, closed = text.rfind("("), text.rfind(")")
        asked_for = text[opened + 1 : closed] if opened < closed else ""
        return _ACTIONS[rules.recovery.get(asked_for, "CONTACT_SUPPORT")]
    return _ACTIONS[rules.buckets.get(bucket, "CONTACT_SUPPORT")]
