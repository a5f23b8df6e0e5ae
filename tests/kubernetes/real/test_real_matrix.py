"""`offbus run scenarios/xid.yaml` on the real cluster: three cells, one after the other, each with its own verdict."""

import json
from pathlib import Path

import pytest

from tests.kits.drill.playing import SCENARIOS, Offbus, copy_targets
from tests.kits.kubernetes.installing import ClusterPaths

pytestmark = [pytest.mark.cluster, pytest.mark.long, pytest.mark.timeout(1800)]

CELLS = {48: "COMPONENT_RESET", 74: "CONTACT_SUPPORT", 94: "NONE"}
"""What NVSentinel recommends: a repair, a human, nothing."""


def test_each_cell_is_right_for_its_xid(drill_paths: ClusterPaths, tmp_path: Path) -> None:
    lines = (SCENARIOS / "xid.yaml").read_text().splitlines(keepends=True)
    file = tmp_path / "xid.yaml"
    copy_targets(tmp_path)
    file.write_text(
        "".join(f"matrix: {{xid: {list(CELLS)}}}\n" if line.startswith("matrix:") else line for line in lines)
    )
    offbus = Offbus(tmp_path, 1500)
    kubeconfig = f"kubeconfig={drill_paths.kubeconfig}"
    done = offbus.call("run", file, "--view", "lines", "--env", "kubernetes", "--env-set", kubeconfig)
    assert done.returncode == 0, done.stdout + done.stderr
    [path] = offbus.runs.glob("*-xid-matrix-*/matrix.json")
    cells = json.loads(path.read_text())["cells"]
    assert [(cell["inputs"]["xid"], cell["verdict"], cell["residue"]) for cell in cells] == [
        (number, "passed", 0) for number in CELLS
    ]
    for cell in cells:
        action = CELLS[cell["inputs"]["xid"]]
        assert ("time_to_cordon" in cell["metrics"]) is (action != "NONE")
        assert ("time_to_remediate" in cell["metrics"]) is (action == "COMPONENT_RESET")
        assert bool(cell["needs_attention"]) is (action == "CONTACT_SUPPORT")
