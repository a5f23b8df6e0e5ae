"""Build hook: compiles shim/ into agent/offbus_agent/native/ before a wheel or an editable install is made.

Where there is no Linux or no C compiler, the build goes on without the native parts: everything but `local` and
the node agent's CUDA planes works then, and `offbus` says so when they are asked for.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ShimBuildHook(BuildHookInterface):
    """Runs shim/Makefile and tags the wheel for the platform when something was built."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if not sys.platform.startswith("linux") or self.target_name != "wheel":
            return
        shim = Path(self.root, "shim")
        if not Path(shim, "Makefile").exists():
            return
        native = Path(self.root, "agent", "offbus_agent", "native")
        native.mkdir(parents=True, exist_ok=True)
        # Relative, because make takes no path with a space in it, and a checkout may well be below one.
        places = [
            f"NATIVE={os.path.relpath(native, shim)}",
            f"PYTHON={os.path.relpath(sys.executable, shim)}",
        ]
        command = ["make", "--no-print-directory", "-s", "-C", str(shim), "install", *places]
        done = subprocess.run(command, env={**os.environ, "MAKEFLAGS": ""}, check=False)
        if done.returncode != 0:
            raise SystemExit("offbus: the C parts could not be built: is there a C compiler (cc) and make?")
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{platform_tag()}"


def platform_tag() -> str:
    """The C parts need no glibc symbol newer than 2.17 (design.md, section 7): manylinux2014."""
    return f"manylinux_2_17_{os.uname().machine}"
