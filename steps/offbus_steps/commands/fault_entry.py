"""The record of a fault, as `offbus xid --format json` prints it, and its JSON Schema (schemas/xids.json).

Shape only; `fault_facts` fills it. Every statement in it names its source.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from offbus.json_schemas import Schema, described, published

__all__ = ["CodeFact", "FaultEntry", "GuideFact", "OracleFact", "xids_schema"]


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


def xids_schema() -> Schema:
    """The JSON Schema of `offbus xid --format json`: a list of entries."""
    items = described(FaultEntry.model_json_schema(), (FaultEntry, CodeFact, GuideFact, OracleFact))
    defs = items.pop("$defs")
    listed = {"title": "Catalogued faults", "type": "array", "items": items, "$defs": defs}
    return published("xids", 1, listed)
