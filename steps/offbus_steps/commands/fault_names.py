"""Which fault is meant by a word of the command line: a number, a mnemonic, or `fallen-off`; and close matches."""

import re

from offbus.errors import UsageError
from offbus.findings.suggest import closest
from offbus_agent.catalogue.catalogue import NO_XID, UnknownXid, Xid, lookup
from offbus_agent.conformance import Fault, faults

__all__ = ["fault_named"]

NUMBER = re.compile(r"(?:s?xid)?[-_ ]?([0-9]{1,9})", re.IGNORECASE)
FIRST_SXID = 10_000
"""NVIDIA numbers SXIDs from here on, and XIDs below."""
PREFIX = "ROBUST_CHANNEL_"
"""Of most mnemonics: they are found without it, too."""


def fault_named(name: str) -> Fault:
    """The fault that is meant. Raises UsageError, with what may have been meant."""
    known = {fault.name: fault for fault in faults()}
    number = NUMBER.fullmatch(name.strip())
    word = re.sub(r"[-\s]+", "_", name.strip()).upper()
    if number is not None and int(number[1]) != NO_XID:
        return known.get(str(int(number[1]))) or _unknown(int(number[1]), known)
    if number is not None or word in ("FALLEN_OFF", "GPU_FALLEN_OFF_BUS"):
        return known["fallen-off"]
    mnemonics = {_mnemonic(fault).removeprefix(PREFIX): fault for fault in known.values() if _mnemonic(fault)}
    found = mnemonics.get(word.removeprefix(PREFIX))
    if found is None:
        near = closest(word.removeprefix(PREFIX), mnemonics)
        meant = f"did you mean {_mnemonic(mnemonics[near])}, XID {mnemonics[near].name}?" if near else ""
        raise UsageError(f"there is no fault {name[:100]!r}", hint=meant or "`offbus xid` lists them")
    return found


def _unknown(number: int, known: dict[str, Fault]) -> Fault:
    if number >= FIRST_SXID:
        near = min((fault.number for fault in known.values()), key=lambda one: abs(one - number))
        hint = f"the nearest is {near}; `offbus xid --kind sxid` lists them"
        raise UsageError(f"SXID {number} is not in the catalogue", hint=hint)
    try:
        return Fault("xid", number, lookup(number))
    except UnknownXid as err:
        raise UsageError(err.message, hint="`offbus xid` lists them") from err


def _mnemonic(fault: Fault) -> str:
    return " ".join(fault.entry.mnemonic.split()) if isinstance(fault.entry, Xid) else ""
