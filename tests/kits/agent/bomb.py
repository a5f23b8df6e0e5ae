"""A process whose files in /proc are larger than its reader's memory. Run by the tests, as any user of a node can."""

import ctypes
import mmap
import os
import sys
from pathlib import Path

_PR_SET_MM, _PR_SET_MM_MAP = 35, 14
_SHOWN = ("start_code", "end_code", "start_data", "end_data", "start_brk", "brk", "start_stack")
_FIELDS = (26, 27, 45, 46, 47, 47, 28)
"""Of /proc/PID/stat (proc(5)), from 1."""
_FOLDER = "d" * 250
_NESTED = 14
_kept: list[mmap.mmap] = []


class _Map(ctypes.Structure):
    """struct prctl_mm_map (linux/prctl.h)."""

    _fields_ = (
        *((name, ctypes.c_uint64) for name in (*_SHOWN, "arg_start", "arg_end", "env_start", "env_end")),
        ("auxv", ctypes.c_uint64),
        ("auxv_size", ctypes.c_uint32),
        ("exe_fd", ctypes.c_uint32),
    )


def mappings(folder: str, number: int, page: str) -> None:
    """Map the control page for reading, as the shim does, and a file with a long path so many times."""
    mmap.mmap(os.open(page, os.O_RDONLY), 0, mmap.MAP_SHARED, mmap.PROT_READ)
    os.chdir(folder)
    for _ in range(_NESTED):
        Path(_FOLDER).mkdir()
        os.chdir(_FOLDER)
    fd = os.open("f", os.O_RDWR | os.O_CREAT, 0o600)
    os.ftruncate(fd, mmap.PAGESIZE)
    libc = ctypes.CDLL(None)
    libc.mmap.restype = ctypes.c_void_p
    for _ in range(number):  # the same offset each time: the kernel merges none
        size, nowhere = ctypes.c_size_t(mmap.PAGESIZE), ctypes.c_void_p()
        assert libc.mmap(nowhere, size, mmap.PROT_READ, mmap.MAP_SHARED, fd, ctypes.c_long(0)) != 2**64 - 1


def environment(size: int) -> bool:
    """Have all of a new mapping shown as the environment; whether this kernel lets its users."""
    stat = Path("/proc/self/stat").read_bytes().rpartition(b")")[2].split()
    memory = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    _kept.append(memory)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    shown = _Map(**{name: int(stat[at - 3]) for name, at in zip(_SHOWN, _FIELDS, strict=True)})
    shown.arg_start, shown.arg_end = int(stat[45]), int(stat[46])
    shown.env_start, shown.env_end = start, start + size
    shown.exe_fd = 2**32 - 1
    libc = ctypes.CDLL(None)
    libc.sbrk.restype = ctypes.c_uint64
    shown.brk = libc.sbrk(ctypes.c_long(0))
    return bool(libc.prctl(_PR_SET_MM, _PR_SET_MM_MAP, ctypes.byref(shown), ctypes.sizeof(shown), 0) == 0)


def main() -> None:
    """`mappings FOLDER NUMBER PAGE`, or `environment BYTES`; says `ready`, and ends with its input."""
    if sys.argv[1] == "mappings":
        mappings(sys.argv[2], int(sys.argv[3]), sys.argv[4])
        print("ready", flush=True)
    else:
        print("ready" if environment(int(sys.argv[2])) else "refused", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
