"""A stop condition over what clients see ends a drill that does too much harm."""

from pathlib import Path

import pytest

from tests.kits.drill.playing import SCENARIOS, Offbus

pytestmark = pytest.mark.drill

SCENARIO = """\
offbus: 1
name: harm
environment: {uses: local}
timeout: 4m
stop_when:
  - {expr: "metrics.requests.success_rate_window < 0.5", for: 1s}
steps:
  - {id: deploy, uses: deploy, with: {manifest: targets/lone.yaml}}
  - {id: load, uses: load, background: true, with: {rate: 20, window: 2s, request_timeout: 2s}}
  - {id: baseline, uses: baseline, with: {requests: 5}}
  - {id: prepare, uses: prepare_cuda}
  - {id: arm, uses: arm_cuda, with: {xid: 79}}
  - {id: wait, uses: hold, with: {expr: "1 == 1", for: 3m}}
"""


@pytest.mark.guarantee("G9")
def test_a_success_rate_that_stays_low_stops_the_run(offbus: Offbus, tmp_path: Path) -> None:
    (tmp_path / "targets").mkdir()
    manifest = (SCENARIOS / "targets" / "deployment.yaml").read_text()
    assert "replicas: 2" in manifest
    (tmp_path / "targets" / "lone.yaml").write_text(manifest.replace("replicas: 2", "replicas: 1"))
    path = tmp_path / "harm.yaml"
    path.write_text(SCENARIO)
    finished = offbus.run(path)
    assert finished.code == 3, finished.output
    assert finished.report["reasons"][0] == (
        "stop condition: metrics.requests.success_rate_window < 0.5 for 1 s"
    )
    assert finished.report["residue"] == []
    assert finished.step("wait")["outcome"] == "cancelled"
    kinds = [event["kind"] for event in offbus.journal()]
    assert kinds.index("fault_declared") < kinds.index("stopped") < kinds.index("undo_started")
    low = [m for m in metrics(offbus, "requests.success_rate_window") if m < 0.5]
    assert low, "nothing that was measured is below the condition"


def metrics(offbus: Offbus, name: str) -> list[float]:
    """Every value that was measured of a metric."""
    events = (event for event in offbus.journal() if event["kind"] == "metric")
    return [event["data"]["value"] for event in events if event["data"]["name"] == name]
