"""Loading a scenario takes work in proportion to its length, whatever is wrong with it. Counted in Python's own
instructions: a clock would measure the machine."""

import sys
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from tests.kits.language.drill_types import drill, findings

STEPS = {
    "in order": "{id: s%d, uses: ask}",
    "a default from an ancestor": "{id: s%d, uses: inject, with: {xid: 79}}",
    "no ancestor for a default": "{id: s%d, uses: inject, needs: [], with: {xid: 79}}",
    "several ancestors for a default": "{id: s%d, uses: deploy}\n{id: i%d, uses: inject, with: {xid: 79}}",
    "an unknown type above": "{id: s%d, uses: dploy}\n{id: i%d, uses: inject, with: {xid: 79}}",
    "an unknown type beside": "{id: s%d, uses: dploy, needs: []}\n{id: i%d, uses: inject, needs: [], with: {xid: 79}}",
    "an expression": '{id: s%d, uses: ask, with: {rate: "${{ 1.0 + 1.0 }}"}, expect: [outputs.success_rate == 1.0]}',
    "a wrong param": "{id: s%d, uses: ask, with: {rate: x}}",
    "an unknown param": "{id: s%d, uses: ask, with: {rite: 1.0}}",
    "the same id": "{id: s, uses: ask}",
    "a need that is not there": "{id: s%d, uses: ask, needs: [nowhere]}",
    "a file": "{id: s%d, uses: read, with: {file: nowhere.txt}}",
}


def work(tmp_path: Path, text: str) -> int:
    """How many instructions it takes to load a scenario and to tell what is wrong with it."""
    count = 0

    def look(frame: FrameType, event: str, _argument: Any) -> Any:
        nonlocal count
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        count += event == "opcode"
        return look

    before = sys.gettrace()
    sys.settrace(look)
    try:
        findings(tmp_path, text)
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize("kind", STEPS)
def test_twice_the_steps_take_twice_the_work(tmp_path: Path, kind: str) -> None:
    def scenario(steps: int) -> str:
        one = STEPS[kind]
        return drill("{id: d, uses: deploy}\n" + "\n".join(one.replace("%d", str(n)) for n in range(steps)))

    findings(tmp_path, scenario(2))  # imports and caches
    few, some, many = (work(tmp_path, scenario(steps)) for steps in (1, 60, 119))
    assert many - some < 1.3 * (some - few)
