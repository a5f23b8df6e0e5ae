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
from typing import Self

from pydantic import BaseModel, ConfigDict, Field

from offbus_steps.nvsentinel import names
from offbus_steps.nvsentinel.findings import Finding

__all__ = ["EVERYTHING", "Cause", "normalise_pci"]

PCI_TYPES = frozenset({"PCI", "GPU"})
"""Entity types whose value is a PCI address; `GPU` in older releases."""
UUID_TYPE = "GPU_UUID"


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
        from offbus_agent.catalogue.catalogue import catalogue

        known = catalogue().get(xid)
        codes = known.error_codes if known is not None else (str(xid),)
        return cls(codes=codes, uuids=tuple(filter(None, uuids)), pcis=tuple(filter(None, pcis)))

    def made(self, finding: Finding) -> bool:
        """Whether a finding is about this fault."""
        if self == EVERYTHING:
            return True
        if finding.check != self.check or not set(finding.codes) & set(self.codes):
            return False
        return any(self._names(kind, value) for kind, value in finding.entities)

    def mine(self, findings: Iterable[Finding]) -> list[Finding]:
        """Those that are about this fault."""
        return [one for one in findings if self.made(one)]

    def others(self, findings: Iterable[Finding]) -> list[Finding]:
        """Those that are not."""
        return [one for one in findings if not self.made(one)]

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


EVERYTHING = Cause(check="", codes=(), uuids=())
"""Of undo records that do not say their cause (offbus 0.1.0): then everything new counts, as it did."""


def normalise_pci(pci: str) -> str:
    """Lower case, the last four digits of the domain, no function: "00000000:3B:00.0" is "0000:3b:00"."""
    domain, _, rest = pci.lower().partition(":")
    return f"{domain[-4:]}:{rest.partition('.')[0]}" if rest else domain.partition(".")[0]
