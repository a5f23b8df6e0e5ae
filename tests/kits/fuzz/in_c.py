"""Fuzzers of our C programs: built with clang's libFuzzer and sanitizers, started by one.py as those in Python are."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.kits import REPOSITORY

__all__ = ["IN_C", "build", "missing", "start"]

SHIM = REPOSITORY / "shim"
IN_C = ("kmsg_helper",)
"""Each has its program here (NAME.c), its sources in shim/NAME, and kept inputs in corpora/NAME."""
BARE = ("memcpy", "memset", "memcmp")
"""Functions that the program brings because it has no libc: in a fuzzer they have other names."""
INCLUDED = {"kmsg_helper": ("main.c", "budget.c")}
"""Sources that are not compiled: the program's start, and those that its fuzzer includes."""


def missing() -> str:
    """What has to be installed; "" for nothing."""
    return (
        "" if shutil.which("clang") else "clang with libFuzzer is wanted: apt install clang libclang-rt-dev"
    )


def build(name: str, folder: Path) -> Path:
    """The fuzzer. Raises CalledProcessError with the compiler's message on stderr."""
    program = folder / name
    sources = [one for one in sorted((SHIM / name).glob("*.c")) if one.name not in INCLUDED[name]]
    flags = [
        "-std=c11",
        "-D_GNU_SOURCE",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-O1",
        "-g",
        "-fno-omit-frame-pointer",
    ]
    flags += ["-fsanitize=fuzzer,address,undefined", "-fno-sanitize-recover=all"]
    flags += [f"-D{one}=offbus_{one}" for one in BARE]
    flags.append('-DPROC="proc/"')
    folders = [f"-I{SHIM / one}" for one in ("include", "preload", name)]
    wanted = [Path(__file__).with_name(f"{name}.c"), *sources, SHIM / "preload/text.c"]
    subprocess.run(["clang", *flags, *folders, "-o", program, *wanted], check=True)
    return program


def start(name: str, arguments: list[str]) -> None:
    """Become the fuzzer; never returns. Its node is in the folder for temporary files, which run.py removes."""
    folder = Path(os.environ["TMPDIR"])
    program = build(name, folder)
    (folder / "node").mkdir(exist_ok=True)
    os.environ["OFFBUS_FUZZ_ROOT"] = str(folder / "node")
    sys.stdout.flush()
    os.execv(program, [str(program), *arguments])  # noqa: S606  from an argument list
