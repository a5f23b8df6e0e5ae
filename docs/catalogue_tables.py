"""The generated parts of docs/reference/xids.md and docs/detectors.md, and which shipped scenario drills which XID."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import yaml
from tables import table

from offbus_agent.catalogue.catalogue import catalogue
from offbus_agent.catalogue.nvlink5 import FIRST_R575
from offbus_agent.catalogue.responder_action import Monitor
from offbus_agent.catalogue.sxid import sxids
from offbus_agent.conformance import SURFACES, cells, does, faults
from offbus_agent.detectors.rules import detectors
from offbus_steps.commands.detector_table import columns, counts
from offbus_steps.commands.fault_entry import FaultEntry
from offbus_steps.commands.fault_facts import entry_of

__all__ = ["CATALOGUE_PARTS", "drills"]


def xid_actions() -> str:
    """The table of all XIDs: with metadata and without, each on a driver before R575 and on one from it on."""
    drivers = (FIRST_R575 - 1, FIRST_R575)
    monitors = [(Monitor(driver, lists_gpu=True), driver) for driver in drivers]
    monitors += [(Monitor(None, lists_gpu=False), driver) for driver in drivers]
    rows = [
        (
            str(one.number),
            one.mnemonic,
            one.severity.value,
            *(one.action(monitor, writer=driver) for monitor, driver in monitors),
        )
        for one in catalogue().values()
    ]
    head = [
        "XID",
        "name",
        "severity",
        "before R575",
        "from R575",
        "no metadata, before R575",
        "no metadata, from R575",
    ]
    return table(head, rows)


def xid_facts() -> str:
    """The table of all XIDs: what each is, and how it shows."""
    found = [entry_of(fault, with_oracles=False) for fault in faults() if fault.kind == "xid"]
    head = ["XID", "what", "NVIDIA", "planes", "CUDA", "NVML", "sticky", "recovery", "drilled by"]
    return table(head, [_xid_row(one) for one in found])


def _xid_row(one: FaultEntry) -> tuple[str, ...]:
    nvidia = catalogue()[one.number or 0].nvidia_action
    codes = (f"{code.number} {code.name}" if code else "" for code in (one.cuda, one.nvml))
    scenarios = dict.fromkeys(re.findall(r"scenarios/[\w.]+", " ".join(one.drilled_by)))
    return (
        str(one.number),
        one.title,
        nvidia,
        ", ".join(one.planes),
        *codes,
        "yes" if one.sticky else "",
        one.guides.recovery_time if one.guides else "",
        ", ".join(f"`{name}`" for name in scenarios),
    )


def code_reasons() -> str:
    """Why the codes are as they are, and why they differ from the published guide's."""
    found = [entry_of(fault, with_oracles=False) for fault in faults() if fault.kind == "xid"]
    rows = [
        (
            str(one.number),
            " ".join(f"{code.number}: {code.why}" for code in (one.cuda, one.nvml) if code),
            f"{one.guide_cuda.number}: {one.guide_cuda.why}" if one.guide_cuda else "",
        )
        for one in found
        if one.cuda or one.nvml or one.guide_cuda
    ]
    return table(["XID", "CUDA, and NVML", "`codes: guide`"], rows)


def sxid_facts() -> str:
    """The table of all SXIDs."""
    rows = [(str(one.number), one.name, one.kind, one.action, one.source) for one in sxids().values()]
    return table(["SXID", "name", "class", "NVSentinel", "source"], rows)


def detector_releases() -> str:
    """Who is asked, of which release, and how that is known."""
    rows = [
        (
            f"`{one.name}`",
            one.detector.title,
            one.release.reads,
            one.release.version,
            f"{one.release.how}: {one.release.source}",
        )
        for one in columns()
    ]
    return table(["release", "detector", "reads", "version", "how it is known"], rows)


def detector_rules() -> str:
    """Every rule, with its source."""
    rows = [
        (f"`{one.name}`", rule.name, f"`{rule.pattern}`", rule.source)
        for one in detectors()
        for rule in one.rules
        if rule.finds != "detail"
    ]
    return table(["detector", "rule", "pattern", "source"], rows)


def detector_counts() -> str:
    """How many faults each release sees on each surface."""
    told = counts(cells(faults()))
    parts = []
    for kind, words in (("xid", "XIDs"), ("sxid", "SXIDs"), ("fallen-off", "The line without an XID")):
        rows = [
            (f"`{one.name}`", *(told[kind, one.name, surface] for surface in SURFACES)) for one in columns()
        ]
        parts.append(f"**{words}**\n\n" + table(["release", *SURFACES], rows))
    return "\n".join(parts)


def detector_answers() -> str:
    """What each detector does about each XID that it sees at all."""
    seen = {(cell.fault, cell.detector) for cell in cells(faults()) if cell.detected}
    asked = [one for one in detectors() if one.name != "npd"]
    rows = [
        (fault.name, *(does(one, fault) if (fault.name, one.name) in seen else "" for one in asked))
        for fault in faults()
        if fault.kind == "xid"
    ]
    return table(["XID", *(one.name for one in asked)], rows)


def drills(root: Path) -> str:
    """Which shipped scenario drills which XID, for a package that does not carry scenarios/: its commands, by XID."""
    found: dict[int, list[str]] = {}
    for path in sorted((root / "scenarios").glob("*.yaml")):
        for xid, command in _drilled(path):
            found.setdefault(xid, []).append(command)
    return json.dumps({str(xid): found[xid] for xid in sorted(found)}, indent=2) + "\n"


def _drilled(path: Path) -> Iterator[tuple[int, str]]:
    scenario = yaml.safe_load(path.read_text(encoding="utf-8"))
    command = f"offbus run scenarios/{path.name}"
    for step in scenario["steps"]:
        if step["uses"] not in ("inject_fault", "inject_xid", "arm_cuda"):
            continue
        given = step["with"]["xid"]
        asked = re.fullmatch(r"\$\{\{ inputs\.(\w+) \}\}", str(given))
        if asked is None:
            yield int(given), command
        elif asked[1] in scenario.get("matrix", {}):
            yield from ((xid, f"{command} --cell xid-{xid}") for xid in scenario["matrix"][asked[1]])
        else:
            yield scenario["inputs"][asked[1]]["default"], command


CATALOGUE_PARTS: Mapping[str, Callable[[], str]] = {
    "xid actions": xid_actions,
    "xid facts": xid_facts,
    "code reasons": code_reasons,
    "sxid facts": sxid_facts,
    "detector releases": detector_releases,
    "detector rules": detector_rules,
    "detector counts": detector_counts,
    "detector answers": detector_answers,
}
