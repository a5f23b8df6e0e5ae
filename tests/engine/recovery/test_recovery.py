"""`recover` finishes what a killed runner left, from any prefix of its journal, any number of times."""

import shutil

import pytest

from offbus.errors import CouldNotRun
from offbus.exits import Exit
from offbus.journal.lock import HeldElsewhere
from offbus.journal.reader import read_journal
from offbus.plugins import Registry
from offbus.recovery.recover import plan_recovery
from offbus.runs import RunFolder
from tests.kits.engine.killed_run import whole_run
from tests.kits.engine.player import finish
from tests.kits.engine.world_steps import REGISTRY


def killed_after(played, number, lines, worlds, torn=b""):
    folder = RunFolder(played.folder / f"20260101T000000Z-drill-{number:08d}")
    folder.path.mkdir()
    folder.unfinished.touch()
    folder.journal.write_bytes(b"".join(lines[:number]) + torn)
    played.storage.items = worlds[number - 1]
    return folder


@pytest.mark.guarantee("G1")
@pytest.mark.parametrize("torn", [b"", b'{"v":1,"seq":'], ids=["clean cut", "torn last line"])
def test_killed_after_any_event_the_world_is_as_before(drill, torn):
    played, worlds, lines = whole_run(drill)
    for number in range(1, len(lines)):
        folder = killed_after(played, number, lines, worlds, torn)
        report = finish(folder)
        assert played.world == {"one": "before"}, f"killed after event {number}"
        assert report.residue == []
        assert report.exit == Exit.COULD_NOT_RUN
        assert not folder.unfinished.exists()
        assert read_journal(folder.journal).damage == []
        shutil.rmtree(folder.path)


@pytest.mark.guarantee("G2")
def test_an_effect_that_was_not_begun_is_left_alone(drill):
    played, worlds, lines = whole_run(drill)
    number = next(n for n, line in enumerate(lines, 1) if b'"describe":"restore two"' in line)
    folder = killed_after(played, number, lines, worlds)
    report = finish(folder)
    assert {undo.describe: undo.result for undo in report.undos}["restore two"] == "nothing"


@pytest.mark.guarantee("G2")
def test_recovering_twice_changes_nothing_more(drill):
    played, worlds, lines = whole_run(drill)
    folder = killed_after(played, len(lines) // 2, lines, worlds)
    first = finish(folder)
    size = folder.journal.stat().st_size
    assert finish(folder) == first
    assert folder.journal.stat().st_size == size


@pytest.mark.guarantee("G2")
def test_a_recovery_that_was_killed_itself_is_recovered(drill):
    played, worlds, lines = whole_run(drill)
    half = len(lines) // 2
    folder = killed_after(played, half, lines, worlds)
    later = []
    finish(folder, heard=[lambda _event: later.append(dict(played.world))])
    again = folder.journal.read_bytes().splitlines(keepends=True)
    assert len(again) == half + len(later)
    for number, world in enumerate(later[:-1], start=half + 1):
        folder.journal.write_bytes(b"".join(again[:number]))
        folder.unfinished.touch()
        played.storage.items = world
        report = finish(folder)
        assert (played.world, report.residue) == ({"one": "before"}, [])


@pytest.mark.guarantee("G17")
def test_two_recoveries_exclude_each_other(drill):
    played, worlds, lines = whole_run(drill)
    folder = killed_after(played, len(lines) // 2, lines, worlds)
    with folder.lock(), pytest.raises(HeldElsewhere, match="held by process"):
        finish(folder)


def test_a_missing_undo_type_is_residue_that_names_its_package(drill):
    played, worlds, lines = whole_run(drill)
    number = next(
        n for n, line in enumerate(lines, 1) if b'"phase"' in line and b'"undo"' in line and b'"name"' in line
    )
    folder = killed_after(played, number, lines, worlds)
    bare = Registry.of(environments={"world": REGISTRY.environment_type("world")})
    report = finish(folder, registry=bare)
    assert report.exit == Exit.RESIDUE
    assert any("cannot be loaded here" in one.detail and "install" in one.fix for one in report.residue)
    assert finish(folder).residue == []


def test_a_place_that_is_proven_to_be_gone_took_what_the_run_did_with_it(drill, tmp_path_factory):
    played, worlds, lines = whole_run(drill)
    cut = next(n for n, line in enumerate(lines, 1) if b'"name":"undo"' in line)
    folder = killed_after(played, cut, lines, worlds)
    kept = RunFolder(folder.path.rename(tmp_path_factory.mktemp("kept") / folder.path.name))
    shutil.rmtree(played.folder)
    report = finish(kept, registry=Registry.of(environments={"world": REGISTRY.environment_type("world")}))
    assert {(undo.result, undo.tries[-1].detail) for undo in report.undos} == {
        ("nothing", "the world has ended")
    }
    assert (report.exit, report.residue, kept.unfinished.exists()) == (Exit.COULD_NOT_RUN, [], False)


def test_a_run_that_ended_before_its_first_event_has_nothing_to_undo(tmp_path):
    folder = RunFolder(tmp_path / "20260101T000000Z-drill-cafe0001")
    folder.path.mkdir()
    folder.unfinished.touch()
    folder.journal.touch()
    with pytest.raises(CouldNotRun, match="nothing to undo"):
        finish(folder)
    assert not folder.unfinished.exists()


def test_the_plan_of_a_recovery_changes_nothing(drill):
    played, worlds, lines = whole_run(drill)
    folder = killed_after(played, len(lines) // 2, lines, worlds)
    before = (folder.journal.read_bytes(), played.world)
    plan = plan_recovery(folder, REGISTRY)
    assert [entry.undo.describe() for entry in plan.entries]
    assert (folder.journal.read_bytes(), played.world) == before
