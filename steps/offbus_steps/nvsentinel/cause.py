"""Whose consequence is it? Whether what a responder wrote is its answer to one fault of a drill.

A finding is a fault's own when it has the fault's check, one of its error codes, and one of its GPUs (by PCI address or
UUID; an address in any spelling). All else is an external change: it passes no step, is part of no metric, and no undo
touches it. Nothing else decides it: the steps that await an answer, the undo of a fault's consequences
and the comparison of fingerprints all ask here. Two further parts of the rule need an order, and are theirs: only what
came after the injection counts, on the faulted node alone (`offbus_steps.watch.consequences`).

What carries no finding itself (a cordon, a state label, a maintenance resource without a GPU) belongs to the findings
for which the node is quarantined. Pure; hostile values only ever match nothing.
"""

from collections.abc import Collection, Iterable
from enum import StrEnum
from typing import Self

from pydantic import BaseModel, ConfigDict, Field

from offbus_steps.nvsentinel import names
from offbus_steps.nvsentinel.findings import Finding

__all__ = ["Cause", "Share", "normalise_pci"]

PCI_TYPES = frozenset({"PCI", "GPU"})
"""Entity types whose value is a PCI address; `GPU` in older releases."""
UUID_TYPE = "GPU_UUID"
GPU_TYPES = PCI_TYPES | {UUID_TYPE}


class Share(StrEnum):
    """Whose a node's quarantine is."""

    OWN = "own"
    """The fault's alone."""
    BOTH = "both"
    """The fault's, and something else's."""
    OTHERS = "others"
    """Not the fault's."""


class Cause(BaseModel):
    """What a fault is recognised by in a responder's words."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    check: str = Field(default=names.XID_CHECK, description="The responder's check that finds it.")
    codes: tuple[str, ...] = Field(description="The error codes under which it is reported.")
    uuids: tuple[str, ...] = Field(description="UUIDs of the faulted GPUs.")
    pcis: tuple[str, ...] = Field(default=(), description="Their PCI addresses.")

    @classmethod
    def of(cls, xid: int, uuids: Iterable[str], pcis: Iterable[str]) -> Self:
        """The cause of an XID's fault."""
        from offbus_agent.catalogue.catalogue import NO_XID, UnknownXid, lookup

        try:
            codes = lookup(xid).error_codes
        except UnknownXid:
            codes = (str(xid),)
        check = names.FALLEN_OFF_CHECK if xid == NO_XID else names.XID_CHECK
        return cls(check=check, codes=codes, uuids=tuple(filter(None, uuids)), pcis=tuple(filter(None, pcis)))

    def made(self, finding: Finding) -> bool:
        """Whether a finding is about this fault."""
        if finding.check != self.check or not set(finding.codes) & set(self.codes):
            return False
        return any(self._names(kind, value) for kind, value in finding.entities)

    def mine(self, findings: Iterable[Finding]) -> list[Finding]:
        """Those that are about this fault."""
        return [one for one in findings if self.made(one)]

    def others(self, findings: Iterable[Finding]) -> list[Finding]:
        """Those that are about something else. What a cut text is about, nobody knows; where many findings were not
        read, some are."""
        return [one for one in findings if not self.made(one) and (one.more or not one.cut)]

    def left_out(self, findings: Iterable[Finding]) -> bool:
        """Whether one about this fault may be among those of a node that were not read: drills' check is read first."""
        is_first = self.check == names.XID_CHECK
        return any(one.more and not (is_first and one.check != self.check) for one in findings)

    def may_have_made(self, finding: Finding) -> bool:
        """Whether a finding whose text was cut shows nothing that this fault does not have."""
        values = [*finding.codes, *(value for kind, value in finding.entities if kind in GPU_TYPES)]
        own = [*self.codes, *self.uuids, *self.pcis]
        right_check = finding.check == self.check
        return finding.cut and right_check and all(any(o.startswith(v) for o in own) for v in values)

    def share(self, tracked: Iterable[Finding], seen: Collection[Finding], *, complete: bool) -> Share:
        """Whose the quarantine of a node is that lists `tracked`, or whose the marks are that one left.

        Where nothing is listed, what was `seen` on the node since the fault decides: marks are the fault's when it was
        seen. When nothing at all was seen, they are the fault's unless that is `complete`, from the injection on. Where
        the fault may be among what was not read, they are not its alone, and not the others'.
        """
        listed = list(tracked)
        if not listed and (self.mine(seen) or not (complete or seen)):
            return Share.OWN
        if not listed or not self.mine(listed):
            return Share.BOTH if self.left_out(listed or seen) else Share.OTHERS
        return Share.BOTH if self.others(listed) else Share.OWN

    def endangered(self, findings: Iterable[Finding]) -> list[Finding]:
        """Findings of others that the responder's clear for the fault's GPUs would end, too: a reset of a GPU clears
        every fault of the check on it (nvsentinel.md, 1.5)."""
        same = (one for one in self.others(findings) if one.check == self.check)
        return [
            one for one in same if one.more or any(self._names(kind, value) for kind, value in one.entities)
        ]

    @property
    def ends_by_reset(self) -> bool:
        """Whether the responder's clear ends it: a reset line ends XIDs alone, others' too (`endangered`)."""
        return self.check == names.XID_CHECK

    def asked_for(self, name: str, node: str, gpus: Collection[str], tracked: Collection[Finding]) -> bool:
        """Whether a maintenance resource of a node that is quarantined for `tracked` is for this fault.

        By the GPUs that it selects; else by the event's id in its name (`maintenance-<node>-<id>`); else because the
        node is quarantined for nothing else.
        """
        if gpus:
            return any(self._names(kind, gpu) for gpu in gpus for kind in (UUID_TYPE, "PCI"))
        meant = [one for one in tracked if one.id and name == f"maintenance-{node}-{one.id}"]
        return bool(self.mine(meant)) if meant else bool(tracked) and not self.others(tracked)

    def _names(self, kind: str, value: str) -> bool:
        if kind == UUID_TYPE:
            return value.casefold() in {one.casefold() for one in self.uuids}
        return kind in PCI_TYPES and normalise_pci(value) in {normalise_pci(one) for one in self.pcis}


def normalise_pci(pci: str) -> str:
    """Lower case, the last four digits of the domain, no function: "00000000:3B:00.0" is "0000:3b:00"."""
    domain, _, rest = pci.lower().partition(":")
    return f"{domain[-4:]}:{rest.partition('.')[0]}" if rest else domain.partition(".")[0]
