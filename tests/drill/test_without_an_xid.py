"""A GPU that is gone, told by a line without an XID: another check finds it, and nothing stays behind."""

from pathlib import Path

import pytest

from tests.kits.drill.drill_world import up
from tests.kits.drill.playing import Offbus, copy_targets

pytestmark = [pytest.mark.drill, pytest.mark.slow]

SCENARIO = """\
offbus: 1
name: fallen-off
environment: {uses: local}
guards: {namespaces: ["drill-*"], max_cordoned_nodes: 1}
steps:
  - {id: deploy, uses: deploy, with: {manifest: targets/deployment.yaml}}
  - {id: inject, uses: inject_xid, with: {xid: 0}}
  - {id: told, uses: await_detection, timeout: 2m, expect: ["outputs.fatal == xid(0).cordons"]}
  - {id: cordon, uses: await_cordon, timeout: 3m}
  - {id: drain, uses: await_drain, timeout: 5m}
  - {id: repair, uses: await_remediation, timeout: 5m}
  - {id: uncordon, uses: await_uncordon, timeout: 5m}
"""


def test_it_is_detected_cordoned_drained_repaired_and_uncordoned(offbus: Offbus, tmp_path: Path) -> None:
    up(offbus)
    path = tmp_path / "fallen-off.yaml"
    copy_targets(tmp_path)
    path.write_text(SCENARIO)
    finished = offbus.run(path)
    assert finished.code == 0, finished.output
    assert finished.report["verdict"] == "passed"
    assert finished.report["residue"] == []
    line = finished.report["faults"][0]["planes"]["kernel"]["evidence"]["line"]
    assert line.endswith("has fallen off the bus and is not responding to commands.")
    assert "Xid" not in line
    assert finished.step("told")["outputs"]["fatal"] is True


def test_undone_in_the_middle_it_leaves_nothing_either(offbus: Offbus, tmp_path: Path) -> None:
    up(offbus)
    path = tmp_path / "fallen-off.yaml"
    copy_targets(tmp_path)
    path.write_text(SCENARIO.partition("  - {id: drain")[0])
    finished = offbus.run(path)
    assert finished.code == 0, finished.output
    assert finished.report["residue"] == []
    logs = [one.read_text() for one in tmp_path.rglob("nodes/*/kmsg")]
    assert any("fallen off the bus" in log for log in logs)
    assert not any("GPU reset executed" in log for log in logs), (
        "it would end an XID of the GPU, and not this fault"
    )
