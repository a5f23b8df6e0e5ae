"""The catalogue of XIDs: what a fault is, how it shows, and which action is documented for it.

Job: join NVIDIA's table (`data/xid_catalog.csv`: number, mnemonic, title, actions) with our `xid_effects`, and compute
NVSentinel's action for each. Agent, steps, docs and schemas read it; nothing writes it. `lookup` raises `UnknownXid`
with what is allowed. The table is read on first use, so that importing this module is cheap.

NVSentinel's action follows its documented rule (`MapActionStringToProto`): RESTART_APP and IGNORE become NONE;
RESET_GPU and WORKFLOW_XID_48 COMPONENT_RESET; RESTART_BM and RESTART_VM stay; anything else, an empty cell included,
CONTACT_SUPPORT. For 144-150 the line decides (`nvlink5`), for 154 the words in its parentheses. NVSentinel turns
COMPONENT_RESET into RESTART_VM when its metadata file does not list the GPU's PCI address.
"""

import csv
import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Literal

from offbus_agent.catalogue import nvlink5
from offbus_agent.catalogue.result_codes import Code, cuda_code, nvml_code
from offbus_agent.catalogue.xid_effects import EFFECTS, GUIDE_CUDA, NVLINK5_XIDS, Effect, Mode, Plane, Shown

__all__ = ["Action", "Expectation", "UnknownXid", "Xid", "catalogue", "lookup"]

Action = Literal["NONE", "COMPONENT_RESET", "RESTART_BM", "RESTART_VM", "CONTACT_SUPPORT"]
"""NVSentinel's recommended actions for XIDs; all except NONE are fatal and cordon the node."""


class UnknownXid(LookupError):
    """Raised when a number is not in NVIDIA's catalogue; the message lists what is, and close matches."""

    def __init__(self, xid: object, message: str) -> None:
        super().__init__(message)
        self.xid = xid
        self.message = message


@dataclass(frozen=True, slots=True)
class Expectation:
    """A documented action for an XID, and who documents it."""

    action: str
    whose: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Xid:
    """One XID. Codes are what the plane returns by default; None means that the plane has nothing to show."""

    number: int
    mnemonic: str
    title: str
    text: str
    """The kernel line after `NVRM: Xid (PCI:...): `; `{gpu}` stands for the GPU's index."""
    text_from_driver: bool
    """False: no driver text is known, and `text` comes from the catalogue's title or mnemonic."""
    cuda: Code | None
    nvml: Code | None
    guide_cuda: Code | None
    """The code of the published user guide, used on request (`codes: guide`)."""
    sticky: bool
    new_processes: bool
    mode: Mode
    planes: tuple[Plane, ...]
    """Where the fault shows on real hardware."""
    shown: Shown
    """What NVML shows besides its code, when that plane is requested."""
    nvidia_action: str
    """Immediate action of NVIDIA's catalogue; "" for an empty cell."""
    nvidia_investigatory: str
    nvsentinel_action: Action
    note: str

    @property
    def cordons(self) -> bool:
        """Whether NVSentinel treats it as fatal and cordons the node: any action except NONE."""
        return self.nvsentinel_action != "NONE"

    @property
    def error_codes(self) -> tuple[str, ...]:
        """The codes under which NVSentinel reports its line: the number; for NVLink 5 also "145.RLW_RXPIPE"."""
        named = nvlink5.unit(self.text)
        return (str(self.number), f"{self.number}.{named}") if named else (str(self.number),)

    @property
    def expectations(self) -> tuple[Expectation, ...]:
        """Every documented expectation with its owner."""
        return (
            Expectation(self.nvidia_action or "(none given)", "NVIDIA Xid catalogue, immediate action"),
            Expectation(self.nvsentinel_action, "NVSentinel syslog-health-monitor, recommended action"),
        )


def lookup(xid: int) -> Xid:
    """The catalogue's entry. Raises UnknownXid with what is allowed and the closest numbers."""
    entry = catalogue().get(xid)
    if entry is None:
        numbers = list(catalogue())
        near = difflib.get_close_matches(str(xid), [str(n) for n in EFFECTS], n=3, cutoff=0.5)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise UnknownXid(
            xid,
            f"XID {xid} is not in NVIDIA's catalogue ({numbers[0]}-{numbers[-1]}; with known texts and effects: "
            f"{', '.join(str(n) for n in EFFECTS)}){hint}",
        )
    return entry


@cache
def catalogue() -> Mapping[int, Xid]:
    """All XIDs by number, ascending."""
    with (
        resources.files("offbus_agent.catalogue")
        .joinpath("data/xid_catalog.csv")
        .open(encoding="utf-8") as file
    ):
        entries = [_entry(row) for row in csv.DictReader(file)]
    return {entry.number: entry for entry in sorted(entries, key=lambda entry: entry.number)}


def _entry(row: Mapping[str, str]) -> Xid:
    number = int(row["xid"])
    words = row["mnemonic"] if row["title"] == "Unused" else row["title"]
    effect = EFFECTS.get(number) or Effect(text=f"{row['xid']}, {words}", sticky=False)
    guide = GUIDE_CUDA.get(number)
    shows = {Plane.KERNEL: True, Plane.CUDA: effect.cuda is not None, Plane.NVML: bool(effect.nvml_usually)}
    return Xid(
        number=number,
        mnemonic=row["mnemonic"],
        title=row["title"],
        text=effect.text,
        text_from_driver=number in EFFECTS,
        cuda=None if effect.cuda is None else cuda_code(effect.cuda),
        nvml=None if effect.nvml is None else nvml_code(effect.nvml),
        guide_cuda=None if guide is None else cuda_code(guide),
        sticky=effect.sticky,
        new_processes=effect.new_processes,
        mode=effect.mode,
        planes=tuple(plane for plane, shown in shows.items() if shown),
        shown=effect.shown,
        nvidia_action=row["immediate_action"],
        nvidia_investigatory=row["investigatory_action"],
        nvsentinel_action=_nvsentinel(number, effect.text, row["immediate_action"]),
        note=effect.note,
    )


_BUCKETS: Mapping[str, Action] = {
    "RESTART_APP": "NONE",
    "IGNORE": "NONE",
    "RESET_GPU": "COMPONENT_RESET",
    "WORKFLOW_XID_48": "COMPONENT_RESET",
    "RESTART_BM": "RESTART_BM",
    "RESTART_VM": "RESTART_VM",
    # Newest NVSentinel maps it (its consistency test says so); its analyzer's text is "follow other Xid".
    "WORKFLOW_XID_45": "NONE",
}
_RECOVERY: Mapping[str, Action] = {
    "GPU Reset Required": "COMPONENT_RESET",
    "Drain and Reset": "COMPONENT_RESET",
    "Node Reboot Required": "RESTART_BM",
    "None": "NONE",
}
"""XID 154: the last words in parentheses decide."""


def _nvsentinel(number: int, text: str, immediate: str) -> Action:
    if number in NVLINK5_XIDS:
        found = nvlink5.bucket(text)
        return "NONE" if found is None else _BUCKETS.get(found, "CONTACT_SUPPORT")
    if number == 154:
        return _RECOVERY.get(text.rpartition("(")[2].rstrip(")"), "CONTACT_SUPPORT")
    return _BUCKETS.get(immediate, "CONTACT_SUPPORT")
