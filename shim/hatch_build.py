"""Build hook: compiles shim/ into agent/offbus_agent/native/ before a wheel or an editable install is built.

On an unsupported platform (no Linux, another processor), or without the tools, the package is built without the C
parts, with a warning: everything except `local` and the node agent's CUDA and NVML planes works then, and `offbus` says
so when they are used (offbus_agent.page.native_library). A compiler that exists and fails is an error.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

MACHINES = ("x86_64", "aarch64")
"""The machines that preload/thunk.h supports."""


class ShimBuildHook(BuildHookInterface[Any]):
    """Runs shim/Makefile and tags the wheel for the platform when something was built."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before the files of a target are collected."""
        shim = Path(self.root, "shim")
        if self.target_name != "wheel" or not Path(shim, "Makefile").exists():
            return
        if why := why_not():
            self.app.display_warning(f"offbus: built without its C parts: {why}")
            return
        native = Path(self.root, "agent", "offbus_agent", "native")
        install(shim, native)
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{platform_tag()}"


def why_not() -> str:
    """Why the C parts cannot be built here; "" when they can."""
    if not sys.platform.startswith("linux") or os.uname().machine not in MACHINES:
        return f"they need Linux on {' or '.join(MACHINES)}"
    missing = [tool for tool in ("make", compiler()) if shutil.which(tool) is None]
    return f"not found: {', '.join(missing)}" if missing else ""


def compiler() -> str:
    """The program that the Makefile will call."""
    return (os.environ.get("CC") or "cc").split()[0]


def install(shim: Path, native: Path) -> None:
    """Build and install; exits with make's own message above ours."""
    command = ["make", "--no-print-directory", "-s", "-C", str(shim), "install"]
    # Relative: make does not support paths with spaces, and the checkout's path may have one.
    paths = {"NATIVE": native, "PYTHON": Path(sys.executable)}
    command += [f"{name}={os.path.relpath(path, shim)}" for name, path in paths.items()]
    done = subprocess.run(command, env={**os.environ, "MAKEFLAGS": ""}, check=False)
    if done.returncode != 0:
        raise SystemExit("offbus: cannot build the C parts; see the compiler's message above")


def platform_tag() -> str:
    """The C parts need no glibc symbol newer than 2.17 (tests/shim/test_shim_library.py): manylinux2014."""
    return f"manylinux_2_17_{os.uname().machine}"
