"""A release with a validation stage, played on the cluster and recorded there by a list and watch alone.

The stand-in's profile v1.33 at a twentieth of its delays. `offbus observe` records beside the drill, as beside a real
NVSentinel, and the recording is compared with what is known of that release.
"""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.kits.drill.playing import Offbus, copy_targets
from tests.kits.kubernetes.installing import REPOSITORY, ClusterPaths, configure_responder, kubectl

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

RESPONSE = REPOSITORY / "tests/drill/response.yaml"
LIMIT_S = 600
FASTER = 20
TIMES = {"early", "late"}
"""Differences that a busy machine can make; the order is the stand-in's own."""


@pytest.fixture
def validating(drill_paths: ClusterPaths) -> Iterator[ClusterPaths]:
    """The cluster, whose responder tests a repaired node before it takes load again."""
    settings = {
        "profile": "v1.33",
        "scale": FASTER,
        "validation": {"enabled": True},
        "circuit_breaker": {"enabled": False},  # the first all-clears of new monitors would count as cordons
    }
    configure_responder(drill_paths, settings)
    yield drill_paths
    configure_responder(drill_paths, {})


def scenario_with_validation(folder: Path) -> Path:
    """The whole answer, and the test of the node before its uncordon."""
    scenario = yaml.safe_load(RESPONSE.read_text())
    for step in scenario["steps"]:
        if "manifest" in step.get("with", {}):
            step["with"]["manifest"] = step["with"]["manifest"].removeprefix("../../scenarios/")
    at = next(number for number, step in enumerate(scenario["steps"]) if step["id"] == "uncordon")
    scenario["steps"].insert(at, {"id": "valid", "uses": "await_validation", "timeout": "3m"})
    scenario["expect"].append("metrics.time_to_remediate <= metrics.time_to_validate")
    copy_targets(folder)
    path = folder / "response.yaml"
    path.write_text(yaml.safe_dump(scenario))
    return path


def test_a_release_that_validates_is_awaited_recorded_and_compared(
    validating: ClusterPaths, tmp_path: Path
) -> None:
    command = Offbus(tmp_path, LIMIT_S)
    on = ["--env", "kubernetes", "--env-set", f"kubeconfig={validating.kubeconfig}"]
    recording = tmp_path / "drill.jsonl"
    recorder = subprocess.Popen(
        [sys.executable, "-m", "offbus", "observe", *on, "--out", str(recording)],
        env=command.env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert recorder.stderr is not None
        while "recording 3 nodes" not in (line := recorder.stderr.readline()):
            assert line, "it ended"
        run = command.run(scenario_with_validation(tmp_path), *on)
        assert run.code == 0, run.output
        recorder.send_signal(signal.SIGINT)
        _, told = recorder.communicate(timeout=60)
        assert recorder.returncode == 0, told
    finally:
        recorder.kill()
        recorder.communicate()  # also where a check failed: its pipes are closed
    node = run.step("line")["outputs"]["node"]
    assert run.step("valid")["outputs"]["resource"].startswith(f"ValidationRequest/{node}-validation-")
    assert run.report["residue"] == []
    assert kubectl(validating, "get", "validationrequests", "-o", "name") == ""
    compare = ["--profile", "v1.33", "--faster", str(FASTER), "--format", "json"]
    found = json.loads(command.call("observe", "--compare", recording, *compare).stdout)
    [quarantine] = found["quarantines"]
    assert quarantine["compared"] >= 12
    assert [one for one in quarantine["differences"] if one["kind"] not in TIMES] == []
    assert "llm" not in recording.read_text(), "no name of the target is told"
