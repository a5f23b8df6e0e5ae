"""`offbus run --resume`: what a play left is recovered, what passed is not played again, and nothing is believed."""

import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.kits.cli.left_runs import LONG, Commands, Gate, ended
from tests.kits.cli.matrices import played, runs_of, scenario, summary


def test_a_killed_play_is_resumed_after_it_was_recovered(commands: Commands) -> None:
    file = scenario(commands, "{n: [1, 2], include: [{n: 3, secs: 600.0}]}")
    process = commands.start("run", file, line="slow      started: wait", times=3)
    process.kill()
    process.communicate(timeout=LONG)
    assert [cell["state"] for cell in summary(commands)["cells"]] == ["ended", "ended", "running"]
    folder = played(commands)
    other = commands.call("run", file, "--resume", folder, "--set", "n=1")
    assert (other.returncode, "recovered run" in other.stdout) == (3, True), other.stderr
    assert [(cell["state"], cell["because"]) for cell in summary(commands)["cells"]][2] == (
        "not_played",
        "it was killed",
    )
    changed = file.read_text()
    file.write_text(changed.replace("600.0", "0.2"))
    refused = commands.call("run", file, "--resume", folder)
    assert (refused.returncode, "is not the one that was played" in refused.stderr) == (2, True)
    assert len(list(commands.runs.glob("*-many.*"))) == 3


def test_a_ctrl_c_while_what_was_left_is_recovered_plays_no_cell(commands: Commands) -> None:
    file = scenario(commands, "{n: [1], include: [{n: 3, secs: 600.0}]}")
    process = commands.start("run", file, line="slow      started: wait", times=2)
    process.kill()
    process.communicate(timeout=LONG)
    world = commands.folder / "world.json"
    held = world.read_text()
    gate = Gate(world)
    again = commands.begin("run", file, "--resume", played(commands), "--view", "lines")
    gate.reached()
    again.send_signal(signal.SIGINT)
    gate.pass_with(held)
    out = ended(again)
    assert again.returncode == 130, out
    assert "residue: none" in out
    assert "interrupted by SIGINT: no cell was played" in out
    assert len(runs_of(commands)) == 2
    assert world.read_text() == "{}"


def test_a_folder_is_played_by_one_at_a_time(commands: Commands) -> None:
    """Each would write its own `matrix.json`, and play what the other plays."""
    file = scenario(commands, "{n: [1], include: [{n: 3, secs: 600.0}]}")
    process = commands.start("run", file, line="slow      started: wait", times=2)
    folder = played(commands)
    was = (folder / "matrix.json").read_text()
    refused = commands.call("run", file, "--resume", folder)
    assert refused.returncode == 3
    assert f"the play {folder} is held by process {process.pid} of" in refused.stderr
    assert (folder / "matrix.json").read_text() == was
    process.send_signal(signal.SIGINT)
    ended(process)
    assert process.returncode == 130
    assert commands.call("run", file, "--resume", folder, "--set", "n=1").returncode == 130  # as n=3 ended


def test_what_has_passed_is_not_played_again(commands: Commands) -> None:
    file = scenario(commands, "{n: [1, 2, 3]}", expect="inputs.n != 2")
    assert commands.call("run", file).returncode == 1
    folder = played(commands)
    again = commands.call("run", file, "--resume", folder, "--view", "lines")
    assert again.returncode == 1
    assert [one["cell"] for one in runs_of(commands)] == ["n-1", "n-2", "n-3", "n-2"]
    assert "cell 2 of 3: many[n=2]" in again.stdout
    assert again.stdout.count("cell ") == 1


@pytest.mark.parametrize(
    ("file", "says"),
    [
        ("not json", "is no report of a matrix"),
        ("[" * 100_000, "is no report of a matrix"),
        (json.dumps({"format": 1, "matrix": "x"}), "is no report of a matrix"),
    ],
)
def test_a_folder_with_something_else_is_refused(commands: Commands, file: str, says: str) -> None:
    folder = commands.folder / "matrix"
    folder.mkdir(mode=0o700)
    (folder / "matrix.json").write_text(file)
    refused = commands.call("run", scenario(commands, "{n: [1]}"), "--resume", folder)
    assert (refused.returncode, says in refused.stderr) == (2, True), refused.stderr


