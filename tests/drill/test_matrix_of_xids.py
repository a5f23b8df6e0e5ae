"""`offbus run scenarios/xid.yaml`: for each XID the verdict that is right for it, and one report of all."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.kits.drill.drill_world import up
from tests.kits.drill.playing import SCENARIOS, Offbus, copy_targets

pytestmark = [pytest.mark.drill, pytest.mark.slow, pytest.mark.timeout(900)]

ACTIONS = {
    79: "RESTART_BM",
    48: "COMPONENT_RESET",
    95: "COMPONENT_RESET",
    74: "CONTACT_SUPPORT",
    119: "COMPONENT_RESET",
    120: "COMPONENT_RESET",
    140: "COMPONENT_RESET",
    43: "NONE",
    94: "NONE",
}
"""What NVSentinel recommends for each (reference: docs/reference/xids.md, with the GPU in the metadata)."""
PLAYED = tuple(ACTIONS) if os.environ.get("OFFBUS_XIDS") == "all" else (48, 74, 94)
"""One that is repaired, one that needs a human, one that leaves the node alone. `make test-long` plays all nine."""


def test_each_cell_has_the_verdict_that_is_right_for_its_xid(offbus: Offbus, tmp_path: Path) -> None:
    up(offbus)
    file = scenario(tmp_path, f"matrix: {{xid: {list(PLAYED)}}}")
    offbus.limit_s = 900
    done = offbus.call("run", file, "--view", "lines")
    assert done.returncode == 0, done.stdout + done.stderr
    [path] = offbus.runs.glob("*-xid-matrix-*/matrix.json")
    cells = json.loads(path.read_text())["cells"]
    assert [cell["id"] for cell in cells] == [f"xid-{number}" for number in PLAYED]
    for cell in cells:
        right(cell, ACTIONS[cell["inputs"]["xid"]])
    assert f"PASSED  xid  {len(PLAYED)} of {len(PLAYED)} cells passed" in done.stdout


def right(cell: dict[str, Any], action: str) -> None:
    assert (cell["verdict"], cell["residue"]) == ("passed", 0)
    assert ("time_to_cordon" in cell["metrics"]) is (action != "NONE")
    assert ("time_to_remediate" in cell["metrics"]) is (action not in ("NONE", "CONTACT_SUPPORT"))
    assert bool(cell["needs_attention"]) is (action == "CONTACT_SUPPORT")


def test_a_wrong_expectation_fails_its_cell_alone(offbus: Offbus, tmp_path: Path) -> None:
    up(offbus)
    file = scenario(tmp_path, "matrix: {xid: [43, 94]}")
    text = file.read_text()
    file.write_text(text.replace("expect:\n  - metrics", "expect:\n  - inputs.xid != 43\n  - metrics"))
    done = offbus.call("run", file, "--view", "quiet")
    assert done.returncode == 1, done.stdout + done.stderr
    [path] = offbus.runs.glob("*-xid-matrix-*/matrix.json")
    assert [(cell["id"], cell["exit"]) for cell in json.loads(path.read_text())["cells"]] == [
        ("xid-43", 1),
        ("xid-94", 0),
    ]


def scenario(folder: Path, matrix: str) -> Path:
    """The shipped scenario with another matrix."""
    lines = (SCENARIOS / "xid.yaml").read_text().splitlines(keepends=True)
    changed = [f"{matrix}\n" if line.startswith("matrix:") else line for line in lines]
    path = folder / "xid.yaml"
    copy_targets(folder)
    path.write_text("".join(changed))
    return path
