"""`offbus run` of a matrix: every cell a run of its own, one report of all; a signal ends it properly."""

import signal
from pathlib import Path

import pytest

from tests.kits.cli.left_runs import LONG, Commands, Gate, ended
from tests.kits.cli.matrices import played, runs_of, scenario, summary


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


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_the_environment_is_asked_who_it_is_begins_no_run(
    commands: Commands, number: signal.Signals
) -> None:
    """A credential plug-in or an API server may take long to say."""
    gate = Gate(commands.folder / "asked")
    file = scenario(commands, "{n: [1, 2]}")
    file.write_text(
        file.read_text().replace("{uses: world,", f"{{uses: world, asks: {commands.folder}/asked,")
    )
    process = commands.begin("run", file, "--view", "lines")
    gate.reached()
    process.send_signal(number)
    assert process.stdout is not None
    assert any(f"{number.name}: no further cell is begun" in line for line in process.stdout)
    gate.pass_with()
    out = ended(process)
    assert process.returncode == 130, out
    assert runs_of(commands) == []
    assert not (commands.folder / "world.json").exists()
    told = [(cell["state"], cell["exit"], cell["because"]) for cell in summary(commands)["cells"]]
    assert told == [
        ("ended", 130, f"interrupted by {number.name} before it began"),
        ("not_played", None, f"interrupted by {number.name}"),
    ]
    again = commands.call("run", file, "--resume", played(commands))
    assert (again.returncode, len(runs_of(commands))) == (0, 2), again.stderr


def test_a_ctrl_c_while_the_environment_of_a_single_run_is_asked_begins_none(commands: Commands) -> None:
    gate = Gate(commands.folder / "asked")
    file = scenario(commands, "{n: [1, 2]}")
    file.write_text(
        file.read_text().replace("{uses: world,", f"{{uses: world, asks: {commands.folder}/asked,")
    )
    process = commands.begin("run", file, "--cell", "n-1")
    gate.reached()
    process.send_signal(signal.SIGINT)
    out = ended(process)
    assert (process.returncode, out.strip()) == (130, "offbus: interrupted before anything was changed")
    assert not list(commands.runs.glob("*-many*"))


def test_cells_beside_one_another_say_in_each_line_whose_it_is(commands: Commands) -> None:
    file = scenario(commands, "{secs: [0.0, 0.1], max_parallel: 2}")
    place = str(commands.folder / "world.json")
    file.write_text(file.read_text().replace(place, f'"{commands.folder}/world-${{{{ inputs.secs }}}}.json"'))
    done = commands.call("run", file, "--view", "lines")
    assert done.returncode == 0, done.stdout + done.stderr
    for cell in ("secs-0.0", "secs-0.1"):
        assert f"{cell}     0." in done.stdout
        assert f"{cell}  PASSED  many[{cell.replace('-', '=')}]" in done.stdout
