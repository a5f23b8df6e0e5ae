"""What is known of a fault, in one record: the table of `offbus xid`, docs/reference/xids.md and schemas/xids.json.

Job: join the catalogue (text, codes and why, planes, severity), the published guides, what each oracle says should be
done or does (NVIDIA's catalogue, NVSentinel with and without metadata, `offbus_agent.conformance`'s detectors), and
the shipped scenarios that drill it (`data/drills.json`, made by `make generate` from scenarios/). Every statement names
its source. Must not: decide how it looks (`fault_text`), or read anything but the package's own files.
"""

import json
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import resources
from typing import Literal

from pydantic import BaseModel, ConfigDict

from offbus.json_schemas import Schema, described, published
from offbus_agent.catalogue.catalogue import Xid
from offbus_agent.catalogue.code_reasons import CUDA_REASONS, GUIDE_REASONS, NOTHING, NVML_REASONS
from offbus_agent.catalogue.published_guides import HARDWARE_GUIDE, TOLD, WAITS
from offbus_agent.catalogue.responder_action import KNOWING
from offbus_agent.catalogue.result_codes import Code
from offbus_agent.catalogue.sxid import Sxid
from offbus_agent.catalogue.xid_effects import Severity
from offbus_agent.conformance import UNKNOWING, Fault, cells, does
from offbus_agent.detectors.rules import detectors

__all__ = ["CodeFact", "FaultEntry", "GuideFact", "OracleFact", "entry_of", "xids_schema"]

CATALOGUE = "NVIDIA's Xid-Catalog.xlsx, sheet Xids"
SXID_NOTE = (
    "NVSentinel's monitor spins for ever on an SXID of an NVSwitch that its metadata file does not list, and sees"
    " nothing any more (seen): inject one only where nvswitches of /var/lib/nvsentinel/gpu_metadata.json has it"
)


