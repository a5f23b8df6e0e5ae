"""`offbus run` of a matrix: every cell a run of its own, one report of all; stopped, killed and resumed."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.kits.cli.left_runs import LONG, Commands

FAULT = "  - {id: fault, uses: set_key, with: {key: f, fault: true, undo: disarm}}\n"


def scenario(commands: Commands, matrix: str, *, expect: str = "true", place: str = "world.json") -> Path:
    path = commands.folder / "many.yaml"
    path.write_text(
        "offbus: 1\nname: many\n"
        "inputs: {n: {type: integer, default: 0}, secs: {type: number, default: 0.0}}\n"
        f"matrix: {matrix}\n"
        f"environment: {{uses: world, path: {commands.folder / place}}}\nsteps:\n{FAULT}"
        '  - {id: slow, uses: wait, timeout: 1h, with: {seconds: "${{ inputs.secs }}"}}\n'
        f"expect: ['inputs.n >= 0 && inputs.secs >= 0.0 && ({expect})']\n"
    )
    return path


def summary(commands: Commands) -> dict[str, Any]:
    [path] = commands.runs.glob("*-many-matrix-*/matrix.json")
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def runs_of(commands: Commands) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(commands.runs.glob("*/report.json"))]


def test_every_cell_is_a_run_of_its_own_and_one_report_has_them_all(commands: Commands) -> None:
    done = commands.call(
        "run", scenario(commands, "{n: [1, 2], include: [{n: 5, secs: 0.1}]}"), "--view", "quiet"
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "PASSED  many  3 of 3 cells passed" in done.stdout
    reports = runs_of(commands)
    assert [(one["name"], one["cell"], one["inputs"]) for one in reports] == [
        ("many[n=1]", "n-1", {"n": 1, "secs": 0.0}),
        ("many[n=2]", "n-2", {"n": 2, "secs": 0.0}),
        ("many[n=5,secs=0.1]", "n-5.secs-0.1", {"n": 5, "secs": 0.1}),
    ]
    found = summary(commands)
    assert (found["exit"], found["ended"] is not None) == (0, True)
    assert [(cell["id"], cell["run"], cell["verdict"]) for cell in found["cells"]] == [
        (one["cell"], one["run"], "passed") for one in reports
    ]
    assert all(Path(cell["folder"], "journal.jsonl").exists() for cell in found["cells"])


def test_a_wrong_expectation_in_one_cell_fails_that_cell_alone(commands: Commands) -> None:
    file = scenario(commands, "{n: [1, 2, 3]}", expect="inputs.n != 2")
    done = commands.call("run", file, "--view", "quiet")
    assert done.returncode == 1
    assert [(cell["id"], cell["exit"]) for cell in summary(commands)["cells"]] == [
        ("n-1", 0),
        ("n-2", 1),
        ("n-3", 0),
    ]
    assert "FAILED  many  2 of 3 cells passed" in done.stdout
    assert f"play the others: offbus run {file} --resume {commands.runs}/" in done.stdout


def test_no_report_has_the_password_of_a_url_that_an_input_holds(commands: Commands) -> None:
    file = scenario(
        commands, "{url: ['https://user:hunter2@a.example/x', 'https://user:hunter3@a.example/x']}"
    )
    file.write_text(file.read_text().replace("inputs: {", "inputs: {url: {type: string, default: x}, "))
    done = commands.call("run", file)
    assert done.returncode == 0, done.stderr
    assert len(summary(commands)["cells"]) == 2
    kept = "".join(path.read_text() for path in commands.runs.rglob("*.json*"))
    shown = (
        done.stdout
        + commands.call("matrix", file).stdout
        + commands.call("plan", file, "--format", "json").stdout
    )
    assert "hunter" not in kept + shown + "".join(map(str, commands.runs.iterdir()))


def test_fail_fast_plays_no_further_cell(commands: Commands) -> None:
    done = commands.call("run", scenario(commands, "{n: [1, 2], fail_fast: true}", expect="inputs.n != 1"))
    assert done.returncode == 1
    last = summary(commands)["cells"][1]
    assert (last["state"], last["exit"], last["because"]) == (
        "not_played",
        None,
        "a cell did not pass (fail_fast)",
    )
    assert len(runs_of(commands)) == 1


def test_one_cell_by_its_id_is_a_run_like_any_other(commands: Commands) -> None:
    file = scenario(commands, "{n: [1, 2]}")
    assert commands.call("run", file, "--cell", "n-2").returncode == 0
    assert [one["cell"] for one in runs_of(commands)] == ["n-2"]
    assert not list(commands.runs.glob("*matrix*"))
    refused = commands.call("run", file, "--cell", "n-3")
    assert (refused.returncode, "there is no cell 'n-3'" in refused.stderr) == (2, True)


def test_a_cell_that_cannot_run_is_that_cells_exit_and_the_others_are_played(commands: Commands) -> None:
    file = scenario(commands, "{n: [1, 2]}")
    refusing = file.read_text().replace(
        "{uses: world,", "{uses: world, refuse: \"${{ inputs.n == 1 ? 'it is full' : '' }}\","
    )
    file.write_text(refusing)
    done = commands.call("run", file, "--view", "quiet")
    found = [(cell["id"], cell["exit"]) for cell in summary(commands)["cells"]]
    assert (done.returncode, found) == (3, [("n-1", 3), ("n-2", 0)])


def test_a_signal_ends_the_cell_that_runs_properly_and_begins_none(commands: Commands) -> None:
    file = scenario(commands, "{n: [1, 2], include: [{n: 3, secs: 600.0}], exclude: [{n: 1}]}")
    process = commands.start("run", file, line="slow      started: wait", times=2)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=LONG)
    assert process.returncode == 130, out
    cells = summary(commands)["cells"]
    assert [(cell["id"], cell["exit"]) for cell in cells] == [("n-2", 0), ("n-3.secs-600.0", 130)]
    assert '"f"' not in (commands.folder / "world.json").read_text()


def test_a_killed_play_is_resumed_after_it_was_recovered(commands: Commands) -> None:
    file = scenario(commands, "{n: [1, 2], include: [{n: 3, secs: 600.0}]}")
    process = commands.start("run", file, line="slow      started: wait", times=3)
    process.kill()
    process.communicate(timeout=LONG)
    assert [cell["state"] for cell in summary(commands)["cells"]] == ["ended", "ended", "running"]
    [folder] = commands.runs.glob("*-many-matrix-*")
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


def test_what_has_passed_is_not_played_again(commands: Commands) -> None:
    file = scenario(commands, "{n: [1, 2, 3]}", expect="inputs.n != 2")
    assert commands.call("run", file).returncode == 1
    [folder] = commands.runs.glob("*-many-matrix-*")
    again = commands.call("run", file, "--resume", folder, "--view", "lines")
    assert again.returncode == 1
    assert [one["cell"] for one in runs_of(commands)] == ["n-1", "n-2", "n-3", "n-2"]
    assert "cell 2 of 3: many[n=2]" in again.stdout
    assert again.stdout.count("cell ") == 1


def test_cells_beside_one_another_say_in_each_line_whose_it_is(commands: Commands) -> None:
    file = scenario(commands, "{secs: [0.0, 0.1], max_parallel: 2}")
    place = str(commands.folder / "world.json")
    file.write_text(file.read_text().replace(place, f'"{commands.folder}/world-${{{{ inputs.secs }}}}.json"'))
    done = commands.call("run", file, "--view", "lines")
    assert done.returncode == 0, done.stdout + done.stderr
    for cell in ("secs-0.0", "secs-0.1"):
        assert f"{cell}     0." in done.stdout
        assert f"{cell}  PASSED  many[{cell.replace('-', '=')}]" in done.stdout


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
    [folder] = commands.runs.glob("*-many-matrix-*")
    folder.chmod(0o777)
    (folder / "matrix.json").chmod(0o666)
    refused = commands.call("run", file, "--resume", folder)
    assert (refused.returncode, "chmod go-w" in refused.stderr) == (2, True), refused.stderr
