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
    return killed(base, HEAD)


def killed(base: Path, head: RunStarted) -> UnfinishedRun:
    with create_run(base, "d", "i", RUN) as folder:
        journal = JournalWriter(folder.journal, RUN, SystemClock())
        journal.append(RUN_STARTED(head))
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


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("d", "d"),
        ("drill.v2_x", "drill.v2_x"),
        ("drill[size=4,mode=a b]", "drill-size-4-mode-a-b"),  # a cell's run: its title says its inputs
        ("drill[url=https://x.example/\u00e4]", "drill-url-https-x.example"),
        ("../../x", "x"),
        ("\x1b[2J\n::error::x", "2J-error-x"),
        (".hidden", "hidden"),
        ("-rf", "rf"),
        ("[\u00e4]", "run"),
        ("", "run"),
        ("x" * 5000, "x" * 64),
        ("x" * 63 + "--y", "x" * 63),
    ],
)
def test_a_run_is_brought_here_whatever_its_name_is(
    base: Path, tmp_path: Path, name: str, folder: str
) -> None:
    """Its name is for people: what was left behind is undone from here under any."""
    run = killed(tmp_path / "gone", {**HEAD, "name": name})
    recover_found(base, run, settle=False)
    [found] = runs_in(base)
    assert found.path.name.partition("-")[2] == f"{folder}-{RUN}"
    assert found.report.exists()
