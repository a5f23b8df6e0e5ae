"""`offbus local down` and runs: never under one, unless forced; and what a recovery makes of a sandbox that is gone."""

import os
import signal

import pytest

from tests.kits.drill.drill_world import processes_below, signal_program, up, variant
from tests.kits.drill.following import reach, run_until
from tests.kits.drill.playing import LONG

pytestmark = pytest.mark.drill


def is_down(offbus):
    return offbus.call("local", "status").returncode == 1 and processes_below(offbus.home) == []


@pytest.mark.guarantee("G17")
def test_a_sandbox_is_not_taken_down_under_a_run(offbus):
    up(offbus)
    runner, lines = run_until(offbus, "step_ready", "load")
    refused = offbus.call("local", "down")
    assert refused.returncode == 3
    assert f"offbus stop {offbus.newest()}" in refused.stderr
    assert "offbus local down --force" in refused.stderr
    reach(lines, "step_ended", "baseline")
    forced = offbus.call("local", "down", "--force")
    assert (forced.returncode, "default is down" in forced.stdout) == (0, True), forced.stderr
    output, _ = runner.communicate(timeout=LONG)
    assert runner.returncode == 130, output
    list(lines)  # whoever reads the journal ends with it
    assert is_down(offbus)
    assert "nothing to recover" in offbus.call("recover").stdout
    assert is_down(offbus)


def test_a_suspended_run_whose_sandbox_is_taken_down_ends_honestly_and_is_settled(offbus, tmp_path):
    up(offbus)
    quick = variant(tmp_path, "xid79", **{"undo_timeout:__5m": "undo_timeout: 5s"})
    runner, lines = run_until(offbus, "fault_proven", "cuda", quick)
    os.kill(runner.pid, signal.SIGSTOP)
    assert offbus.call("local", "down").returncode == 3
    assert offbus.call("local", "down", "--force").returncode == 0
    os.kill(runner.pid, signal.SIGCONT)
    output, _ = runner.communicate(timeout=LONG)
    assert runner.returncode == 4, output
    list(lines)
    recovered = offbus.call("recover")
    assert (recovered.returncode, "residue: none" in recovered.stdout) == (0, True), recovered.stdout
    assert is_down(offbus)


def test_what_a_killed_run_did_is_gone_with_its_sandbox(offbus):
    up(offbus)
    runner, _lines = run_until(offbus, "fault_proven", "cuda")
    runner.kill()
    runner.communicate(timeout=LONG)
    assert offbus.call("local", "down").returncode == 0
    up(offbus)  # another one of that name is not the one that the run acted on
    recovered = offbus.call("recover")
    assert (recovered.returncode, "residue: none" in recovered.stdout) == (0, True), recovered.stdout
    assert "another one was started in its folder" in (offbus.newest() / "report.json").read_text()


def test_a_sandbox_that_a_recovery_started_again_ends_with_it(offbus):
    sandbox = up(offbus)
    runner, lines = run_until(offbus, "step_ended", "deploy")
    runner.kill()
    runner.communicate(timeout=LONG)
    list(lines)
    signal_program(sandbox.folder, "offbus_sandbox.supervisor", signal.SIGKILL)
    recovered = offbus.call("recover")
    assert (recovered.returncode, "residue: none" in recovered.stdout) == (0, True), recovered.stdout
    assert is_down(offbus)
