"""A run's folder that is open: what is done in it stays in it, wherever its path leads by then."""

import os
import pwd
import re
import stat
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio
import pytest

from offbus.abilities import UnfinishedRun
from offbus.errors import CouldNotRun
from offbus.files import replaceable_by
from offbus.journal.events import EventKind
from offbus.journal.reader import read_journal
from offbus.journal.recovery_events import PersistedEvents
from offbus.open_run import OpenRun, create_run, open_dir, opened
from offbus.recovery.import_run import bring_here
from offbus.recovery.recover import recover
from offbus.run_origin import note, noted
from offbus.runner.run_end import write_report
from offbus.runs import RunFolder
from tests.kits import REPOSITORY
from tests.kits.engine.killed_run import killed_run
from tests.kits.engine.player import Drill
from tests.kits.engine.world_steps import REGISTRY
from tests.kits.virtual_time import VirtualClock

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="giving files away needs root")


@pytest.fixture(autouse=True)
def state_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """A run's folder that holds a file, with a report and a folder."""
    made = RunFolder(tmp_path / "runs" / "20260101T000000Z-a-cafe0001")
    (made.path / "collected").mkdir(parents=True)
    (made.path / "collected" / "log").touch()
    for one in (made.journal, made.unfinished, made.report):
        one.write_text("first")
    return made


@pytest.fixture
def other(tmp_path: Path, folder: RunFolder) -> Path:
    """A folder with the same names, not to be touched."""
    made = tmp_path / "other"
    made.mkdir()
    for one in (folder.journal, folder.unfinished, folder.report, folder.lock_file):
        (made / one.name).write_text("precious")
    return made


def contents(path: Path) -> dict[str, str]:
    return {one.name: one.read_text() for one in path.iterdir()}


def test_everything_that_is_done_is_done_in_the_open_folder(
    folder: RunFolder, other: Path, tmp_path: Path
) -> None:
    note(other, {"a": 1})
    before = contents(other)
    with opened(folder) as run:
        moved = folder.path.rename(tmp_path / "moved")
        folder.path.symlink_to(other)
        assert run.is_elsewhere
        with run.lock():
            assert RunFolder(moved).in_use()
            assert not RunFolder(other).in_use()
            run.replace(run.report, "second")
            run.finish()
        os.close(run.opener(run.journal, os.O_WRONLY | os.O_TRUNC))
        os.close(os.open("new", os.O_CREAT | os.O_WRONLY, 0o600, dir_fd=(below := open_dir(run.path))))
        os.close(below)
    assert contents(other) == before
    assert noted(other, {"a": 1})
    (moved / "collected" / "log").unlink()
    (moved / "collected").rmdir()
    found = contents(moved)
    assert found.pop("lock")
    assert found == {"journal.jsonl": "", "report.json": "second", "new": ""}


def test_a_folder_is_removed_and_not_what_replaced_it(folder: RunFolder, other: Path, tmp_path: Path) -> None:
    before = contents(other)
    with opened(folder) as run:
        moved = folder.path.rename(tmp_path / "moved")
        other.rename(folder.path)
        run.remove()
    assert contents(folder.path) == before
    assert list(moved.iterdir()) == []


def test_a_folder_that_is_where_it_was_is_removed_as_a_whole(folder: RunFolder) -> None:
    with opened(folder) as run:
        run.remove()
    assert list(folder.path.parent.iterdir()) == []


def hard_link(path: Path, victim: Path) -> None:
    path.hardlink_to(victim)


def pipe(path: Path, _victim: Path) -> None:
    os.mkfifo(path)


def symbolic_link(path: Path, victim: Path) -> None:
    path.symlink_to(victim)


