"""Draws docs/picture.svg, the README's picture, from the journal of a real run.

    python docs/make_picture.py RUN-FOLDER [STEP]

It shows the live view right after STEP (default: drain) ended, and below it the closing lines of the run. The
program's own code renders both from the journal, so the picture shows only what the program prints.
"""

import re
import sys
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

from offbus.cli.views.layout import lay_out
from offbus.cli.views.live import STYLES
from offbus.cli.views.run_state import Board
from offbus.cli.views.sections import header, sections
from offbus.cli.views.theme import UNICODE
from offbus.journal.events import Event, EventKind
from offbus.journal.kinds import RUN_STARTED
from offbus.journal.reader import read_journal
from offbus.report.fold import fold
from offbus.report.spans import Line
from offbus.report.summary import closing_lines

WIDTH, HEIGHT = 110, 40
PICTURE = Path(__file__).parent / "picture.svg"
REPORT = Path("~/.local/state/offbus/runs/…/report.json")
"""The report's path, without naming a real machine's."""
THEME = TerminalTheme(
    (24, 26, 31),
    (201, 205, 212),
    [
        (24, 26, 31),
        (224, 108, 117),
        (126, 192, 110),
        (219, 180, 92),
        (97, 160, 239),
        (190, 120, 221),
        (86, 182, 194),
        (201, 205, 212),
    ],
)


def frame(events: list[Event], step: str) -> list[Line]:
    """The live view right after a step ended."""
    ended = [one["seq"] for one in events if one["kind"] == EventKind.STEP_ENDED and one.get("step") == step]
    if not ended:
        raise SystemExit(f"make_picture: step {step} did not end in this run")
    seen = [one for one in events if one["seq"] <= ended[0]]
    board = Board(RUN_STARTED.data(seen[0])["name"], [], lambda: seen[-1]["mono_ns"])
    for one in seen:
        board.apply(one)
    return lay_out(header(board), sections(board, UNICODE), WIDTH, HEIGHT, UNICODE)


def text(line: Line) -> Text:
    """Converts one of our lines to rich's."""
    shown = Text(no_wrap=True)
    for span in line:
        shown.append(span.text, STYLES[span.tone])
    return shown


def main(folder: Path, step: str) -> None:
    """Draw."""
    events = list(read_journal(folder / "journal.jsonl").events)
    lines = [*frame(events, step), [], *closing_lines(fold(events), REPORT)]
    with Path("/dev/null").open("w") as nowhere:
        console = Console(file=nowhere, record=True, width=WIDTH, force_terminal=True, highlight=False)
        for line in lines:
            console.print(text(line), soft_wrap=True)
    svg = console.export_svg(title="offbus run scenarios/xid79.yaml", theme=THEME, unique_id="offbus")
    # Without rich's web font: a picture in a repository fetches nothing.
    svg = re.sub(r"\s*@font-face \{.*?\}", "", svg, flags=re.DOTALL).replace(
        "Fira Code", "ui-monospace, Menlo, Consolas"
    )
    PICTURE.write_text(svg, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *(sys.argv[2:] or ["drain"]))
