"""What others change while a drill runs survives its undo; what they make of our own fields is a conflict."""

import signal
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import anyio
import pytest
import yaml

from offbus_sandbox.adapter.port import LocalPort
from offbus_sandbox.layout import Layout
from offbus_steps.port import Object, Ref
from offbus_steps.residue.patching import change
from tests.kits.drill.drill_world import up
from tests.kits.drill.following import follow, reach
from tests.kits.drill.playing import LONG, SCENARIOS, Finished, Offbus

pytestmark = pytest.mark.drill

TARGET = Ref("Deployment", "inference", "drill-demo")
SCENARIO = """\
offbus: 1
name: foreign
environment: {uses: local}
guards: {max_cordoned_nodes: 3}
timeout: 4m
steps:
  - {id: deploy, uses: deploy, with: {existing: {kind: Deployment, name: inference, namespace: drill-demo}}}
  - {id: prepare, uses: prepare_cuda}
  - {id: inject, uses: inject_fault, with: {xid: 79, planes: [kernel, cuda, nvml]}}
  - {id: cordon, uses: await_cordon}
  - {id: wait, uses: hold, with: {expr: "1 == 1", for: 3m}}
"""


def environment(obj: Object) -> list[dict[str, Any]]:
    """The variables of the workload's only container."""
    (container,) = obj["spec"]["template"]["spec"]["containers"]
    found: list[dict[str, Any]] = container.setdefault("env", [])
    return found


async def create(layout: Layout) -> None:
    """A workload of somebody's, in its namespace."""
    manifest = yaml.safe_load((SCENARIOS / "targets" / "deployment.yaml").read_text())
    async with LocalPort(layout.api) as port:
        for obj in (
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": TARGET.namespace}},
            manifest,
        ):
            await port.objects.create(obj)


async def get(layout: Layout, ref: Ref) -> Object:
    """An object."""
    async with LocalPort(layout.api) as port:
        return await port.objects.get(ref)


async def edit(layout: Layout, ref: Ref, meddle: Callable[[Object], None]) -> None:
    """As `kubectl edit`: read, change, write back; again when something else was faster."""

    def edited(now: Object) -> Object:
        new = deepcopy(now)
        meddle(new)
        return new

    async with LocalPort(layout.api) as port:
        await change(port.objects, ref, edited)


def interrupted(offbus: Offbus, folder: Path, meddle: Callable[[str], None]) -> Finished:
    """Play until the faulted node is cordoned, let somebody meddle, given that node's name, and interrupt."""
    path = folder / "foreign.yaml"
    path.write_text(SCENARIO)
    runner, lines = follow(offbus, "run", path, "--view", "quiet")
    try:
        reach(lines, "step_started", '"wait"')
        node = next(e for e in offbus.journal() if e["kind"] == "step_ended" and e["step"] == "inject")
        meddle(node["data"]["outputs"]["node"])
        runner.send_signal(signal.SIGINT)
        output, _ = runner.communicate(timeout=LONG)
    finally:
        runner.kill()
        runner.wait()
    return offbus.finished(runner.returncode, output)


@pytest.mark.guarantee("G3")
def test_other_labels_variables_and_cordons_survive(offbus: Offbus, tmp_path: Path) -> None:
    layout = Layout.of(up(offbus).folder)
    anyio.run(create, layout)
    before = anyio.run(get, layout, TARGET)
    faulted: list[str] = []

    def meddle(node: str) -> None:
        faulted.append(node)
        other = next(name for name in ("node-1", "node-2", "node-3") if name != node)
        anyio.run(edit, layout, Ref("Node", node), lambda obj: obj["metadata"]["labels"].update(team="a"))
        anyio.run(edit, layout, Ref("Node", other), lambda obj: obj["spec"].update(unschedulable=True))
        anyio.run(edit, layout, TARGET, lambda obj: environment(obj).append({"name": "THEIRS", "value": "1"}))

    finished = interrupted(offbus, tmp_path, meddle)
    assert finished.code == 130, finished.output
    assert finished.report["residue"] == []
    node = anyio.run(get, layout, Ref("Node", faulted[0]))
    assert node["metadata"]["labels"]["team"] == "a"
    assert not node["spec"].get("unschedulable")
    assert not [key for key in node["metadata"]["labels"] if "nvsentinel" in key]
    others = [anyio.run(get, layout, Ref("Node", f"node-{n}")) for n in (1, 2, 3)]
    assert sum(bool(one["spec"].get("unschedulable")) for one in others) == 1
    after = anyio.run(get, layout, TARGET)
    assert environment(after) == [*environment(before), {"name": "THEIRS", "value": "1"}]
    undone = {undo["result"] for undo in finished.report["undos"]}
    assert undone <= {"restored", "nothing"}, finished.report["undos"]
    told = {entry["subject"] for entry in finished.report["timeline"] if entry["lane"] == "others"}
    assert len(told) == 3, told
    assert f"Node/{faulted[0]} metadata.labels[team]" in told
    assert f"{TARGET} the rest of its spec" in told
    looked = offbus.call("residue", "latest")
    assert looked.returncode == 0, looked.stdout
    assert looked.stdout.count("changed by others: ") == 3


@pytest.mark.guarantee("G3")
def test_a_change_of_our_own_field_is_left_and_reported(offbus: Offbus, tmp_path: Path) -> None:
    layout = Layout.of(up(offbus).folder)
    anyio.run(create, layout)

    def ours(obj: Object) -> dict[str, Any]:
        return next(one for one in environment(obj) if one["name"] == "LD_PRELOAD")

    def meddle(_node: str) -> None:
        anyio.run(edit, layout, TARGET, lambda obj: ours(obj).update(value="/opt/theirs.so"))

    finished = interrupted(offbus, tmp_path, meddle)
    assert finished.code == 4, finished.output
    assert ours(anyio.run(get, layout, TARGET))["value"] == "/opt/theirs.so"
    conflict = next(undo for undo in finished.report["undos"] if undo["result"] == "conflict")
    assert "LD_PRELOAD" in conflict["tries"][-1]["detail"]
    told = [item for item in finished.report["residue"] if item["item"] == conflict["describe"]]
    assert told, finished.report["residue"]
    assert "LD_PRELOAD" in told[0]["detail"]
    assert told[0]["fix"]
    assert finished.report["verdict"] != "passed"
