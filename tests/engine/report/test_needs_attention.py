"""That a human must act is a field of the report beside its verdict, and is told in the last lines."""

import json
from pathlib import Path
from typing import cast

import pytest

from offbus.journal.events import Event
from offbus.report.fold import Fold
from offbus.report.model import Report
from offbus.report.render.markdown import markdown_report
from offbus.report.render.text import text_report
from offbus.report.spans import plain
from offbus.report.summary import closing_lines
from tests.kits.cli.drill_journal import small

SUPPORT = "XID 74 on node-1: nothing repairs it"
"""What a step says."""


@pytest.fixture
def report(tmp_path: Path) -> Report:
    return small(tmp_path, attention=(SUPPORT, "a second\x1b[31m reason", SUPPORT))[1]


def test_each_reason_is_once_in_the_report_and_changes_neither_verdict_nor_exit_code(report: Report) -> None:
    assert report.needs_attention == [SUPPORT, "a second\x1b[31m reason"]
    assert (report.verdict, report.reasons, report.exit) == ("passed", [], 0)
    assert Report.model_validate_json(report.model_dump_json()) == report


def test_very_many_reasons_are_folded_in_linear_time() -> None:
    """What grows with the square takes longer than a test may."""
    head: dict[str, object] = {
        "v": 2,
        "run": "abcd1234",
        "t": "2026-01-01T00:00:00.000000Z",
        "mono_ns": 1,
        "clock": "c",
    }
    state = Fold()
    for number in range(1, 200_001):
        said = {"seq": number, "kind": "needs_attention", "data": {"reason": f"{'r' * 60}{number}"}}
        state.apply(cast(Event, head | said))
    assert len(state.needs_attention) == 200_000


def test_the_timeline_says_when_it_was_known(report: Report) -> None:
    (first, _, _) = (one for one in report.timeline if one.lane == "attention")
    assert (first.subject, first.what, first.step) == ("a human must act", SUPPORT, "inject")


def test_the_last_lines_say_so_below_the_verdict(report: Report) -> None:
    lines = plain(closing_lines(report, Path("report.json"))).splitlines()
    assert lines[0].startswith("PASSED")
    where = lines.index("needs attention: 2 reasons")
    assert lines[where + 1 : where + 3] == [f"  - {SUPPORT}", "  - a second\\x1b[31m reason"]
    assert lines[-1] == "report: report.json"


def test_text_and_markdown_say_so(report: Report) -> None:
    assert f"needs attention: 2 reasons\n  - {SUPPORT}\n" in plain(text_report(report, Path("report.json")))
    page = markdown_report(report)
    assert page.index("A human must act") < page.index("### Steps")
    assert "\n- XID 74 on node-1\\: nothing repairs it\n" in page
    assert "\x1b" not in page


def test_a_report_without_the_field_is_read(report: Report) -> None:
    told = json.loads(report.model_dump_json())
    del told["needs_attention"]
    old = Report.model_validate(told)
    assert old.needs_attention == []
    assert "attention" not in plain(closing_lines(old, Path("report.json")))
    assert "A human must act" not in markdown_report(old)
