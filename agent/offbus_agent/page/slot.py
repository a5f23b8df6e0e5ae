"""One slot of the control page: a fault on one GPU, or on every GPU of the node.

Job: the values that a slot may have, checked, and their memory layout. A value that does not fit, or an id that cannot
be printed on one line, raises `PageError` before anything is written.
"""

import re
import uuid
from dataclasses import dataclass
from typing import Self

from offbus_agent.page.abi import FAULT_ID_SIZE, PPM_ALWAYS, CallClass, FaultMode, SlotFlag, SlotLayout
from offbus_agent.page.files import PageError

__all__ = ["Slot"]

_ID = re.compile(rf"[!-~]{{1,{FAULT_ID_SIZE - 1}}}")
_PCI = re.compile(r"([0-9a-fA-F]{4,8}):([0-9a-fA-F]{2}):([0-9a-fA-F]{2})(\.[0-7])?")
_LIMITS = {
    "cuda_err": 2**31,
    "nvml_err": 2**31,
    "delay_us": 2**32,
    "after_calls": 2**32,
    "ppm": PPM_ALWAYS + 1,
    "seed": 2**64,
    "armed_at_ns": 2**64,
    "expires_ns": 2**64,
    "generation": 2**32,
    "xid": 2**32,
    "recovery_action": 2**32,
    "nvml_events": 2**32,
    "remapped_correctable": 2**32,
    "remapped_uncorrectable": 2**32,
    "remap_pending": 2,
    "remap_failed": 2,
    "ecc_corrected": 2**32,
    "ecc_uncorrected": 2**32,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """A fault on one GPU. Times are CLOCK_BOOTTIME in nanoseconds."""

    fault_id: str
    """1 to 39 printable ASCII characters, no space."""
    gpu: str = ""
    """"GPU-<uuid>"; "" with `pci`: only that address; "" without: every GPU of the node."""
    pci: str = ""
    """"0000:3b:00": identifies the GPU where its UUID cannot be read."""
    mode: FaultMode = FaultMode.ERROR
    cuda_err: int = 0
    """CUresult; 0: CUDA calls are not faulted (modes error and lost)."""
    nvml_err: int = 0
    """nvmlReturn_t; 0: NVML calls are not faulted (modes error and lost)."""
    classes: CallClass
    """Which calls fail; meta calls never do."""
    sticky: bool = False
    new_procs: bool = False
    survive_disarm: bool = False
    delay_us: int = 0
    after_calls: int = 0
    ppm: int = PPM_ALWAYS
    """The share of the matching calls that fail, in parts per million."""
    seed: int = 0
    armed_at_ns: int = 0
    """0: the time of arming."""
    expires_ns: int = 0
    """0: only the heartbeat limits it."""
    generation: int = 0
    """Set by `ControlPage.arm`."""
    xid: int = 0
    """Reported as a critical XID event to processes that registered for them with NVML; 0: no event."""
    recovery_action: int = 0
    """nvmlDeviceGpuRecoveryAction_t, NVML's field 230; 0: the driver's own value."""
    nvml_events: int = 0
    """Further event types (nvmlEventType*) that it raises."""
    remapped_correctable: int = 0
    """Rows, added to the driver's count; the same for the following fields."""
    remapped_uncorrectable: int = 0
    remap_pending: int = 0
    """1: rows wait for a reset."""
    remap_failed: int = 0
    ecc_corrected: int = 0
    """Errors, added to NVML's counters; `ecc_uncorrected` too."""
    ecc_uncorrected: int = 0

    def __post_init__(self) -> None:
        if not _ID.fullmatch(self.fault_id):
            raise PageError(
                f"fault id {self.fault_id!r}: expected 1 to 39 printable ASCII characters, no space"
            )
        for name, limit in _LIMITS.items():
            if not 0 <= getattr(self, name) < limit:
                raise PageError(
                    f"fault {self.fault_id}: {name} is {getattr(self, name)}, expected 0 to {limit - 1}"
                )
        _uuid_bytes(self.gpu)
        _pci_numbers(self.pci)

    def pack(self, into: SlotLayout) -> None:
        """Write the slot's fields."""
        into.uuid[:] = _uuid_bytes(self.gpu)
        into.pci_domain, into.pci_bus, into.pci_device = _pci_numbers(self.pci)
        into.mode, into.class_mask = int(self.mode), int(self.classes)
        into.fault_id = self.fault_id.encode()
        for name in _LIMITS:
            setattr(into, name, getattr(self, name))
        into.flags = int(self._flags())

    @classmethod
    def unpack(cls, layout: SlotLayout) -> Self:
        """Read a slot back. Raises PageError for values that no slot may have."""
        flags, raw = SlotFlag(layout.flags), bytes(layout.uuid)
        pci = f"{layout.pci_domain:04x}:{layout.pci_bus:02x}:{layout.pci_device:02x}"
        try:
            mode = FaultMode(layout.mode)
        except ValueError as err:
            raise PageError(f"the page has mode {layout.mode}, which this version does not support") from err
        return cls(
            fault_id=layout.fault_id.decode("ascii", "replace"),
            gpu=f"GPU-{uuid.UUID(bytes=raw)}" if any(raw) else "",
            pci=pci if SlotFlag.HAS_PCI in flags else "",
            mode=mode,
            classes=CallClass(layout.class_mask),
            sticky=SlotFlag.STICKY in flags,
            new_procs=SlotFlag.NEW_PROCS in flags,
            survive_disarm=SlotFlag.SURVIVE_DISARM in flags,
            **{name: int(getattr(layout, name)) for name in _LIMITS},
        )

    def _flags(self) -> SlotFlag:
        flags = SlotFlag.ENABLED
        for wanted, flag in (
            (self.sticky, SlotFlag.STICKY),
            (self.new_procs, SlotFlag.NEW_PROCS),
            (self.survive_disarm, SlotFlag.SURVIVE_DISARM),
            (bool(self.pci), SlotFlag.HAS_PCI),
        ):
            if wanted:
                flags |= flag
        return flags


def _uuid_bytes(gpu: str) -> bytes:
    if not gpu:
        return bytes(16)
    try:
        return uuid.UUID(gpu.removeprefix("GPU-").removeprefix("MIG-")).bytes
    except ValueError as err:
        raise PageError(f"GPU {gpu!r}: expected GPU-xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx") from err


def _pci_numbers(pci: str) -> tuple[int, int, int]:
    if not pci:
        return 0, 0, 0
    found = _PCI.fullmatch(pci)
    if found is None:
        raise PageError(f"PCI address {pci!r}: expected dddd:bb:dd, such as 0000:3b:00")
    return int(found[1], 16), int(found[2], 16), int(found[3], 16)
