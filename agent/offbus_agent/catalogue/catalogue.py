"""The catalogue of XIDs: what a fault is, how it shows, and which action is documented for it.

Job: join NVIDIA's table (`data/xid_catalog.csv`: number, mnemonic, title, actions) with our `xid_effects`, and answer
what NVSentinel recommends for each. Agent, steps, docs and schemas read it; nothing writes it. `lookup` raises
`UnknownXid` with what is allowed. The table is read on first use, so that importing this module is cheap.

What NVSentinel recommends for it depends on what its monitor knows of the GPU: `responder_action` has the rule.
"""

import csv
import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

from offbus_agent.catalogue import nvlink5
from offbus_agent.catalogue.plane import Plane
from offbus_agent.catalogue.responder_action import KNOWING, Action, Monitor, action_of
from offbus_agent.catalogue.result_codes import Code, cuda_code, nvml_code
from offbus_agent.catalogue.sxid import FALLEN_OFF, FALLEN_OFF_ACTION, FALLEN_OFF_CODE, sxids
from offbus_agent.catalogue.xid_effects import EFFECTS, GUIDE_CUDA, SEVERITIES, Effect, Mode, Severity, Shown

__all__ = ["NO_XID", "Expectation", "UnknownXid", "Xid", "catalogue", "lookup"]

NO_XID = 0
"""Stands for the line of a GPU that is gone, which has no XID; NVIDIA numbers from 1."""


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
    text_before_r575: str
    """As drivers before R575 write it."""
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
    severity: Severity
    nvidia_action: str
    """Immediate action of NVIDIA's catalogue; "" for an empty cell."""
    nvidia_investigatory: str
    note: str

    def text_on(self, driver: int | None) -> str:
        """The text as a driver of that major version writes it; None: of unknown version, as the newest."""
        return self.text_before_r575 if driver and driver < nvlink5.FIRST_R575 else self.text

    def line(self, *, pci: str, gpu: int, driver: int | None) -> str:
        """The driver's whole line about a GPU, by its PCI address (no function digit), its index and its driver."""
        if self.number == NO_XID:
            return self.text.format(pci=pci, device="2330")
        return f"NVRM: Xid (PCI:{pci}): {self.text_on(driver).format(gpu=gpu)}"

    def action(self, monitor: Monitor, *, writer: int | None = None) -> Action:
        """What NVSentinel recommends when that monitor reads the line of a driver of major version `writer`.

        Any action except NONE is fatal: it cordons the node.
        """
        return action_of(self.number, self.text_on(writer), self.nvidia_action, monitor)

    @property
    def error_codes(self) -> tuple[str, ...]:
        """The codes under which NVSentinel reports its line: the number; for NVLink 5 also "145.RLW_RXPIPE"."""
        if self.number == NO_XID:
            return (FALLEN_OFF_CODE,)
        named = nvlink5.unit(self.text)
        return (str(self.number), f"{self.number}.{named}") if named else (str(self.number),)

    @property
    def expectations(self) -> tuple[Expectation, ...]:
        """Every documented expectation with its owner."""
        return (
            Expectation(self.nvidia_action or "(none given)", "NVIDIA Xid catalogue, immediate action"),
            Expectation(self.action(KNOWING), "NVSentinel syslog-health-monitor, recommended action"),
        )


def lookup(xid: int) -> Xid:
    """The catalogue's entry. Raises UnknownXid with what is allowed and the closest numbers."""
    entry = _fallen_off() if xid == NO_XID else catalogue().get(xid)
    if entry is None and xid in sxids():
        raise UnknownXid(
            xid,
            f"SXID {xid} is of an NVSwitch, not of a GPU: it is catalogued, and not injected, because NVSentinel's"
            " monitor spins for ever on one of a switch that it does not know",
        )
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
def _fallen_off() -> Xid:
    return Xid(
        number=NO_XID,
        mnemonic=FALLEN_OFF_CODE,
        title="GPU is gone when the driver looks for it: a line without an XID",
        text=FALLEN_OFF,
        text_before_r575=FALLEN_OFF,
        text_from_driver=True,
        cuda=None,
        nvml=None,
        guide_cuda=None,
        sticky=False,
        new_processes=False,
        mode=Mode.ERROR,
        planes=(Plane.KERNEL,),
        shown=Shown(),
        severity=Severity.UNKNOWN,
        nvidia_action=FALLEN_OFF_ACTION,
        nvidia_investigatory="",
        note="the driver breaks the line into three",
    )


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
        text_before_r575=effect.text_before_r575 or effect.text,
        text_from_driver=number in EFFECTS,
        cuda=None if effect.cuda is None else cuda_code(effect.cuda),
        nvml=None if effect.nvml is None else nvml_code(effect.nvml),
        guide_cuda=None if guide is None else cuda_code(guide),
        sticky=effect.sticky,
        new_processes=effect.new_processes,
        mode=effect.mode,
        planes=tuple(plane for plane, shown in shows.items() if shown),
        shown=effect.shown,
        severity=SEVERITIES.get(number, Severity.UNKNOWN),
        nvidia_action=row["immediate_action"],
        nvidia_investigatory=row["investigatory_action"],
        note=effect.note,
    )
