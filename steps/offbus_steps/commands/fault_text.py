"""How a catalogued fault looks on a terminal: one line of a list, or a page."""

from collections.abc import Iterator, Sequence
from textwrap import wrap

import click

from offbus_steps.commands.fault_entry import CodeFact, FaultEntry, OracleFact

__all__ = ["listed", "page"]

WIDTH = 100
LABEL = 16
COLOURS = {"critical": "red", "high": "red", "medium": "yellow", "low": "green"}
HEAD = ("number", "severity", "cordons", "NVSentinel", "CUDA", "NVML", "planes", "name")


def listed(entries: Sequence[FaultEntry]) -> Iterator[str]:
    """One line for each, and what else there is to ask."""
    rows = [_row(one) for one in entries]
    widths = [max(map(len, column)) for column in zip(HEAD, *rows, strict=True)]
    if rows:
        yield click.style(_aligned(HEAD, widths), bold=True)
    for row in rows:
        line = _aligned(row, widths)
        yield click.style(line, fg=COLOURS[row[1]]) if row[1] in COLOURS else line
    yield f"{len(rows)} faults; `offbus xid NUMBER` explains one, `--kind all` lists those of NVSwitches, too"


def _row(one: FaultEntry) -> tuple[str, ...]:
    codes = (str(code.number) if code else "-" for code in (one.cuda, one.nvml))
    number, cordons = str(one.number or "-"), "yes" if one.cordons else "no"
    return (number, one.severity, cordons, one.action, *codes, ",".join(one.planes), one.name)


def _aligned(row: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = (f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))
    return "  ".join([row[0].rjust(len(first)), *others]).rstrip()


def page(one: FaultEntry) -> str:
    """Everything that is known of it, with sources."""
    return "\n".join(_lines(one))


def _lines(one: FaultEntry) -> Iterator[str]:
    heading = {"xid": f"XID {one.number}", "sxid": f"SXID {one.number}", "fallen-off": "no XID"}[one.kind]
    yield click.style(f"{heading}  {one.name}", bold=True)
    yield one.title
    yield ""
    yield from _kernel_line(one)
    yield from _fact("shows on", ", ".join(one.planes))
    if one.kind == "xid":
        yield from _code("CUDA", one.cuda, "processes see nothing of it")
        yield from _code("codes: guide", one.guide_cuda, "")
        yield from _code("NVML", one.nvml, "goes on working")
        yield from _processes(one)
        yield from _severity(one)
    yield from _fact("node", _node(one))
    yield from _fact("note", one.note)
    yield from _oracles(one.oracles)
    yield from _drills(one)


def _kernel_line(one: FaultEntry) -> Iterator[str]:
    whence = {
        "driver": "as the driver prints it" + (", in one line" if one.kind == "fallen-off" else ""),
        "catalogue": "no driver's text is known: the catalogue's title stands for it",
        "guide": "the NVSwitch driver's form, with the name of NVIDIA's guide",
        "unknown": "how the driver words it is not known, so offbus writes none",
    }[one.line_from]
    yield f"kernel line ({whence})"
    for line in filter(None, (one.line, one.line_before_r575)):
        yield f"  {line}{'   (before R575)' if line == one.line_before_r575 else ''}"
    yield ""


def _code(label: str, code: CodeFact | None, otherwise: str) -> Iterator[str]:
    if code is not None:
        yield from _fact(label, f"{code.number} {code.name}")
        yield from _fact("", code.why)
    else:
        yield from _fact(label, otherwise)


def _processes(one: FaultEntry) -> Iterator[str]:
    if one.cuda is None:
        return
    hit = "keep failing until they end (sticky)" if one.sticky else "fail while it is armed"
    new = "new ones fail, too" if one.new_processes else "new ones work"
    yield from _fact("processes", f"{hit}; {new}; mode {one.mode}")


def _severity(one: FaultEntry) -> Iterator[str]:
    if one.guides is None:
        yield from _fact("severity", "unknown: no published guide says")
        return
    other = f"; {one.guides.hardware_severity} (hardware guide)" if one.guides.hardware_severity else ""
    yield from _fact("severity", f"{one.guides.severity} (testing guide){other}")
    waits = (
        f"wait {one.guides.wait_after_injection} after the injection, {one.guides.wait_after_recovery} after"
    )
    yield from _fact("recovery", f"{one.guides.recovery_time}; {waits} the recovery")
    yield from _fact("", "As the testing guide tells it: information, nothing goes by it.")


def _node(one: FaultEntry) -> str:
    if not one.cordons:
        return "not cordoned: NVSentinel recommends NONE"
    without = one.action_without_metadata
    other = f" ({without} where its metadata does not list the GPU)" if without != one.action else ""
    return f"cordoned by NVSentinel: {one.action}{other}"


def _oracles(oracles: Sequence[OracleFact]) -> Iterator[str]:
    if not oracles:
        return
    yield ""
    yield click.style("who would do what", bold=True)
    width = max(len(one.oracle) for one in oracles)
    for one in oracles:
        nothing = "(none given)" if one.oracle.startswith("nvidia/") else "does not see it"
        yield f"  {one.oracle:<{width}}  {one.says or nothing}"
        if one.sees:
            yield f"  {'':<{width}}  sees: {', '.join(one.sees)}"
        yield click.style(f"  {'':<{width}}  {one.how}: {one.version}; {one.source}", dim=True)


def _drills(one: FaultEntry) -> Iterator[str]:
    yield ""
    yield click.style("drilled by", bold=True)
    if one.drilled_by:
        yield from (f"  {command}" for command in one.drilled_by)
    elif one.kind == "xid":
        yield f"  no shipped scenario; offbus run scenarios/xid.yaml --set xid={one.number}"
    elif one.kind == "fallen-off":
        yield "  no shipped scenario; a step of type inject_xid with xid: 0 injects it"
    else:
        yield "  nothing: it is not injected"


def _fact(label: str, text: str) -> Iterator[str]:
    for number, line in enumerate(wrap(text, WIDTH - LABEL)):
        yield f"{label if number == 0 else '':<{LABEL}}{line}"
