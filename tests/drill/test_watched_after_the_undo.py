"""After the undo a run watches that its responder does nothing more; a Ctrl-C, or --no-settle, ends only that."""

import os
import signal
from pathlib import Path

import pytest

from tests.kits.drill.playing import Offbus, copy_targets

pytestmark = pytest.mark.drill
SCENARIO = """
offbus: 1
name: settling
environment: {uses: local, responder: {poll_s: 6}}
guards: {namespaces: ["drill-*"], real_remediation: forbid}
steps:
  - {id: deploy, uses: deploy, with: {manifest: targets/deployment.yaml}}
  - {id: line, uses: inject_xid, with: {xid: 79, patience: 10s}}
  - {id: seen, uses: await_detection, timeout: 1m}
"""
"""A responder that looks every six seconds may take 1.5 times as long, and what it else needs, to a repair."""


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    path = tmp_path / "settling.yaml"
    copy_targets(tmp_path)
    path.write_text(SCENARIO)
    return path


def test_the_last_lines_say_how_long_nothing_more_happened(offbus: Offbus, scenario: Path) -> None:
    finished = offbus.run(scenario)
    assert finished.code == 0, finished.output
    (settled,) = finished.report["settling"]
    assert settled["result"] == "quiet"
    assert settled["watched_s"] >= settled["limit_s"] > 9
    assert "after the undo: nothing more happened" in finished.output


def test_an_interrupt_ends_the_watch_and_the_run_passes(offbus: Offbus, scenario: Path) -> None:
    runner = offbus.start("run", scenario)
    assert runner.stdout is not None
    said = ""
    for line in runner.stdout:
        said += line
        if "watching that nothing more happens" in line:
            os.kill(runner.pid, signal.SIGINT)
            break
    rest, _ = runner.communicate(timeout=200)
    finished = offbus.finished(runner.returncode, said + rest)
    assert finished.code == 0, finished.output
    (settled,) = finished.report["settling"]
    assert (settled["result"], settled["detail"]) == ("unwatched", "ended by SIGINT")
    assert (finished.report["verdict"], finished.report["residue"]) == ("passed", [])
    assert "unwatched: clear the consequences of" in finished.output


def test_without_the_watch_the_report_says_so(offbus: Offbus, scenario: Path) -> None:
    finished = offbus.run(scenario, "--no-settle")
    assert finished.code == 0, finished.output
    (settled,) = finished.report["settling"]
    assert (settled["result"], settled["detail"]) == ("unwatched", "--no-settle")
    assert "unwatched: clear the consequences of" in finished.output
