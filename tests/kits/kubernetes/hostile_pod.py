"""Run as root in a pod that is prepared: tries to damage what its node gives it, and prints what came of it as JSON.

It is given as text to the interpreter of a pod, so it needs the standard library only.
"""

import ctypes
import errno
import json
import os
import struct
import time
from pathlib import Path

HERE = Path("/run/offbus")
PAGE, LIBRARY, EVENTS = HERE / "page/ctl", HERE / "lib/liboffbus.so", HERE / "events"
MS_REMOUNT, MS_BIND = 32, 4096
ROW_AT, ROWS = 256, 511


def outcome(attempt):
    """ "done", or the name of the error."""
    try:
        attempt()
    except OSError as err:
        return errno.errorcode[err.errno]
    return "done"


def remount(path):
    """Make a mount writable again."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(None, path.encode(), None, MS_REMOUNT | MS_BIND, None):
        raise OSError(ctypes.get_errno(), path)


def generation():
    """The newest one that is armed, waited for."""
    while True:
        (armed,) = struct.unpack("<I", PAGE.read_bytes()[:4])
        if armed:
            return armed
        time.sleep(0.05)


def forged(number, armed):
    """A row of a process that claims a faulted call."""
    namespace = Path("/proc/self/ns/pid").stat().st_ino
    record = struct.pack(
        "<IiiiQII16s48s", 2, 719, number, number, time.clock_gettime_ns(7), 0, 0, b"", b"cuMemAlloc_v2"
    )
    head = struct.pack("<QiIQQQQ", number, number, armed, namespace, 1, 1, 1)
    return (head + record).ljust(256, b"\0")


found = {
    "truncate the page": outcome(lambda: os.truncate(PAGE, 0)),
    "write the page": outcome(lambda: PAGE.open("r+b").close()),
    "remove the page": outcome(PAGE.unlink),
    "write the library": outcome(lambda: LIBRARY.open("r+b").close()),
    "remove the library": outcome(LIBRARY.unlink),
    "create beside the library": outcome(lambda: LIBRARY.with_suffix(".new").open("wb").close()),
    "remount the page": outcome(lambda: remount("/run/offbus/page")),
    "remount the library": outcome(lambda: remount("/run/offbus/lib")),
    "what else is there": [sorted(one.name for one in folder.iterdir()) for folder in (HERE, EVENTS)],
}
armed = generation()
with (EVENTS / "events").open("r+b") as events:
    events.seek(ROW_AT)
    events.write(b"".join(forged(number, armed) for number in range(1, ROWS + 1)))
print(json.dumps(found), flush=True)
input()  # until the test has looked at the node
