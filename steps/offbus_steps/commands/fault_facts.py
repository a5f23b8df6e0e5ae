"""What is known of a fault, in one record: the table of `offbus xid`, docs/reference/xids.md and schemas/xids.json.

Job: join the catalogue (text, codes and why, planes, severity), the published guides, what each oracle says should be
done or does (NVIDIA's catalogue, NVSentinel with and without metadata, `offbus_agent.conformance`'s detectors), and
the shipped scenarios that drill it (`data/drills.json`, made by `make generate` from scenarios/). Must not: decide how
it looks (`fault_text`), or read anything but the package's own files.
"""

import json
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import resources
from typing import Literal

from offbus_agent.catalogue.catalogue import Xid
from offbus_agent.catalogue.code_reasons import CUDA_REASONS, GUIDE_REASONS, NOTHING, NVML_REASONS
from offbus_agent.catalogue.published_guides import HARDWARE_GUIDE, TOLD, WAITS
from offbus_agent.catalogue.responder_action import KNOWING
from offbus_agent.catalogue.result_codes import Code
from offbus_agent.catalogue.sxid import Sxid
from offbus_agent.catalogue.xid_effects import Severity
from offbus_agent.conformance import UNKNOWING, Fault, cells, does
from offbus_agent.detectors.rules import detectors
from offbus_steps.commands.fault_entry import CodeFact, FaultEntry, GuideFact, OracleFact

__all__ = ["entry_of"]

CATALOGUE = "NVIDIA's Xid-Catalog.xlsx, sheet Xids"
SXID_NOTE = (
    "NVSentinel's monitor spins for ever on an SXID of an NVSwitch that its metadata file does not list, and sees"
    " nothing any more (seen): that is why offbus injects none"
)


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
