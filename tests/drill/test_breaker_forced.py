"""A drill that may trip the responder's circuit breaker, and does: told before and after; residue where it lives on."""

from pathlib import Path

import anyio
import pytest

from offbus_sandbox.config import SandboxConfig
from offbus_sandbox.layout import Layout
from offbus_sandbox.local.launch import start
from offbus_sandbox.responder.config import Breaker, ResponderConfig
from tests.kits.drill.playing import Offbus, copy_targets

pytestmark = pytest.mark.drill

SCENARIO = """\
offbus: 1
name: trips-it
environment: {uses: local, ENVIRONMENT}
guards: {responder_breaker: BREAKER}
steps:
  - {id: deploy, uses: deploy, with: {manifest: targets/deployment.yaml}}
  - {id: inject, uses: inject_xid, with: {xid: 79, patience: 2s}}
  - {id: cordon, uses: await_cordon, timeout: 30s}
"""
"""Of three nodes one cordon is 30 % and more, so that the next event trips it: the drill's own all-clear."""
OWN = "responder: {circuit_breaker: {enabled: true, percentage: 30}}"


def scenario(folder: Path, breaker: str, environment: str = OWN) -> Path:
    path = folder / "trips-it.yaml"
    text = SCENARIO.replace("BREAKER", breaker)
    copy_targets(folder)
    path.write_text(text.replace("ENVIRONMENT", environment))
    return path


def test_in_the_runs_own_sandbox_it_is_told_and_ends_with_it(offbus: Offbus, tmp_path: Path) -> None:
    finished = offbus.run(scenario(tmp_path, "allow"))
    assert finished.report["residue"] == [], finished.output
    assert finished.code == finished.report["exit"] != 4, finished.output
    told = finished.report["needs_attention"]
    assert [sum(what in one for one in told) for what in ("would trip", "is TRIPPED")] == [1, 1], told
    assert not any((offbus.home / "offbus" / "own").iterdir())
    assert (finished.folder / "local").is_dir()


def test_in_a_kept_sandbox_it_is_residue_until_that_is_taken_down(offbus: Offbus, tmp_path: Path) -> None:
    layout = Layout.of(offbus.home / "offbus" / "local" / "two")
    breaker = Breaker(enabled=True, percentage=30)
    anyio.run(start, layout, SandboxConfig(responder=ResponderConfig(circuit_breaker=breaker)))
    try:
        finished = offbus.run(scenario(tmp_path, "allow", "sandbox: two"))
        assert finished.code == 4, finished.output
        tripped, item = sorted(finished.report["residue"], key=lambda one: "TRIPPED" not in one["detail"])
        assert "it was not tripped before" in tripped["detail"]
        assert tripped["detail"].endswith("then: offbus local down --name two")
        assert item["fix"] == "find out which nodes tripped it, then: offbus local down --name two"
        again = offbus.call("residue", "latest")
        assert (again.returncode, "circuit breaker tripped" in again.stdout) == (4, True), again.stdout
    finally:
        down = offbus.call("local", "down", "--name", "two")
    assert down.returncode == 0, down.stderr
    recovered = offbus.call("recover", "latest")
    assert recovered.returncode != 4, recovered.stdout + recovered.stderr
    assert "residue: none" in recovered.stdout


def test_it_is_refused_where_that_is_not_allowed(offbus: Offbus, tmp_path: Path) -> None:
    finished = offbus.run(scenario(tmp_path, "forbid"))
    assert finished.code == 3, finished.output
    assert "guard responder_breaker" in finished.output
    assert finished.report["residue"] == []
