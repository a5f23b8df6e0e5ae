"""The options of a fault, as real processes on `local` see them: results, lateness, hanging, an end of its own."""

from pathlib import Path

import pytest

from tests.kits.drill.drill_world import up
from tests.kits.drill.playing import Offbus, copy_targets

pytestmark = [pytest.mark.drill, pytest.mark.slow]

HEAD = """\
offbus: 1
name: options
environment: {uses: local}
guards: {namespaces: ["drill-*"]}
steps:
  - {id: deploy, uses: deploy, with: {manifest: targets/deployment.yaml}}
  - {id: prepare, uses: prepare_cuda}
"""
FAILS = (
    "uses: verify_inference, with: {expect: failure, requests: 1, node: '${{ steps.inject.outputs.node }}'}"
)
WORKS = "uses: verify_inference, with: {requests: 3, node: '${{ steps.inject.outputs.node }}'}"


def scenario(folder: Path, *steps: str) -> Path:
    path = folder / "options.yaml"
    copy_targets(folder)
    path.write_text(HEAD + "".join(f"  - {{{step}}}\n" for step in steps))
    return path


def test_a_result_by_its_symbol_is_what_the_target_gets(offbus: Offbus, tmp_path: Path) -> None:
    up(offbus)
    inject = "id: inject, uses: arm_cuda, with: {xid: 48, cuda_code: CUDA_ERROR_UNKNOWN}"
    finished = offbus.run(scenario(tmp_path, inject, f"id: fails, {FAILS}"))
    assert finished.code == 0, finished.output
    [fault] = finished.report["faults"]
    assert fault["planes"]["cuda"]["evidence"]["code"] == 999


def test_calls_that_hang_go_on_when_the_fault_s_own_time_is_over(offbus: Offbus, tmp_path: Path) -> None:
    up(offbus)
    inject = "id: inject, uses: arm_cuda, with: {xid: 48, mode: hang, duration: 6s}"
    finished = offbus.run(scenario(tmp_path, inject, f"id: works, {WORKS}, retry: {{attempts: 1}}"))
    assert finished.code == 0, finished.output
    assert finished.first("fault", "disarmed")["seq"] < finished.step("works")["ended"]["seq"]
    assert [undo["result"] for undo in finished.report["undos"] if "disarm" in undo["describe"]] == [
        "restored"
    ]


def test_late_calls_are_proven_and_right(offbus: Offbus, tmp_path: Path) -> None:
    up(offbus)
    inject = (
        "id: inject, uses: inject_fault, with: {xid: 94, planes: [kernel, cuda], mode: delay, delay: 50ms}"
    )
    finished = offbus.run(scenario(tmp_path, inject, f"id: works, {WORKS}"))
    assert finished.code == 0, finished.output
    assert all(fault["proven"] for fault in finished.report["faults"])


def test_a_line_as_the_driver_writes_it_is_read_back(offbus: Offbus, tmp_path: Path) -> None:
    up(offbus)
    inject = "id: inject, uses: inject_xid, with: {xid: 94, dialect: kernel}"
    finished = offbus.run(scenario(tmp_path, inject))
    assert finished.code == 0, finished.output
    [fault] = finished.report["faults"]
    assert "NVRM: Xid (PCI:" in fault["planes"]["kernel"]["evidence"]["line"]
    assert fault["id"] not in fault["planes"]["kernel"]["evidence"]["line"]