class _Fact(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class CodeFact(_Fact):
    """A result code, and why it is that one."""

    number: int
    """The number: CUresult (cudaError_t has the same), or nvmlReturn_t."""
    name: str
    """Its name in cuda.h or nvml.h."""
    why: str
    """Why it is this one, with the source."""


class GuideFact(_Fact):
    """What the published guides say: information, which nothing goes by."""

    severity: str
    """The testing guide's severity."""
    hardware_severity: str
    """The hardware guide's, in its words; empty where it says nothing."""
    simulates: str
    """What it simulates, in the testing guide's words."""
    recovery_time: str
    """How long recovery takes."""
    wait_after_injection: str
    """How long to wait after the injection."""
    wait_after_recovery: str
    """How long to wait after the recovery."""


class OracleFact(_Fact):
    """What one oracle says should be done, or does."""

    oracle: str
    """Whose word it is: `nvidia`, or a detector's name and release, as in `offbus conformance`."""
    says: str
    """The action that it names, or what it does; empty where it does nothing."""
    sees: list[str]
    """Where it sees the fault: dialects of the kernel line, or planes; empty for none, and for a document."""
    cordons: bool
    """Whether the node is cordoned by it."""
    version: str
    """Of what this is known."""
    how: Literal["seen", "read", "assumed"]
    """Whether that release was run, its source or document was read, or it is as another one."""
    source: str
    """Where it stands."""


class FaultEntry(_Fact):
    """One catalogued fault."""

    kind: Literal["xid", "sxid", "fallen-off"]
    """An XID of a GPU, an SXID of an NVSwitch, or a GPU that is gone without an XID."""
    number: int | None
    """The XID or SXID."""
    name: str
    """NVIDIA's mnemonic."""
    title: str
    """What it is, in NVIDIA's words."""
    line: str
    """The kernel line as the driver prints it, with an example's address; empty where its form is not known."""
    line_before_r575: str
    """As drivers before R575 print it; empty where that does not differ."""
    line_from: Literal["driver", "catalogue", "guide", "unknown"]
    """Where the words of the line are from: the driver (its source, or public logs), or the catalogue's title."""
    planes: list[str]
    """Where it shows on real hardware: kernel, cuda, nvml."""
    cuda: CodeFact | None
    """What CUDA calls answer; none when processes see nothing."""
    guide_cuda: CodeFact | None
    """What they answer with `codes: guide`, and why ours differs; none where the guide has none."""
    nvml: CodeFact | None
    """What NVML answers when that plane is asked for; none where no sensible one exists."""
    sticky: bool
    """Whether a process that it hit keeps failing until it ends."""
    new_processes: bool
    """Whether processes fail, too, that start while it is armed."""
    mode: str
    """How faulted calls behave: error, hang, delay, or lost."""
    severity: str
    """The testing guide's severity; unknown where it says nothing."""
    guides: GuideFact | None
    """What the published guides say; none where they say nothing."""
    cordons: bool
    """Whether NVSentinel cordons the node, when its metadata lists the GPU."""
    action: str
    """What NVSentinel recommends then."""
    action_without_metadata: str
    """What it recommends when its metadata does not list the GPU."""
    oracles: list[OracleFact]
    """Every oracle's word."""
    drilled_by: list[str]
    """Commands that drill it with a shipped scenario."""
    note: str
    """Where it varies, or was not confirmed on hardware."""


def entry_of(fault: Fault, *, with_oracles: bool = True) -> FaultEntry:
    """What is known of one fault; without the oracles' words where nobody reads them: they take most of the time."""
    xid = fault.entry if isinstance(fault.entry, Xid) else None
    guides = _guides(fault.number, xid.severity) if xid is not None else None
    codes = (xid.cuda, xid.guide_cuda, xid.nvml) if xid is not None else (None, None, None)
    action, without = fault.action(KNOWING), fault.action(UNKNOWING)
    return FaultEntry(
        kind=fault.kind,
        number=fault.number or None,
        name=_name(fault),
        title=_title(fault),
        line=fault.text,
        line_before_r575=_older_line(fault, xid),
        line_from=_line_from(fault, xid),
        planes=[plane.value for plane in xid.planes] if xid is not None else ["kernel"],
        cuda=_code(codes[0], CUDA_REASONS.get(fault.number, NOTHING)),
        guide_cuda=_code(codes[1], GUIDE_REASONS.get(fault.number, "")),
        nvml=_code(codes[2], NVML_REASONS.get(fault.number, "")),
        sticky=xid is not None and xid.cuda is not None and xid.sticky,
        new_processes=xid is not None and xid.new_processes,
        mode=xid.mode.value if xid is not None else "",
        severity=xid.severity.value if xid is not None else Severity.UNKNOWN.value,
        guides=guides,
        cordons=action != "NONE",
        action=action,
        action_without_metadata=without,
        oracles=[*_nvidia(xid), *_detectors(fault)] if with_oracles else [],
        drilled_by=list(_drills().get(fault.name, ())),
        note=xid.note if xid is not None else SXID_NOTE if fault.kind == "sxid" else "",
    )


def xids_schema() -> Schema:
    """The JSON Schema of `offbus xid --format json`: a list of entries."""
    items = described(FaultEntry.model_json_schema(), (FaultEntry, CodeFact, GuideFact, OracleFact))
    defs = items.pop("$defs")
    listed = {"title": "Catalogued faults", "type": "array", "items": items, "$defs": defs}
    return published("xids", 1, listed)


def _name(fault: Fault) -> str:
    if isinstance(fault.entry, Xid):
        return " ".join(fault.entry.mnemonic.split())
    return fault.entry.name if fault.entry is not None else "GPU_FALLEN_OFF_BUS"


def _title(fault: Fault) -> str:
    if isinstance(fault.entry, Xid):
        return " ".join(fault.entry.title.split())
    if isinstance(fault.entry, Sxid):
        return f"NVSwitch: {fault.entry.name} ({fault.entry.kind})"
    return "A GPU that is gone when the driver looks for it: a line without an XID"


def _older_line(fault: Fault, xid: Xid | None) -> str:
    if xid is None or xid.text_before_r575 == xid.text:
        return ""
    return fault.text.replace(xid.text, xid.text_before_r575)


def _line_from(fault: Fault, xid: Xid | None) -> Literal["driver", "catalogue", "guide", "unknown"]:
    if not fault.text:
        return "unknown"
    if xid is not None:
        return "driver" if xid.text_from_driver else "catalogue"
    return "guide" if fault.kind == "sxid" else "driver"


def _code(code: Code | None, why: str) -> CodeFact | None:
    return None if code is None else CodeFact(number=code.number, name=code.name, why=why)


def _guides(number: int, severity: Severity) -> GuideFact | None:
    told = TOLD.get(number)
    if told is None:
        return None
    waits = WAITS[severity]
    return GuideFact(
        severity=severity.value,
        hardware_severity=HARDWARE_GUIDE.get(number, ""),
        simulates=told.simulates,
        recovery_time=told.recovery_time,
        wait_after_injection=waits.after_injection,
        wait_after_recovery=waits.after_recovery,
    )


def _nvidia(xid: Xid | None) -> Iterator[OracleFact]:
    if xid is None:
        return
    for what, said in (("immediate", xid.nvidia_action), ("investigatory", xid.nvidia_investigatory)):
        yield OracleFact(
            oracle=f"nvidia/{what}",
            says=" ".join(said.split()),
            sees=[],
            cordons=False,
            version="the copy that NVSentinel embeds (SHA-256 7f70ce96…)",
            how="read",
            source=CATALOGUE,
        )


def _detectors(fault: Fault) -> Iterator[OracleFact]:
    found = list(cells([fault]))
    for detector in detectors():
        for release in detector.releases:
            mine = [one for one in found if (one.detector, one.release) == (detector.name, release.name)]
            sees = [one.surface for one in mine if one.detected]
            yield OracleFact(
                oracle=f"{detector.name}/{release.name}",
                says=does(detector, fault) if sees else "",
                sees=sees,
                cordons=bool(sees and detector.buckets) and fault.action(KNOWING) != "NONE",
                version=release.version,
                how=release.how if fault.kind == "xid" else "read",  # only XIDs were run
                source=release.source,
            )


@cache
def _drills() -> Mapping[str, list[str]]:
    text = resources.files("offbus_steps.commands").joinpath("data/drills.json").read_text(encoding="utf-8")
    found: dict[str, list[str]] = json.loads(text)
    return found