def test_a_folder_that_others_can_write_is_refused(commands: Commands) -> None:
    file = scenario(commands, "{n: [1, 2]}", expect="inputs.n != 2")
    commands.call("run", file)
    folder = played(commands)
    folder.chmod(0o777)
    (folder / "matrix.json").chmod(0o666)
    refused = commands.call("run", file, "--resume", folder)
    assert (refused.returncode, "chmod go-w" in refused.stderr) == (2, True), refused.stderr


def forge(commands: Commands, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the report of the play, as whoever restores an archive over it does."""
    report = summary(commands)
    change(report)
    (played(commands) / "matrix.json").write_text(json.dumps(report))


def passed_as(report: dict[str, Any], number: int, other: int) -> None:
    """The claim that a cell passed, with the run of another one that did."""
    cell, real = report["cells"][number], report["cells"][other]
    kept = {key: cell[key] for key in ("id", "name", "inputs")}
    cell.update({**real, **kept})


def test_a_folder_that_says_that_all_passed_passes_nothing(commands: Commands) -> None:
    """Nobody played it: it came as an archive."""
    file = scenario(commands, "{n: [1, 2]}")
    assert commands.call("run", file).returncode == 0
    folder = shutil.copytree(played(commands), commands.folder / "from-an-archive")
    shutil.rmtree(commands.folder / "state")
    again = commands.call("run", file, "--resume", folder, "--view", "quiet")
    assert [one["cell"] for one in runs_of(commands)] == ["n-1", "n-2"], again.stdout
    assert again.returncode == 0
    assert "2 cells that passed are played again" in again.stderr
    assert "no run that was played here, by this user, shows it" in again.stderr


@pytest.mark.parametrize("other", [0, 1])
def test_a_cell_that_failed_has_not_passed_whatever_the_report_says(commands: Commands, other: int) -> None:
    """With the run of a cell that passed, or with its own."""
    file = scenario(commands, "{n: [1, 2]}", expect="inputs.n != 2")
    assert commands.call("run", file).returncode == 1
    forge(commands, lambda report: passed_as(report, 1, 0))
    if other:
        own = runs_of(commands)[1]["run"]
        forge(
            commands, lambda report: report["cells"][1].update(run=own, folder=str(folder_of(commands, own)))
        )
    again = commands.call("run", file, "--resume", played(commands), "--view", "quiet")
    assert again.returncode == 1, again.stdout
    assert [one["cell"] for one in runs_of(commands)] == ["n-1", "n-2", "n-2"]
    assert "1 cell that passed is played again: n-2" in again.stderr


def folder_of(commands: Commands, run: str) -> Path:
    [folder] = commands.runs.glob(f"*-{run}")
    return folder


def gone(folder: Path) -> None:
    shutil.rmtree(folder)


def torn(folder: Path) -> None:
    journal = folder / "journal.jsonl"
    journal.write_bytes(b"".join(journal.read_bytes().splitlines(keepends=True)[:-1]))


def replaced(folder: Path) -> None:
    """By the journal of another run of the same cell."""
    other = max(folder.parent.glob("*-many.n-1-*"), key=lambda one: one.name)
    shutil.copy(other / "journal.jsonl", folder / "journal.jsonl")


def writable_by_all(folder: Path) -> None:
    folder.chmod(0o777)
    (folder / "journal.jsonl").chmod(0o666)


@pytest.mark.parametrize("spoil", [gone, torn, replaced, writable_by_all])
def test_a_cell_whose_run_does_not_prove_it_is_played_again(
    commands: Commands, spoil: Callable[[Path], None]
) -> None:
    file = scenario(commands, "{n: [1, 2]}")
    assert commands.call("run", file).returncode == 0
    assert commands.call("run", file, "--cell", "n-1").returncode == 0
    before = {one["run"] for one in runs_of(commands)}
    spoil(Path(summary(commands)["cells"][0]["folder"]))
    again = commands.call("run", file, "--resume", played(commands), "--view", "quiet")
    assert again.returncode == 0, again.stderr
    assert "1 cell that passed is played again: n-1" in again.stderr
    assert [one["cell"] for one in runs_of(commands) if one["run"] not in before] == ["n-1"]


def test_a_cell_that_passed_elsewhere_is_played_again(commands: Commands) -> None:
    """The same file with other options of its environment: another cluster."""
    file = scenario(commands, "{n: [1, 2]}")
    assert commands.call("run", file).returncode == 0
    elsewhere = commands.folder / "other.json"
    again = commands.call("run", file, "--resume", played(commands), "--env-set", f"path={elsewhere}")
    assert again.returncode == 0
    assert "2 cells that passed are played again: n-1, n-2" in again.stderr
    assert len(runs_of(commands)) == 4
    third = commands.call("run", file, "--resume", played(commands), "--env-set", f"path={elsewhere}")
    assert (third.returncode, third.stderr, len(runs_of(commands))) == (0, "", 4)


def test_a_cell_that_passed_on_another_cluster_of_the_same_name_is_played_again(commands: Commands) -> None:
    """The same options mean another cluster when a kubeconfig's current context has changed."""
    cluster = commands.folder / "cluster"
    file = scenario(commands, "{n: [1, 2]}")
    call = ("run", file, "--env-set", f"asks={cluster}")
    cluster.write_text("A")
    assert commands.call(*call).returncode == 0
    same = commands.call(*call, "--resume", played(commands))
    assert (same.returncode, same.stderr, len(runs_of(commands))) == (0, "", 2)
    cluster.write_text("B")
    again = commands.call(*call, "--resume", played(commands))
    assert again.returncode == 0
    assert "2 cells that passed are played again: n-1, n-2" in again.stderr
    assert len(runs_of(commands)) == 4


def test_what_is_told_of_a_cell_that_passed_is_what_its_journal_says(commands: Commands) -> None:
    file = scenario(commands, "{n: [1, 2]}", expect="inputs.n != 2")
    assert commands.call("run", file).returncode == 1
    true = summary(commands)["cells"][0]
    lies = {
        "metrics": {"x": 1.0},
        "needs_attention": ["call evil.example"],
        "duration_s": 9e8,
        "verdict": None,
    }
    forge(commands, lambda report: report["cells"][0].update(lies))
    commands.call("run", file, "--resume", played(commands))
    assert summary(commands)["cells"][0] == true


def test_nor_is_a_cell_believed_that_is_not_chosen(commands: Commands) -> None:
    file = scenario(commands, "{n: [1, 2, 3]}", expect="inputs.n != 2")
    assert commands.call("run", file).returncode == 1
    forge(commands, lambda report: passed_as(report, 1, 0))
    again = commands.call("run", file, "--resume", played(commands), "--set", "n=1")
    cells = summary(commands)["cells"]
    assert [(cell["state"], cell["exit"]) for cell in cells] == [
        ("ended", 0),
        ("not_played", None),
        ("ended", 0),
    ]
    assert again.returncode == 3, again.stdout


@pytest.mark.parametrize("moved", [False, True])
def test_a_cell_that_the_play_did_not_begin_with_is_refused(commands: Commands, moved: bool) -> None:
    file = scenario(commands, "{n: [1, 2]}", expect="inputs.n != 2")
    assert commands.call("run", file).returncode == 1
    forge(commands, lambda report: report["cells"].append({**report["cells"][0], "id": "n-9"}))
    folder = played(commands)
    if moved:
        folder = folder.rename(folder.parent / "moved")
    refused = commands.call("run", file, "--resume", folder)
    assert (refused.returncode, "has a cell n-9" in refused.stderr) == (2, True), refused.stderr
    assert len(runs_of(commands)) == 2
