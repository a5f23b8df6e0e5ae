"""The kernel lines as C, for the kernel-log helper: shim/kmsg_helper/kernel_lines.h.

Job: have the agent's own code make each line of marked fields, and write what stands around them. Nothing of a line is
spelt here. `FIELDS` are the marks by which the helper (line.c) knows where a field goes.
"""

from collections.abc import Iterator
from itertools import count

from offbus_agent.catalogue.catalogue import Xid, catalogue
from offbus_agent.kernel_log.line import LIMIT, Dialect, ResetLine, XidLine, reset_line, xid_line

__all__ = ["header"]

FAULT, ADDRESS, GPU_UUID = "fault-id", "00aa:bb:cc", "GPU-00000000-0000-0000-0000-00000000000f"
TIME_NS, TIME = 1234567_123456789, "1234567.123456"
FIELDS = {FAULT: "\\001", TIME: "\\002", ADDRESS: "\\003", GPU_UUID: "\\005"}
"""What a field is while a line is made -> its mark in the C text. A GPU's index is `INDEX`."""
INDEX = "\x04"
REST = "0, "
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
            "/* As drivers before R575 write it where they differ from newer ones. */",
            *_function("line_text(unsigned xid, bool before_r575)", "xid", _texts()),
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
        line = xid_line(dialect=dialect, fault=FAULT, pci=ADDRESS, text=REST, at_ns=TIME_NS)
        yield f"case {number}: return {_literal(_marked(line.removesuffix(REST)))}; /* {dialect.value} */"


def _texts() -> Iterator[str]:
    for entry in catalogue().values():
        yield f"case {entry.number}: return {_text(entry)};"


def _text(entry: Xid) -> str:
    newer, older = (_literal(text.format(gpu=INDEX)) for text in (entry.text, entry.text_before_r575))
    return newer if newer == older else f"before_r575 ? {older}\n                                 : {newer}"


def _marked(line: str) -> str:
    for field, mark in FIELDS.items():
        line = line.replace(field, mark)
    return line


def _literal(text: str) -> str:
    """Lines hold printable ASCII without backslash (`line.checked`)."""
    quoted = text.replace('"', '\\"').replace(INDEX, "\\004")
    return f'"{quoted}"'
