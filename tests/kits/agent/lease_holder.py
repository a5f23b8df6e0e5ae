"""A process that holds a lease (fcntl(2), F_SETLEASE) on a file as often as it can. Run by the tests.

Whoever opens the file waits until the lease is given back, which this process never does: 45 s
(/proc/sys/fs/lease-break-time).
"""

import fcntl
import os
import signal
import sys
from contextlib import suppress


def main() -> None:
    """`FILE`; says `held` once it holds one. Runs until it is killed."""
    taken = False
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGIO])  # the kernel's request to give it back
    fd = os.open(sys.argv[1], os.O_RDWR)
    while True:
        with suppress(OSError):  # somebody else has it open
            fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)
            if not taken:
                print("held", flush=True)
            taken = True
        signal.sigtimedwait([signal.SIGIO], 0.01)


if __name__ == "__main__":
    main()
