"""Opens the kernel log at a path: the device or the record file."""

import stat
from pathlib import Path

from offbus_agent.kernel_log.kmsg import KmsgDevice
from offbus_agent.kernel_log.log import KernelLogError, TextLog, stat_log
from offbus_agent.kernel_log.record_file import RecordFile

__all__ = ["open_kernel_log"]


def open_kernel_log(path: Path) -> TextLog:
    """The log at `path`: a character device or a regular file. Raises KernelLogError for anything else."""
    mode = stat_log(path).st_mode
    if stat.S_ISCHR(mode):
        return KmsgDevice(path)
    if stat.S_ISREG(mode):
        return RecordFile(path)
    raise KernelLogError(
        f"{path} is neither a character device nor a regular file",
        "set --kmsg to /dev/kmsg, or to a local node's record file",
    )
