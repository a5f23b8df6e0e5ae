"""The responder's whole answer to a fault, step by step; and what a drill says where that answer stays away."""

from pathlib import Path

import pytest

from tests.kits.drill.playing import Offbus, copy_targets

pytestmark = pytest.mark.drill
RESPONSE = Path(__file__).with_name("response.yaml")
SUPPORT_ONLY = 61
"""Recommended: CONTACT_SUPPORT, which no maintenance answers (reference: NVIDIA's XID catalogue)."""


def test_every_part_of_the_answer_is_awaited_and_timed(offbus: Offbus) -> None:
    finished = offbus.run(RESPONSE)
    assert finished.code == 0, finished.output
    node = finished.step("line")["outputs"]["node"]
    assert finished.step("seen")["outputs"]["told"] == "SysLogsXIDError True"
    assert finished.step("repaired")["outputs"]["resource"].startswith(f"RebootNode/maintenance-{node}-")
    asked = finished.first("responder", "asked for")
    assert asked["seq"] < finished.first("responder", "completed")["seq"]
    assert asked["seq"] > finished.report["faults"][0]["declared"]["seq"]
    assert finished.report["residue"] == []


def test_a_fault_without_a_repair_says_that_a_human_must_act(offbus: Offbus) -> None:
    finished = offbus.run(RESPONSE, "--set", f"xid={SUPPORT_ONLY}")
    assert finished.code == 1, finished.output
    assert finished.step("drain")["outcome"] == "passed"
    assert finished.step("repaired")["outcome"] == "failed"
    assert "has no repair for the fault" in finished.output
    assert "a human must act" in finished.output
    assert len(finished.report["needs_attention"]) == 2, (
        "what the catalogue recommends, and what the responder said"
    )
    assert "needs attention: 2 reasons" in finished.output
    assert "time_to_remediate" not in finished.report["metrics"]
    assert finished.report["residue"] == []


def test_a_fault_that_nobody_looks_for_is_not_detected(offbus: Offbus, tmp_path: Path) -> None:
    text = RESPONSE.read_text().replace("../../scenarios/", "")
    scenario = tmp_path / "alone.yaml"
    copy_targets(tmp_path)
    scenario.write_text(text.replace("await_detection, timeout: 2m", "await_detection, timeout: 3s"))
    finished = offbus.run(scenario, "--env-set", "responder=false")
    assert finished.code == 1, finished.output
    assert finished.step("seen")["outcome"] == "timed_out"
