"""Another monitor's alarm, set by another process while a drill waits: it passes no step, and no undo touches it."""

from pathlib import Path

import anyio
import pytest

from offbus_sandbox.adapter.port import LocalPort
from offbus_sandbox.layout import Layout
from offbus_steps.port import Object, Ref
from offbus_steps.residue.patching import change
from tests.kits.drill.drill_world import up
from tests.kits.drill.following import follow, reach
from tests.kits.drill.playing import LONG, Offbus, copy_targets

pytestmark = pytest.mark.drill

NODES = tuple(Ref("Node", f"node-{number}") for number in (1, 2, 3))
ALARM = {
    "type": "FabricConnection",
    "status": "True",
    "reason": "FabricConnectionIsNotHealthy",
    "message": "ErrorCode:LOST the monitor lost its connection Recommended Action=CONTACT_SUPPORT;",
}
SCENARIO = """\
offbus: 1
name: nobody-looks
environment: {uses: local, responder: false}
steps:
  - {id: deploy, uses: deploy, with: {manifest: targets/deployment.yaml}}
  - {id: inject, uses: inject_xid, with: {xid: 79, patience: 2s}}
  - {id: seen, uses: await_detection, timeout: 10s}
"""


async def alarm(layout: Layout) -> None:
    """The condition on every node, as a health monitor of somebody else's sets it."""

    def alarmed(now: Object) -> Object:
        others = (now.get("status") or {}).get("conditions") or []
        return {**now, "status": {**(now.get("status") or {}), "conditions": [*others, ALARM]}}

    async with LocalPort(layout.api) as port:
        for ref in NODES:
            await change(port.objects, ref, alarmed, status=True)


async def alarms(layout: Layout) -> list[Ref]:
    """The nodes that have the condition."""
    async with LocalPort(layout.api) as port:
        return [ref for ref in NODES if ALARM in (await port.objects.get(ref))["status"]["conditions"]]


@pytest.mark.guarantee("G3")
def test_it_passes_no_step_stays_and_is_told(offbus: Offbus, tmp_path: Path) -> None:
    layout = Layout.of(up(offbus, "--no-responder").folder)
    path = tmp_path / "nobody-looks.yaml"
    copy_targets(tmp_path)
    path.write_text(SCENARIO)
    runner, lines = follow(offbus, "run", path, "--view", "quiet")
    try:
        reach(lines, "step_started", '"seen"')
        anyio.run(alarm, layout)
        output, _ = runner.communicate(timeout=LONG)
    finally:
        runner.kill()
        runner.wait()
    finished = offbus.finished(runner.returncode, output)
    assert finished.step("seen")["outcome"] == "timed_out"
    assert finished.code == 1, finished.output
    assert finished.report["residue"] == []
    assert anyio.run(alarms, layout) == list(NODES)
    told = {entry["subject"] for entry in finished.report["timeline"] if entry["lane"] == "others"}
    assert told == {f"{ref} condition {ALARM['type']}" for ref in NODES}
    looked = offbus.call("residue", "latest")
    assert looked.returncode == 0, looked.stdout
    assert looked.stdout.count("changed by others: ") == 3
