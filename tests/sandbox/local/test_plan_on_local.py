"""`offbus plan` on `local` says what the responder's settings mean for the drill; it starts no sandbox for that."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from offbus.cli.main import main

Checks = list[dict[str, Any]]


@pytest.fixture
def planned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """`planned(STEP, OPTION=…)`: the exit status and the preflight's checks of a drill with that step."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))

    def plan(step: str, **options: Any) -> tuple[int, Checks]:
        target = {"kind": "Deployment", "name": "llm", "namespace": "drill"}
        deploy = {"id": "deploy", "uses": "deploy", "with": {"existing": target, "port": 8000}}
        inject = {"id": "inject", "uses": "inject_xid", "with": {"xid": 79}}
        steps = [deploy, inject, {"id": "one", "uses": step}]
        environment = {"uses": "local", **options}
        scenario = {"offbus": 1, "name": "planned", "environment": environment, "steps": steps}
        path = tmp_path / "planned.yaml"
        path.write_text(yaml.safe_dump(scenario))
        with pytest.raises(SystemExit) as ended:
            main(["plan", str(path), "--format", "json"])
        assert not (tmp_path / "state").exists()
        return int(ended.value.code or 0), json.loads(capsys.readouterr().out)["preflight"]

    return plan


def of(checks: Checks, level: str, topic: str = "responder") -> list[str]:
    return [one["text"] for one in checks if (one["topic"], one["level"]) == (topic, level)]


def test_it_says_which_responder_will_answer(planned: Any) -> None:
    code, checks = planned("await_cordon")
    assert (code, [one for one in checks if one["level"] != "info"]) == (0, [])
    assert of(checks, "info", "environment") == ["a sandbox for this run alone: 3 nodes, 2 GPUs on each"]
    said = of(checks, "info")
    assert said[0].startswith("the stand-in responder: profile fast (main-2026-08), delays 1:20")
    assert any(one.startswith("its circuit breaker is off") for one in said)


def test_what_a_dry_run_leaves_out_cannot_be_awaited(planned: Any) -> None:
    code, checks = planned("await_drain", responder={"dry_run": True})
    assert code == 3
    (why,) = of(checks, "error", "step one")
    assert "await_drain cannot pass" in why
    assert any("is in dry run" in one for one in of(checks, "warning"))
    assert planned("await_detection", responder={"dry_run": True})[0] == 0


def test_a_breaker_that_the_drill_would_trip_is_named(planned: Any) -> None:
    breaker = {"circuit_breaker": {"enabled": True, "percentage": 30}}
    trips = "the next node that it cordons trips its circuit breaker"
    assert trips in of(planned("await_cordon", responder=breaker)[1], "warning")
    assert trips not in of(planned("await_cordon", responder=breaker, nodes=9)[1], "warning")


def test_without_a_responder_nothing_will_answer(planned: Any) -> None:
    _, checks = planned("await_cordon", responder=False)
    assert of(checks, "warning") == ["it is off: nothing will cordon, drain or remediate"]


def test_a_sandbox_that_does_not_run_is_an_error(planned: Any) -> None:
    code, checks = planned("await_cordon", sandbox="mine")
    assert (code, of(checks, "error", "environment")) == (3, ["the sandbox 'mine' is not running"])
