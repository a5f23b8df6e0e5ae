"""The shipped scenarios, end to end: what the report must prove, in which order."""

import json

import jsonschema
import pytest

from tests.kits.drill.drill_world import processes_below
from tests.kits.drill.playing import SCENARIOS, Finished, Offbus

pytestmark = pytest.mark.drill


@pytest.fixture(scope="module")
def xid79(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """One run of the first drill, on an environment of its own."""
    home = tmp_path_factory.mktemp("xid79")
    finished = Offbus(home).run(SCENARIOS / "xid79.yaml")
    assert processes_below(home) == [], "the environment was left running"
    return finished


def test_it_passes_and_says_so_last(xid79):
    assert xid79.code == 0, xid79.output
    last = xid79.output.strip().splitlines()
    assert any(line.startswith("PASSED  xid79") for line in last)
    assert "residue: none" in last
    assert last[-1] == f"report: {xid79.folder / 'report.json'}"


def test_the_report_has_the_published_shape(xid79):
    schema = json.loads((SCENARIOS.parent / "schemas" / "report.json").read_text())
    jsonschema.validate(xid79.report, schema)


def test_every_piece_of_evidence_is_there_with_both_times(xid79):
    fault = xid79.report["faults"][0]
    kernel, cuda = fault["planes"]["kernel"], fault["planes"]["cuda"]
    assert fault["proven"]
    assert "Xid (PCI:" in kernel["evidence"]["line"]
    assert kernel["evidence"]["seq"] >= 1
    call = cuda["evidence"]
    assert call["function"].startswith("cu")
    assert (call["code"], call["code_name"]) == (719, "CUDA_ERROR_LAUNCH_FAILED")
    assert call["pid"] > 0
    assert call["gpu"].startswith("GPU-")
    assert fault["planes"]["nvml"]["evidence"]["code_name"] == "NVML_ERROR_GPU_IS_LOST"
    assert xid79.step("baseline")["outputs"]["success_rate"] == 1.0
    cordon = xid79.first("node", "cordoned")
    assert "quarantineHealthEvent" in cordon["evidence"]["annotations"]
    for entry in xid79.report["timeline"]:
        assert entry["t"].endswith("Z")
        assert entry["mono_ns"] > 0


def test_things_happen_in_the_order_of_cause_and_effect(xid79):
    node = xid79.step("inject")["outputs"]["node"]
    pod = next(iter(xid79.step("inject")["outputs"]["fault"]["holders"].values()))
    moved = xid79.step("moved")["outputs"]["nodes"]
    fault = xid79.report["faults"][0]
    died = xid79.first("pod", f"{pod} ended with 1")
    because_of_the_line = [
        fault["planes"]["kernel"]["at"],
        xid79.first("node", f"Node/{node} cordoned"),
        xid79.first("pod", f"{pod} evicted"),
        xid79.first("node", f"Node/{node} uncordoned"),
    ]
    assert_in_order(because_of_the_line)
    assert_in_order([fault["declared"], died])
    assert fault["planes"]["cuda"]["happened"]["mono_ns"] < died["mono_ns"]
    assert node not in moved
    good = xid79.first("requests", "first good answer")
    assert good["seq"] > xid79.report["faults"][0]["declared"]["seq"]


def assert_in_order(entries):
    """They were journaled one after the other."""
    numbers = [entry["seq"] for entry in entries]
    assert numbers == sorted(numbers)


def test_every_undo_is_there_with_its_result_and_nothing_is_left(xid79):
    assert {undo["result"] for undo in xid79.report["undos"]} <= {"restored", "nothing"}
    assert {undo["type"] for undo in xid79.report["undos"]} >= {
        "disarm_fault",
        "clear_consequences",
        "restore_fields",
        "delete_object",
    }
    assert xid79.report["residue"] == []
    assert not (xid79.folder / "unfinished").exists()


def test_the_report_is_the_fold_of_the_journal(xid79):
    from offbus.journal.reader import read_journal
    from offbus.report.fold import fold

    journal = read_journal(xid79.folder / "journal.jsonl")
    assert json.loads(fold(journal.events).model_dump_json()) == xid79.report


@pytest.mark.parametrize("backend", ["sglang", "trtllm"])
def test_the_other_backends_pass_too(offbus, backend):
    finished = offbus.run(SCENARIOS / "xid79.yaml", "--set", f"backend={backend}")
    assert finished.code == 0, finished.output


def test_a_contained_error_kills_the_process_and_leaves_the_node_alone(offbus):
    finished = offbus.run(SCENARIOS / "xid94.yaml")
    assert finished.code == 0, finished.output
    fault = finished.report["faults"][0]
    assert fault["planes"]["cuda"]["evidence"]["code_name"] == "CUDA_ERROR_CONTAINED"
    pod = next(iter(finished.step("inject")["outputs"]["fault"]["holders"].values()))
    assert finished.first("pod", f"{pod} ended with 1")
    assert not [e for e in finished.report["timeline"] if e["lane"] == "node" and e["what"] == "cordoned"]
    assert finished.step("calm")["outcome"] == "passed"


def test_logs_events_and_manifests_of_the_target_are_in_the_runs_folder(xid79):
    (target,) = (xid79.folder / "collected").glob("*/*")
    names = {path.name for path in target.iterdir()}
    assert {"workload.yaml", "events.yaml"} <= names
    assert any(name.endswith(".log") for name in names)
