"""Findings on the screen and as JSON."""

import io
import json

import pytest

from offbus.colour import wants_colour
from offbus.errors import UsageError
from offbus.findings.codes import Code
from offbus.findings.invalid_scenario import InvalidScenario
from offbus.findings.model import Finding, Position, Severity, in_order
from offbus.findings.render_text import render
from offbus.findings.suggest import closest


def finding(column: int = 3, end: int = 6, frame: str | None = "a: foo # x", **more: object) -> Finding:
    fields: dict[str, object] = {
        "code": Code.UNKNOWN_KEY,
        "message": "it is wrong",
        "where": Position("d.yaml", 7, column, 7, end),
        "frame": frame,
    }
    return Finding(**(fields | more))  # type: ignore[arg-type]  # a table of fields


def test_a_finding_has_place_code_frame_caret_and_advice() -> None:
    text = render([finding(4, 7, hint="fix it", suggestion="fool")])
    assert text.splitlines() == [
        "d.yaml:7:4: error OB202: it is wrong",
        "    7 | a: foo # x",
        "      |    ^^^",
        "      = did you mean 'fool'?",
        "      = fix it",
    ]


def test_colours_only_when_asked() -> None:
    assert "\x1b[31m" in render([finding()], colour=True)
    assert "\x1b[" not in render([finding()])
    assert "\x1b[33m" in render([finding(severity=Severity.WARNING)], colour=True)


def test_control_characters_of_a_hostile_file_do_not_reach_the_terminal() -> None:
    text = render(
        [finding(frame="a: \x1b[2Jfoo\x07", message="bad \x1b]0;x\x07", hint="\x9b", suggestion="\x00")]
    )
    assert all(char.isprintable() or char == "\n" for char in text)


def test_a_long_line_is_cut_around_the_caret() -> None:
    text = render([finding(5001, 5004, frame="x" * 5000 + "foo" + "y" * 5000)])
    frame, caret = text.splitlines()[1:3]
    assert len(frame) < 140
    assert frame[caret.index("^") : caret.rindex("^") + 1] == "foo"


def test_a_caret_beyond_the_line_is_one_character() -> None:
    assert render([finding(99, 120, frame="abc")]).splitlines()[2].rstrip().endswith("^")


def test_a_finding_about_the_command_line_has_no_frame() -> None:
    text = render([finding(where=Position("--set x=1"), frame=None)])
    assert text == "--set x=1: error OB202: it is wrong"


def test_json_has_stable_keys() -> None:
    found = finding(hint="h").to_json()
    assert json.loads(json.dumps(found)) == {
        "code": "OB202", "severity": "error", "message": "it is wrong", "hint": "h", "suggestion": None,
        "file": "d.yaml", "line": 7, "column": 3, "end_line": 7, "end_column": 6,
        "fix": None,
    }  # fmt: skip


def test_findings_are_sorted_by_place_without_repeats() -> None:
    positions = [Position("d.yaml", line, column) for line, column in ((9, 1), (2, 5), (2, 1), (2, 5))]
    assert [
        (f.where.line, f.where.column) for f in in_order(finding(where=where) for where in positions)
    ] == [
        (2, 1),
        (2, 5),
        (9, 1),
    ]


def test_the_error_is_a_usage_error_that_shows_everything() -> None:
    error = InvalidScenario("d.yaml", [finding(), finding(4, 5)])
    assert isinstance(error, UsageError)
    assert error.summary == "d.yaml is not a valid scenario: 2 findings"
    assert str(error).count("error OB202") == 2
    assert InvalidScenario("d.yaml", [finding()]).summary.endswith("1 finding")


@pytest.mark.parametrize(
    ("word", "meant"),
    [("deplay", "deploy"), ("kernl", "kernel"), ("zzz", None), ("", None)],
    ids=["near", "short", "far", "nothing"],
)
def test_closest(word: str, meant: str | None) -> None:
    assert closest(word, ["deploy", "kernel", "cleanup"]) == meant


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "environ", "wanted"),
    [
        (Terminal(), {}, True),
        (Terminal(), {"NO_COLOR": "1"}, False),
        (Terminal(), {"NO_COLOR": ""}, True),
        (Terminal(), {"TERM": "dumb"}, False),
        (io.StringIO(), {}, False),
        (io.StringIO(), {"FORCE_COLOR": "1"}, True),
    ],
    ids=["terminal", "NO_COLOR", "empty NO_COLOR", "dumb terminal", "pipe", "FORCE_COLOR"],
)
def test_when_colour_is_wanted(stream: io.StringIO, environ: dict[str, str], wanted: bool) -> None:
    assert wants_colour(stream, environ) is wanted
