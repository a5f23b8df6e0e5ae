"""Generates everything that the shim has per function from the list `functions.def`.

    generate.py thunks|table|ids|map|map-cuda|map-nvml|docs FUNCTIONS.DEF > OUTPUT

`thunks`: assembly, one exported entry per function, for x86-64 and aarch64. `table`: C arrays (names, classes,
devices, traits, entries), sorted by name. `ids`: `FN_name` constants. `map`, `map-cuda`, `map-nvml`: the
linker's version scripts of the preload object and of the proxies.
`docs`: the table in docs/shim.md. A malformed line is an error with its position. Standard library only: it runs
inside the Makefile, before anything is installed.
"""

import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

CLASSES = ("launch", "copy", "alloc", "sync", "event", "stream", "ctx", "init", "module", "graph", "nvml")
"""In the order of the bits OFFBUS_CLASS_* of offbus_page.h."""
MEANINGS = {
    "launch": "kernels, graph launches, host functions",
    "copy": "copies, memsets, prefetches",
    "alloc": "memory, arrays, pools, imports",
    "sync": "synchronise and query",
    "event": "events",
    "stream": "streams",
    "ctx": "contexts",
    "init": "`cuInit`",
    "module": "modules, libraries, linking",
    "graph": "graphs",
    "nvml": "NVML calls on a device",
    "meta": "never faulted",
}
TRAITS = ("", "free", "identity", "hook", "text", "typed", "watch")
INTERPOSED = ("dlsym", "dlvsym", "dlopen")
PROXY_MARK = "offbus_proxy"
"""The export by which a proxy recognises another one, so that it does not take it for the driver."""
DEVICE = re.compile(r"-|ctx|all|(dev|nvml|out|ctx|config)[0-5]|stream[0-8]")
ALWAYS_SLOW = ("hook", "watch")
"""Traits of functions that enter our code even while nothing is armed."""


@dataclass(frozen=True)
class Function:
    """One line of the list."""

    name: str
    klass: str
    device: str
    trait: str


def read(path: Path) -> list[Function]:
    """The functions, sorted by name as C compares strings."""
    found = [parse(line, f"{path}:{n}") for n, line in numbered(path)]
    names = [f.name for f in found]
    if len(set(names)) != len(names):
        doubled = sorted({n for n in names if names.count(n) > 1})
        raise SystemExit(f"{path}: listed twice: {', '.join(doubled)}")
    return sorted(found, key=lambda f: f.name)


def numbered(path: Path) -> Iterator[tuple[int, str]]:
    """The lines with content, with their numbers."""
    for number, line in enumerate(path.read_text(encoding="ascii").splitlines(), 1):
        if line.strip() and not line.startswith("#"):
            yield number, line


def parse(line: str, position: str) -> Function:
    """One line; exits with its position when it is malformed."""
    words = [*line.split(), ""][:4]
    if len(line.split()) not in (3, 4) or not re.fullmatch(r"(cu|nvml)[A-Z]\w*", words[0]):
        raise SystemExit(f"{position}: expected `name class device [trait]`, found {line!r}")
    name, klass, device, trait = words
    if klass not in MEANINGS or not DEVICE.fullmatch(device) or trait not in TRAITS:
        raise SystemExit(f"{position}: {name}: unknown class {klass!r}, device {device!r} or trait {trait!r}")
    return Function(name, klass, device, trait)


def thunks(functions: list[Function]) -> str:
    """One assembly macro call per function; the macro is in preload/thunk.h."""
    lines = [
        f"{'HOOK' if f.trait in ALWAYS_SLOW else 'THUNK'}({f.name}, {i})" for i, f in enumerate(functions)
    ]
    lines += [f"HOOK({name}, {len(functions) + i})" for i, name in enumerate(INTERPOSED)]
    return "\n".join(['#include "thunk.h"', "THUNKS_BEGIN", *lines, "THUNKS_END", ""])


def table(functions: list[Function]) -> str:
    """The constant table of functions, in the order of the thunks."""
    rows = [
        f'  {{"{f.name}", entry_{f.name}, {mask(f)}, {device(f)}, TRAIT_{(f.trait or "none").upper()}}},'
        for f in functions
    ]
    externs = [f"extern char entry_{f.name}[];" for f in functions]
    return "\n".join(
        [
            '#include "functions.h"',
            *externs,
            "const struct function offbus_functions[FUNCTIONS] = {",
            *rows,
            "};",
            "void *offbus_real[FUNCTIONS];",
            "",
        ]
    )


def mask(function: Function) -> str:
    """The bit of the function's class."""
    return "0" if function.klass == "meta" else f"OFFBUS_CLASS_{function.klass.upper()}"


def device(function: Function) -> str:
    """Where the shim finds the call's GPU: kind and argument."""
    word = function.device
    if word == "-":
        return "DEVICE_NONE, 0"
    kind, argument = word.rstrip("012345678"), word[-1] if word[-1].isdigit() else ""
    if kind == "ctx" and argument:
        kind = "context"
    return f"DEVICE_{kind.upper()}, {argument or 0}"


def ids(functions: list[Function]) -> str:
    """Constants for the functions of the table."""
    rows = [f"  FN_{f.name}," for f in functions]
    return "\n".join(["enum {", *rows, "  FUNCTIONS", "};", ""])


def export_map(functions: list[Function]) -> str:
    """The preload object's exports. The version is anonymous, so it satisfies references to any version."""
    return version_script([*INTERPOSED, *(f.name for f in functions)])


def export_map_cuda(functions: list[Function]) -> str:
    """The exports of the proxy libcuda.so.1."""
    return version_script([PROXY_MARK, *(f.name for f in functions if f.name.startswith("cu"))])


def export_map_nvml(functions: list[Function]) -> str:
    """The exports of the proxy libnvidia-ml.so.1."""
    return version_script([PROXY_MARK, *(f.name for f in functions if f.name.startswith("nvml"))])


def version_script(names: list[str]) -> str:
    """These names are visible, and nothing else."""
    return "\n".join(["{", "  global:", *(f"    {n};" for n in names), "  local: *;", "};", ""])


def docs(functions: list[Function]) -> str:
    """The Markdown table of classes."""
    rows = ["| class | functions | what | examples |", "|---|---|---|---|"]
    for klass in (*CLASSES, "meta"):
        names = [f.name for f in functions if f.klass == klass]
        shown = ", ".join(f"`{n}`" for n in sorted(names, key=lambda n: (len(n), n))[:3])
        rows.append(f"| {klass} | {len(names)} | {MEANINGS[klass]} | {shown} |")
    return "\n".join([*rows, ""])


MAKERS: dict[str, Callable[[list[Function]], str]] = {
    "thunks": thunks,
    "table": table,
    "ids": ids,
    "map": export_map,
    "map-cuda": export_map_cuda,
    "map-nvml": export_map_nvml,
    "docs": docs,
}


def main(arguments: list[str]) -> None:
    """Writes one of the outputs to stdout."""
    if len(arguments) != 2 or arguments[0] not in MAKERS:
        raise SystemExit(f"usage: generate.py {'|'.join(MAKERS)} FUNCTIONS.DEF")
    sys.stdout.write(MAKERS[arguments[0]](read(Path(arguments[1]))))


if __name__ == "__main__":
    main(sys.argv[1:])
