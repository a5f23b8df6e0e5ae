"""The layout of the two files of `shim/include/offbus_page.h`, for ctypes.

Job: repeat the C header in Python; tests/shim compares the two, offset by offset. It knows only names; `control` and
`events` know their meaning. Numbers are little-endian in natural alignment, the native layout of the shim's machines
(x86-64, aarch64).
"""

import ctypes
from enum import IntEnum, IntFlag

__all__ = [
    "ABI_MAJOR",
    "ABI_MINOR",
    "CTL_MAGIC",
    "EVENTS_MAGIC",
    "FAULT_ID_SIZE",
    "FUNCTION_SIZE",
    "PPM_ALWAYS",
    "RECORD_COMPLETE",
    "ROWS",
    "SLOTS",
    "CallClass",
    "Ctl",
    "Events",
    "EventsHeader",
    "FaultMode",
    "Record",
    "Row",
    "SlotFlag",
    "SlotLayout",
]

ABI_MAJOR = 1
ABI_MINOR = 1
CTL_MAGIC = 0x4C54434F
EVENTS_MAGIC = 0x5456454F
SLOTS = 16
ROWS = 511
FAULT_ID_SIZE = 40
FUNCTION_SIZE = 48
PPM_ALWAYS = 1_000_000
RECORD_COMPLETE = 2


class SlotFlag(IntFlag):
    """OFFBUS_ENABLED … OFFBUS_HAS_PCI."""

    ENABLED = 1
    STICKY = 2
    NEW_PROCS = 4
    SURVIVE_DISARM = 8
    HAS_PCI = 16


class FaultMode(IntEnum):
    """OFFBUS_MODE_*: what happens to a faulted call."""

    ERROR = 0
    HANG = 1
    DELAY = 2
    LOST = 3


class CallClass(IntFlag):
    """OFFBUS_CLASS_*: the classes of functions of shim/functions.def."""

    LAUNCH = 1 << 0
    COPY = 1 << 1
    ALLOC = 1 << 2
    SYNC = 1 << 3
    EVENT = 1 << 4
    STREAM = 1 << 5
    CTX = 1 << 6
    INIT = 1 << 7
    MODULE = 1 << 8
    GRAPH = 1 << 9
    NVML = 1 << 10


class SlotLayout(ctypes.Structure):
    """struct offbus_slot."""

    _fields_ = [
        ("uuid", ctypes.c_uint8 * 16),
        ("pci_domain", ctypes.c_uint32),
        ("pci_bus", ctypes.c_uint8),
        ("pci_device", ctypes.c_uint8),
        ("flags", ctypes.c_uint16),
        ("generation", ctypes.c_uint32),
        ("mode", ctypes.c_uint32),
        ("cuda_err", ctypes.c_int32),
        ("nvml_err", ctypes.c_int32),
        ("class_mask", ctypes.c_uint32),
        ("delay_us", ctypes.c_uint32),
        ("after_calls", ctypes.c_uint32),
        ("ppm", ctypes.c_uint32),
        ("seed", ctypes.c_uint64),
        ("armed_at_ns", ctypes.c_uint64),
        ("expires_ns", ctypes.c_uint64),
        ("fault_id", ctypes.c_char * FAULT_ID_SIZE),
        ("xid", ctypes.c_uint32),
        ("recovery_action", ctypes.c_uint32),
        ("nvml_events", ctypes.c_uint32),
        ("remapped_correctable", ctypes.c_uint32),
        ("remapped_uncorrectable", ctypes.c_uint32),
        ("remap_pending", ctypes.c_uint8),
        ("remap_failed", ctypes.c_uint8),
        ("unused", ctypes.c_uint16),
        ("ecc_corrected", ctypes.c_uint32),
        ("ecc_uncorrected", ctypes.c_uint32),
        ("reserved", ctypes.c_uint8 * 40),
    ]


class Ctl(ctypes.Structure):
    """struct offbus_ctl."""

    _fields_ = [
        ("armed", ctypes.c_uint32),
        ("magic", ctypes.c_uint32),
        ("abi_major", ctypes.c_uint16),
        ("abi_minor", ctypes.c_uint16),
        ("size", ctypes.c_uint32),
        ("seq", ctypes.c_uint32),
        ("nslots", ctypes.c_uint32),
        ("boot_id_hash", ctypes.c_uint64),
        ("heartbeat_ns", ctypes.c_uint64),
        ("heartbeat_ttl_ns", ctypes.c_uint64),
        ("generation", ctypes.c_uint32),
        ("reserved", ctypes.c_uint8 * 76),
        ("slots", SlotLayout * SLOTS),
        ("tail", ctypes.c_uint8 * 896),
    ]


class Record(ctypes.Structure):
    """struct offbus_record."""

    _fields_ = [
        ("state", ctypes.c_uint32),
        ("code", ctypes.c_int32),
        ("pid", ctypes.c_int32),
        ("tid", ctypes.c_int32),
        ("at_ns", ctypes.c_uint64),
        ("slot", ctypes.c_uint32),
        ("reserved", ctypes.c_uint32),
        ("gpu_uuid", ctypes.c_uint8 * 16),
        ("function", ctypes.c_uint8 * FUNCTION_SIZE),
    ]


class Row(ctypes.Structure):
    """struct offbus_row."""

    _fields_ = [
        ("owner", ctypes.c_uint64),
        ("pid", ctypes.c_int32),
        ("generation", ctypes.c_uint32),
        ("pid_namespace", ctypes.c_uint64),
        ("start_ns", ctypes.c_uint64),
        ("intercepted", ctypes.c_uint64),
        ("faulted", ctypes.c_uint64),
        ("cuda", Record),
        ("nvml", Record),
        ("reserved", ctypes.c_uint8 * 16),
    ]


class EventsHeader(ctypes.Structure):
    """The part of struct offbus_events before its rows."""

    _fields_ = [
        ("doorbell", ctypes.c_uint32),
        ("magic", ctypes.c_uint32),
        ("abi_major", ctypes.c_uint16),
        ("abi_minor", ctypes.c_uint16),
        ("size", ctypes.c_uint32),
        ("nrows", ctypes.c_uint32),
        ("row_size", ctypes.c_uint32),
        ("reserved", ctypes.c_uint8 * 232),
    ]


class Events(ctypes.Structure):
    """struct offbus_events."""

    _fields_ = [("header", EventsHeader), ("rows", Row * ROWS)]
