"""The kernel lines as C, for the kernel-log helper: shim/kmsg_helper/kernel_lines.h.

Job: have the agent's own code make each line of marked fields, and write what stands around them. Nothing of a line is
spelt here. `FIELDS` are the marks by which the helper (line.c) knows where a field goes.
"""

from collections.abc import Iterator
from itertools import count

from offbus_agent.catalogue.catalogue import NO_XID, Xid, catalogue, lookup
from offbus_agent.catalogue.nvlink5 import FIRST_R575
from offbus_agent.kernel_log.line import LIMIT, Dialect, ResetLine, XidLine, driver_line, reset_line

__all__ = ["header"]

FAULT, ADDRESS, GPU_UUID = "fault-id", "00aa:bb:cc", "GPU-00000000-0000-0000-0000-00000000000f"
TIME_NS, TIME = 1234567_123456789, "1234567.123456"
INDEX = 987654321
FIELDS = {FAULT: "\\001", TIME: "\\002", ADDRESS: "\\003", str(INDEX): "\\004", GPU_UUID: "\\005"}
"""What a field is while a line is made -> its mark in the C text."""
WORD = "NVRM: "
"""The first of every line of a driver; a dialect may repeat it."""
REST = "x"
HEAD = """\
/* The texts of all kernel lines, made by `make generate` from the agent's catalogue: do not edit.
 *
 * Control characters stand for fields: 1 the fault's id, 2 the time, 3 the address, 4 the GPU's index, 5 its UUID.
 */
#ifndef OFFBUS_KERNEL_LINES_H
#define OFFBUS_KERNEL_LINES_H

#include <stdbool.h>
#include <stddef.h>
"""


def header() -> str:
    """The file."""
    return "\n".join(
        [
            HEAD,
            f"#define LINE_LIMIT {LIMIT} /* of one write, prefix and line end included */",
            f"#define XID_LEVEL {XidLine.level}",
            f"#define RESET_LEVEL {ResetLine.level}",
            f"#define RESET_LINE {_literal(_marked(reset_line(GPU_UUID)))}",
            "",
            *_function("line_opening(unsigned dialect)", "dialect", _openings()),
            "/* 0: of a GPU that is gone without an XID. As drivers before R575 wrote it where newer ones differ. */",
            *_function("line_of_driver(unsigned xid, bool before_r575)", "xid", _lines()),
            "#endif",
            "",
        ]
    )


def _function(signature: str, chosen_by: str, cases: Iterator[str]) -> list[str]:
    switch = [
        f"  switch ({chosen_by}) {{",
        *(f"    {case}" for case in cases),
        "    default: return NULL;",
        "  }",
    ]
    return [f"static inline const char *{signature} {{", *switch, "}", ""]


def _openings() -> Iterator[str]:
    for number, dialect in zip(count(), Dialect, strict=False):
        line = driver_line(dialect=dialect, fault=FAULT, line=f"{WORD}{REST}", at_ns=TIME_NS)
        opening = _literal(_marked(line.removesuffix(f"{WORD}{REST}")))
        yield f"case {number}: return {opening}; /* {dialect.value} */"


def _lines() -> Iterator[str]:
    for entry in (lookup(NO_XID), *catalogue().values()):
        yield f"case {entry.number}: return {_line(entry)};"


def _line(entry: Xid) -> str:
    newer, older = (_of_driver(entry, driver) for driver in (None, FIRST_R575 - 1))
    return newer if newer == older else f"before_r575 ? {older}\n                                 : {newer}"


def _of_driver(entry: Xid, driver: int | None) -> str:
    line = entry.line(pci=ADDRESS, gpu=INDEX, driver=driver)
    if not line.startswith(WORD):
        raise ValueError(f"XID {entry.number}: no opening fits a line that begins otherwise than {WORD!r}")
    return _literal(_marked(line))


def _marked(line: str) -> str:
    for field, mark in FIELDS.items():
        line = line.replace(field, mark)
    return line


def _literal(text: str) -> str:
    """Lines hold printable ASCII without backslash (`line.checked`)."""
    quoted = text.replace('"', '\\"')
    return f'"{quoted}"'