@pytest.mark.parametrize("make", [hard_link, pipe, symbolic_link])
def test_a_file_that_is_not_the_folders_own_is_not_written(
    folder: RunFolder, tmp_path: Path, make: Callable[[Path, Path], None]
) -> None:
    """It comes while the folder is open, from who owns it."""
    victim = tmp_path / "victim"
    victim.write_text("precious")
    with opened(folder) as run:
        folder.journal.unlink()
        make(folder.journal, victim)
        for flags in (os.O_WRONLY | os.O_APPEND | os.O_CREAT, os.O_RDWR):
            with pytest.raises(OSError, match=r"not a file of this folder alone|No such device|levels of"):
                run.opener(run.journal, flags)
        make(folder.lock_file, victim)
        with pytest.raises(CouldNotRun, match="cannot lock"):
            run.lock().acquire()
    assert victim.read_text() == "precious"


def test_a_report_has_the_mode_of_any_file(folder: RunFolder) -> None:
    mask = os.umask(0o022)
    try:
        with opened(folder) as run:
            run.replace(run.report, "second")
    finally:
        os.umask(mask)
    assert stat.S_IMODE(folder.report.stat().st_mode) == 0o644


def test_a_new_run_is_alone_in_its_folder(tmp_path: Path) -> None:
    with create_run(tmp_path / "runs", "a", "world") as run:
        assert [one.name for one in run.path.iterdir()] == ["unfinished"]
        assert run.identity == "world"
        assert not run.is_elsewhere


def test_what_is_noted_of_a_folder_is_not_found_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    note(tmp_path / "mine", {"kubeconfig": "a"})
    (tmp_path / "link").symlink_to(tmp_path / "mine")
    assert noted(tmp_path / "mine", {"kubeconfig": "a"})
    assert not noted(tmp_path / "link", {"kubeconfig": "a"})


def test_a_run_that_was_brought_here_ends_in_its_own_folder(
    drill: Callable[..., Drill], tmp_path: Path, other: Path
) -> None:
    played, killed, _lines = killed_run(drill)
    events = PersistedEvents(read_journal(killed.journal).events).events
    before = contents(other)
    with bring_here(tmp_path / "here", UnfinishedRun("cafe0001", "somebody", tuple(events))) as folder:

        def swap(folder: OpenRun, event: dict[str, object]) -> None:
            if event["kind"] == EventKind.ADOPTED:
                folder.path.rename(tmp_path / "moved")
                folder.path.symlink_to(other)

        heard = [partial(swap, folder)]
        report = anyio.run(
            partial(recover, folder, VirtualClock(boot_id="b"), registry=REGISTRY, listeners=heard)
        )
        write_report(report, folder)
        assert played.world == {"one": "before"}
        assert (tmp_path / "moved" / "report.json").exists()
        assert not (tmp_path / "moved" / "unfinished").exists()
        folder.remove()
    assert contents(other) == before
    assert list((tmp_path / "moved").iterdir()) == []


BY_PATH = re.compile(
    r"\.(journal|report|unfinished|lock_file)\.(write_\w+|unlink|open|touch|mkdir|rename|replace|chmod)\("
)


def test_no_code_writes_a_runs_files_by_their_paths() -> None:
    found = [
        f"{path.relative_to(REPOSITORY)}: {match[0]}"
        for part in ("engine", "steps", "sandbox")
        for path in (REPOSITORY / part).rglob("*.py")
        for match in BY_PATH.finditer(path.read_text(encoding="utf-8"))
    ]
    assert found == []


@as_root
def test_a_group_of_one_user_is_nobody_else() -> None:
    """Distributions give each user a group of that name, and new folders are writable for it (umask 002)."""
    users = pwd.getpwall()
    alone = next(u for u in users if u.pw_uid and [one.pw_gid for one in users].count(u.pw_gid) == 1)
    with TemporaryDirectory(dir="/tmp") as reached:
        Path(reached).chmod(0o755)
        mine, shared = Path(reached, "mine"), Path(reached, "shared")
        for path, gid in ((mine, alone.pw_gid), (shared, 0)):
            path.mkdir()
            os.chown(path, alone.pw_uid, gid)
            path.chmod(0o775)
        os.seteuid(alone.pw_uid)
        try:
            assert replaceable_by(mine) is None
            assert replaceable_by(shared) == ("can be written by others (mode 0775)", False)
            assert replaceable_by(Path(reached)) is None
        finally:
            os.seteuid(0)
