"""Whether what is done with twice as many takes twice the work. Counted in Python's own instructions: a clock would
measure the machine."""

import sys
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import Any

__all__ = ["in_proportion"]


def in_proportion(do: Callable[[int], object], some: int = 60) -> bool:
    """Whether `do` takes work in proportion to the number that it is given."""
    do(2)  # imports and caches
    one, few, many = (_work(partial(do, number)) for number in (1, some, 2 * some - 1))
    return many - few < 1.3 * (few - one)


def _work(do: Callable[[], object]) -> int:
    """How many instructions it takes."""
    count = 0

    def look(frame: FrameType, event: str, _argument: Any) -> Any:
        nonlocal count
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        count += event == "opcode"
        return look

    before = sys.gettrace()
    sys.settrace(look)
    try:
        do()
    finally:
        sys.settrace(before)
    return count
