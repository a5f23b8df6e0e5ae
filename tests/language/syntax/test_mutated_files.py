"""Files that are almost scenarios: changed here and there, they have findings or none, never a traceback, never an end
that does not come.

How many: 500 by default, 5,000 in CI, 100,000 in `make test-long` (OFFBUS_SCENARIOS). In
this process, so that a failure shows its file; a file that does not end fails its test by a watchdog.
"""

import os
import random
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import pytest

from offbus.findings.invalid_scenario import InvalidScenario
from offbus.findings.render_text import render
from offbus.language.load import load_cells
from tests.kits import REPOSITORY
from tests.kits.language.drill_types import registry
from tests.language.syntax.test_any_file import SNIPPETS, VALID

CASES = int(os.environ.get("OFFBUS_SCENARIOS", "500"))
PARTS = 20
WATCHDOG_S = 30
"""For one file, which takes some hundredths of a second."""
WORDS = [
    *SNIPPETS,
    *("${{", "}}", "when: ", "expect: [", "needs: [", "matrix: {n: [1, 2]}", "uses: "),
    *("9" * 400, "(" * 70, "\r", "\x85", "\ufeff"),
]
FILES = [
    VALID,
    *((REPOSITORY / "scenarios" / name).read_text() for name in ("xid79.yaml", "xid.yaml", "first.yaml")),
]


def mutated(rng: random.Random) -> str:
    text = rng.choice(FILES)
    for _ in range(rng.randint(1, 6)):
        at, cut = rng.randrange(len(text) + 1), rng.choice([0, 0, 1, 3, 20])
        other = rng.randrange(len(text) + 1)
        put = rng.choice(
            [rng.choice(WORDS), text[other : other + rng.randint(1, 40)], chr(rng.randrange(1, 0x300))]
        )
        text = text[:at] + put + text[at + cut :]
    return text


@contextmanager
def watched(text: str) -> Iterator[None]:
    """Fails with the file when its reading does not end."""

    def hangs(_number: int, _frame: FrameType | None) -> None:
        pytest.fail(f"it does not end: {text!r}")

    before = signal.signal(signal.SIGALRM, hangs)
    signal.alarm(WATCHDOG_S)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("part", range(PARTS))
def test_they_have_findings_or_none(part: int) -> None:
    rng = random.Random(part)
    for _ in range(CASES // PARTS):
        text = mutated(rng)
        with watched(text):
            try:
                load_cells(Path("drill.yaml"), registry=registry(), data=text.encode())
            except InvalidScenario as err:
                shown = render(err.findings)
                assert all(char.isprintable() or char == "\n" for char in shown), repr(text)
            except Exception as err:
                raise AssertionError(repr(text)) from err
