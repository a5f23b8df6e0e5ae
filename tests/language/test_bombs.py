# ruff: noqa: E501  (a table: one case a line)
"""Files that are made to be costly end in findings, in little memory and time: each is read by a process of its own.

A file may have two MiB, so many values, so many findings and so many expressions. The time has a watchdog alone; the
memory is the most that the process has had, by /proc/PID/status (ru_maxrss begins with that of the parent).
"""

import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from offbus.findings.model import MOST
from offbus.language.syntax.source import LARGEST
from tests.kits.language.drill_types import drill

SIZE = LARGEST - 4096
MEMORY = 150 << 20
WATCHDOG_S = 60
READ = """
import re, sys
from pathlib import Path
from offbus.findings.invalid_scenario import InvalidScenario
from offbus.language.load import load_scenario
from tests.kits.language.drill_types import registry
known = registry()
try:
    load_scenario(Path(sys.argv[1]), registry=known)
except InvalidScenario as err:
    codes = [finding.code.value for finding in err.findings]
    print(len(codes), codes[-1], re.search("VmHWM:\\\\s+(\\\\d+) kB", Path("/proc/self/status").read_text())[1])
"""
HEAD = "offbus: 1\nname: x\n"
N = HEAD + "inputs: {n: {type: integer, default: 1}}\n"


def filled(text: str, room: int = SIZE) -> str:
    """So many of a text as fit."""
    return text * (room // len(text))


def numbered(text: str, count: int) -> str:
    return "".join(text.format(number) for number in range(count))


BOMBS: Mapping[str, tuple[str, Callable[[], str]]] = {
    "open brackets": ("OB112", lambda: HEAD + "summary: " + filled("[")),
    "a list": ("OB101", lambda: HEAD + f"summary: [{filled('x,')}]\n"),
    "keys": ("OB101", lambda: HEAD + numbered("k{0}: 1\n", SIZE // 12)),
    "wrong items": ("OB115", lambda: HEAD + "expect: [" + filled("1,", 39_000) + "]\nsteps: [1]\n"),
    "keys of inputs": ("OB101", lambda: HEAD + "inputs: {" + numbered("k{0}: 1,", 70_000) + "}\nsteps: [1]\n"),
    "one key": ("OB115", lambda: HEAD + filled("k: 1\n")),
    "booleans of 1.1": ("OB115", lambda: HEAD + f"summary: [{filled('on,')}]\n"),
    "anchors": ("OB101", lambda: HEAD + f"summary: [{filled('&a x,')}]\n"),
    "steps": ("OB115", lambda: HEAD + "steps:\n" + filled("  - {id: a, uses: x}\n", 390_000)),
    "needs": ("OB115", lambda: drill(f"{{id: a, uses: deploy, needs: [{filled('zz,', 59_000)}]}}")),
    "wrong expressions": ("OB115", lambda: drill("{id: a, uses: deploy}") + f"expect: [{filled('a>b,', 79_000)}]\n"),
    "right expressions": (
        "OB101",
        lambda: drill("{id: a, uses: deploy}") + "expect: [" + numbered("{0}<200000,", 19_000) + "]\n",
    ),
    "expressions in a text": (
        "OB115",
        lambda: drill('{id: a, uses: ask, with: {node: "' + filled("${{ a }} ") + '"}}'),
    ),
    "unquoted expressions": ("OB102", lambda: drill("{id: a, uses: ask, with: {" + filled("${{ a }},") + "}}")),
    "an axis": ("OB603", lambda: drill("{id: a, uses: deploy}", N[len(HEAD) :] + "matrix: {n: [" + numbered("{0},", 19_000) + "]}\n")),
    "an empty file": ("OB200", lambda: filled("\n") + "name: x\n"),
    "a text": ("OB203", lambda: HEAD + f"steps: {filled('x')}\n"),
}  # fmt: skip


@pytest.mark.parametrize(("code", "made"), BOMBS.values(), ids=BOMBS.keys())
def test_a_bomb_ends_in_findings_in_little_memory(code: str, made: Callable[[], str], tmp_path: Path) -> None:
    file = tmp_path / "drill.yaml"
    file.write_text(made())
    assert file.stat().st_size <= LARGEST
    ran = subprocess.run(
        [sys.executable, "-c", READ, str(file)],
        capture_output=True,
        text=True,
        timeout=WATCHDOG_S,
        check=True,
    )
    count, last, most_kib = ran.stdout.split()
    assert int(count) <= MOST + 1
    assert last == code
    assert int(most_kib) << 10 <= MEMORY
