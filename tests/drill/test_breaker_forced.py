"""A drill that may trip the responder's circuit breaker, and does: told before, residue after, and never a pass."""

from pathlib import Path

import pytest

from tests.kits.drill.playing import SCENARIOS, Offbus

pytestmark = pytest.mark.drill

SCENARIO = """\
offbus: 1
name: trips-it
environment: {uses: local, responder: {circuit_breaker: {enabled: true, percentage: 30}}}
guards: {responder_breaker: BREAKER}
steps:
  - {id: deploy, uses: deploy, with: {manifest: TARGETS/deployment.yaml}}
  - {id: inject, uses: inject_xid, with: {xid: 79, patience: 2s}}
  - {id: cordon, uses: await_cordon, timeout: 30s}
"""
"""Of three nodes one cordon is 30 % and more, so that the next event trips it: the drill's own all-clear."""


def scenario(folder: Path, breaker: str) -> Path:
    path = folder / "trips-it.yaml"
    path.write_text(SCENARIO.replace("TARGETS", str(SCENARIOS / "targets")).replace("BREAKER", breaker))
    return path


def test_it_says_so_and_exits_4(offbus: Offbus, tmp_path: Path) -> None:
    finished = offbus.run(scenario(tmp_path, "allow"))
    assert finished.code == 4, finished.output
    assert any("would trip" in one for one in finished.report["needs_attention"]), finished.report[
        "needs_attention"
    ]
    tripped = [one for one in finished.report["residue"] if "is TRIPPED" in one["detail"]]
    assert len(tripped) == 1, finished.report["residue"]
    assert "it was not tripped before" in tripped[0]["detail"]
    assert "then: offbus local down" in tripped[0]["detail"]
    again = offbus.call("residue", "latest")
    assert (again.returncode, "circuit breaker tripped" in again.stdout) == (4, True), again.stdout


def test_it_is_refused_where_that_is_not_allowed(offbus: Offbus, tmp_path: Path) -> None:
    finished = offbus.run(scenario(tmp_path, "forbid"))
    assert finished.code == 3, finished.output
    assert "guard responder_breaker" in finished.output
    assert finished.report["residue"] == []
