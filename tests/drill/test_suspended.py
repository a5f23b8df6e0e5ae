"""A runner that is suspended for longer than its lease: the node heals without it, and it changes nothing more."""

import os
import signal
import struct
from pathlib import Path

import anyio
import pytest

from offbus_sandbox.responder.detector.inotify import Folder
from tests.kits.drill.drill_world import up
from tests.kits.drill.following import follow, reach
from tests.kits.drill.playing import LONG, Offbus, copy_targets

pytestmark = pytest.mark.drill

SCENARIO = """\
offbus: 1
name: suspended
environment: {uses: local}
timeout: 4m
steps:
  - {id: deploy, uses: deploy, with: {manifest: targets/deployment.yaml}}
  - {id: prepare, uses: prepare_cuda}
  - {id: arm, uses: arm_cuda, with: {xid: 79, ttl: 10s}}
  - {id: pause, uses: hold, with: {expr: "1 == 1", for: 30s}}
  - {id: again, uses: arm_cuda, with: {xid: 79, ttl: 10s}}
"""
"""The lease is so long that a runner on a busy machine renews it until it is suspended, and the pause outlasts it."""


def scenario(folder: Path) -> Path:
    """The scenario, beside the shipped targets."""
    copy_targets(folder)
    path = folder / "suspended.yaml"
    path.write_text(SCENARIO)
    return path


def is_armed(node: Path) -> bool:
    """Whether a node's page has any armed slot (shim/include/offbus_page.h: the first word)."""
    return bool(struct.unpack_from("<I", (node / "run/offbus/page/ctl").read_bytes())[0])


async def until_disarmed(node: Path) -> None:
    """Agents write their state file when a lease expires. Raises TimeoutError."""
    with anyio.fail_after(LONG), Folder(node / "var/lib/offbus") as folder:
        while is_armed(node):
            with anyio.move_on_after(
                0.2
            ):  # the page is written right after the file, and being mapped it wakes nobody
                await folder.changed()


@pytest.mark.guarantee("G11")
def test_the_node_heals_and_the_runner_neither_arms_again_nor_passes(offbus: Offbus, tmp_path: Path) -> None:
    sandbox = up(offbus)
    runner, lines = follow(offbus, "run", scenario(tmp_path), "--view", "quiet")
    reach(lines, "step_ended", '"arm"')
    (armed,) = (node for node in sandbox.nodes() if is_armed(node))
    os.kill(runner.pid, signal.SIGSTOP)
    try:
        anyio.run(until_disarmed, armed)
        begun = len(offbus.journal())
    finally:
        os.kill(runner.pid, signal.SIGCONT)
    output, _ = runner.communicate(timeout=LONG)
    report = offbus.finished(runner.returncode, output).report
    later = offbus.journal()[begun:]
    assert runner.returncode == 3, output
    assert any("lease" in reason for reason in report["reasons"]), report["reasons"]
    assert [event for event in later if event["kind"] in ("undo_recorded", "fault_declared")] == []
    assert not is_armed(armed)
    assert report["residue"] == []
