"""Where the C sources of the shim and of its test programs are, and how the latter are compiled."""

import subprocess
from pathlib import Path

from tests.kits import REPOSITORY

SHIM = REPOSITORY / "shim"
PROGRAMS = Path(__file__).parent / "programs"


def compile_c(output: Path, *arguments: str | Path) -> Path:
    """Compile a test program; warnings are errors here too."""
    strict = ["-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-O1"]
    done = subprocess.run(["cc", *strict, "-o", output, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return output
