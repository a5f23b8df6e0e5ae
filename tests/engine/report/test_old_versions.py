"""Journals and reports that older versions wrote are read as they were meant."""

import pytest

from offbus.journal.reader import read_journal
from offbus.report.fold import fold
from offbus.report.model import Report
from tests.kits import REPOSITORY

JOURNALS = REPOSITORY / "tests/kits/journals"
ENDED = sorted(path.parent for path in JOURNALS.glob("*/*/report.json"))


def test_there_are_some() -> None:
    assert len(ENDED) >= 4


@pytest.mark.parametrize("folder", ENDED, ids=lambda folder: f"{folder.parent.name} {folder.name}")
def test_an_old_journal_folds_to_the_report_that_its_own_version_wrote(folder) -> None:
    journal = read_journal(folder / "journal.jsonl")
    assert journal.damage == []
    written = Report.model_validate_json((folder / "report.json").read_bytes())
    folded = fold(journal.events)
    added = {
        "stops": written.stops,
        "takeovers": written.takeovers,
    }  # since: a report of that version has none
    assert folded.model_copy(update=added) == written
    assert len(folded.stops) == sum(event["kind"] == "stopped" for event in journal.events)
    assert len(folded.takeovers) == sum(event["kind"] == "adopted" for event in journal.events)


def test_what_was_called_mend_is_the_fix() -> None:
    report = Report.model_validate_json((JOURNALS / "0.1.0/changed_by_another/report.json").read_bytes())
    assert {one.fix for one in report.residue} == {"offbus recover 57abe469"}
    assert {"fix"} == {key for one in report.model_dump()["residue"] for key in one} - {"item", "detail"}
