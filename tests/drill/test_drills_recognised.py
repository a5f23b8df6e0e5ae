"""The kernel log of a node after a drill: `offbus recognise` tells the drill's line, and that its run wrote it."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.kits.drill.drill_world import up
from tests.kits.drill.playing import Offbus, copy_targets

pytestmark = [pytest.mark.drill, pytest.mark.slow]

SCENARIO = """\
offbus: 1
name: lines
environment: {uses: local}
guards: {namespaces: ["drill-*"]}
steps:
  - {id: deploy, uses: deploy, with: {manifest: targets/deployment.yaml}}
  - {id: mark_ed, uses: inject_xid, with: {xid: 43}}
  - {id: bare, uses: inject_xid, with: {xid: 94, dialect: bare}}
"""


def test_what_a_drill_wrote_is_told_with_its_run_and_what_has_no_mark_as_injected(
    offbus: Offbus, tmp_path: Path
) -> None:
    up(offbus)
    path = tmp_path / "lines.yaml"
    copy_targets(tmp_path)
    path.write_text(SCENARIO)
    finished = offbus.run(path)
    assert finished.code == 0, finished.output
    [log] = [one for one in tmp_path.rglob("nodes/*/kmsg") if "Xid" in one.read_text()]
    command = offbus.command("recognise", "--format", "json", "--runs", offbus.runs)
    done = subprocess.run(
        command, input=log.read_text(), env=offbus.env, capture_output=True, text=True, timeout=100
    )
    found = [json.loads(line) for line in done.stdout.splitlines()]
    marked = next(one for one in found if one.get("number") == 43)
    assert (marked["verdict"], marked["confirmed"], marked["step"]) == ("drill", True, "mark-ed")
    assert finished.folder.name.endswith(marked["run"])
    assert next(one for one in found if one.get("number") == 94)["verdict"] == "injected"
    assert done.returncode == 1
