"""The built C parts: the shim, the kernel-log helper, and the stand-in driver of the `local` environment.

Job: find them or report why they are missing. They are built with the package (shim/hatch_build.py); a package built
without a C compiler, or not on Linux, has none. It builds and loads nothing.
"""

from pathlib import Path

__all__ = [
    "DRIVERS",
    "HELPER",
    "PROXIES",
    "SHIM",
    "NativeMissingError",
    "library",
    "native_dir",
    "standin_dir",
]

SHIM = "liboffbus.so"
"""The preload object."""
HELPER = "offbus-kmsg-helper"
"""The program that writes kernel lines for an agent without privileges (docs/reference/kernel-log-helper.md)."""
PROXIES = ("proxy/libcuda.so.1", "proxy/libnvidia-ml.so.1")
"""The same shim under the driver's names, for calls that no preload object intercepts (docs/shim.md)."""
DRIVERS = ("standin/libcuda.so.1", "standin/libnvidia-ml.so.1")
"""The stand-in driver; its folder goes into LD_LIBRARY_PATH."""


class NativeMissingError(Exception):
    """Raised when a C part was not built; the message says how to build it."""

    def __init__(self, missing: Path) -> None:
        super().__init__(
            f"{missing} is missing: offbus was installed without its C parts. Install a C compiler and make on "
            f"Linux and reinstall offbus, or in a source tree run `make -C shim install NATIVE={missing.parent}`"
        )


def native_dir() -> Path:
    """The folder of the built parts; it exists even when nothing was built."""
    return Path(__file__).parents[1] / "native"


def library(name: str) -> Path:
    """The path of one part (`SHIM`, `HELPER`, or one of `PROXIES` or `DRIVERS`). Raises NativeMissingError."""
    path = native_dir() / name
    if not path.is_file():
        raise NativeMissingError(path)
    return path


def standin_dir() -> Path:
    """The folder with both libraries of the stand-in driver. Raises NativeMissingError."""
    cuda, _ = (library(name) for name in DRIVERS)
    return cuda.parent
