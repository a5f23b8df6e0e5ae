"""`offbus recover --env NAME` on the machine of the run: from its folder, or from what the environment has stored."""

from pathlib import Path

import pytest

from offbus.abilities import UnfinishedRun
from offbus.cli.handlers.recover_remote import recover_found
from offbus.errors import JournalError
from offbus.journal.kinds import RUN_STARTED
from offbus.journal.reader import read_journal
from offbus.journal.recovery_events import PersistedEvents
from offbus.journal.start_schemas import RunStarted
from offbus.journal.writer import JournalWriter
from offbus.open_run import create_run
from offbus.runner.clock import SystemClock
from offbus.runs import RunFolder, runs_in

RUN = "0123abcd"
HEAD: RunStarted = {
    "name": "d", "summary": "", "scenario": "s", "digest": "0" * 64, "environment": "k", "identity": "i",
    "versions": {}, "steps": [], "expect": [], "timeout_s": 1.0, "undo_timeout_s": 1.0, "host": "h", "pid": 1,
}  # fmt: skip


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "runs"


@pytest.fixture
def stored(base: Path) -> UnfinishedRun:
    """A run that was killed here, as its environment stored it."""
    with create_run(base, "d", "i", RUN) as folder:
        journal = JournalWriter(folder.journal, RUN, SystemClock())
        journal.append(RUN_STARTED(HEAD))
        journal.close()
        return UnfinishedRun(
            RUN, "nobody", tuple(PersistedEvents(read_journal(folder.journal).events).events)
        )


def make_unreadable(folder: RunFolder) -> None:
    with folder.journal.open("r+b") as file:
        file.truncate(1 << 30)


def test_a_journal_that_cannot_be_read_is_replaced_by_what_was_stored(
    base: Path, stored: UnfinishedRun, capsys: pytest.CaptureFixture[str]
) -> None:
    [old] = runs_in(base)
    make_unreadable(old)
    recover_found(base, stored, settle=False)
    [new] = [one for one in runs_in(base) if one.path != old.path]
    assert new.report.exists()
    assert not new.unfinished.exists()
    assert not old.unfinished.exists()
    assert old.journal.exists()
    said = capsys.readouterr().err
    assert "it is larger than 512 MiB" in said
    assert "by what the environment has stored" in said


def test_a_journal_that_can_be_read_is_used(base: Path, stored: UnfinishedRun) -> None:
    recover_found(base, stored, settle=False)
    [folder] = runs_in(base)
    assert folder.report.exists()


@pytest.mark.parametrize("damage", ["the records are damaged", ""])
def test_where_nothing_was_stored_the_journal_is_told(base: Path, stored: UnfinishedRun, damage: str) -> None:
    [folder] = runs_in(base)
    make_unreadable(folder)
    with pytest.raises(JournalError, match="it is larger than 512 MiB"):
        recover_found(base, UnfinishedRun(stored.run, stored.holder, (), damage), settle=False)
    assert folder.unfinished.exists()


def test_a_runner_that_is_alive_keeps_its_run(base: Path, stored: UnfinishedRun) -> None:
    [folder] = runs_in(base)
    make_unreadable(folder)
    with folder.lock(), pytest.raises(JournalError):
        recover_found(base, stored, settle=False)
    assert runs_in(base) == [folder]


def test_a_recovery_from_what_was_stored_that_fails_leaves_the_run_unfinished(
    base: Path, stored: UnfinishedRun
) -> None:
    [folder] = runs_in(base)
    make_unreadable(folder)
    odd = {**stored.events[0], "kind": "phase"}
    with pytest.raises(JournalError):
        recover_found(base, UnfinishedRun(RUN, "nobody", (*stored.events, odd)), settle=False)  # type: ignore[arg-type]  # what is stored may be anything
    assert folder.unfinished.exists()
