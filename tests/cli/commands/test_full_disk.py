"""`offbus run` on a disk that fills: what it says at its end is there, and what it names works."""

import resource
import signal
import subprocess
from collections.abc import Callable

import pytest

from offbus.runs import RunFolder
from tests.kits.cli.left_runs import Commands, ended

Started = Callable[..., "subprocess.Popen[str]"]


def filled(commands: Commands, runner: "subprocess.Popen[str]", more: int) -> RunFolder:
    """No file grows beyond its journal's size, and so many bytes more: write(2) fails with EFBIG then."""
    [path] = [one for one in (commands.folder / "runs").iterdir() if one.name[0] != "."]
    folder = RunFolder(path)
    size = folder.journal.stat().st_size + more
    resource.prlimit(runner.pid, resource.RLIMIT_FSIZE, (size, size))
    return folder


@pytest.mark.guarantee("G13")
def test_a_run_whose_journal_broke_names_the_journal_and_how_it_is_finished(
    commands: Commands, started: Started
) -> None:
    runner = started("run", commands.scenario(), "--runs", commands.folder / "runs")
    folder = filled(commands, runner, 100)
    runner.send_signal(signal.SIGINT)
    said = ended(runner)
    assert (commands.world(), folder.report.exists(), folder.unfinished.exists()) == ({}, False, True), said
    assert said.splitlines()[-2:] == [
        f"finish it: offbus recover {folder.path}",
        f"journal: {folder.journal}",
    ]
    done = commands.call("recover", folder.path)
    assert (done.returncode, folder.report.exists(), folder.unfinished.exists()) == (0, True, False), (
        done.stderr
    )
    assert "finish it" not in commands.call("report", folder.path, "--format", "text").stdout


@pytest.mark.guarantee("G13")
def test_a_run_that_is_finished_and_has_no_report_names_the_journal(
    commands: Commands, started: Started
) -> None:
    runner = started("run", commands.scenario(), "--runs", commands.folder / "runs")
    folder = filled(commands, runner, 1 << 20)
    folder.path.joinpath("report.json").mkdir()
    runner.send_signal(signal.SIGINT)
    said = ended(runner)
    assert not folder.unfinished.exists(), said
    assert f"the report {folder.report} cannot be written" in said
    assert "finish it" not in said
    assert said.splitlines()[-1] == f"journal: {folder.journal}"
