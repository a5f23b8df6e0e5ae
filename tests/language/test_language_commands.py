"""`offbus validate`, `plan`, `steps` and `schema`, as processes, over the types that are installed."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from offbus.cli.handlers.plan import plan_text
from offbus.cli.handlers.plan_graph import GRAPHS
from offbus.cli.handlers.steps import explain_one, list_all
from offbus.errors import UsageError
from offbus.language.plan import make_plan
from tests.kits import REPOSITORY
from tests.kits.drill.playing import copy_targets
from tests.kits.language.drill_types import STEPS, drill, load, registry

SCENARIOS = REPOSITORY / "scenarios"
DRILL = drill(
    '{id: deploy, uses: deploy, with: {manifest: "targets/${{ inputs.backend }}.yaml"}}\n'
    "{id: inject, uses: inject_fault, with: {xid: 79}}\n"
    "{id: heal, uses: cleanup, with: {steps: [inject]}}",
    "inputs: {backend: {type: string, default: vllm}}\n",
)


def offbus(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-m", "offbus", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=60)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    copy_targets(tmp_path)
    (tmp_path / "good.yaml").write_text(DRILL)
    (tmp_path / "bad.yaml").write_text(DRILL.replace("inject_fault", "inject_falt"))
    return tmp_path


def test_validate_says_ok(folder: Path) -> None:
    ran = offbus("validate", "good.yaml", cwd=folder)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "ok: drill, 3 steps\n", "")


def test_validate_shows_findings_of_all_files_and_exits_2(folder: Path) -> None:
    ran = offbus("validate", "bad.yaml", "missing.yaml", "good.yaml", cwd=folder)
    assert ran.returncode == 2
    assert ran.stdout.splitlines() == [
        "bad.yaml:6:24: error OB302: there is no step type 'inject_falt'",
        "    6 |   - {id: inject, uses: inject_falt, with: {xid: 79}}",
        "      |                        ^^^^^^^^^^^",
        "      = did you mean 'inject_fault'?",
        "      = `offbus steps` lists them; another package may provide more",
        "bad.yaml is not a valid scenario: 1 finding",
        "missing.yaml: there is no such file",
        "ok: drill, 3 steps",
    ]


def test_validate_in_json(folder: Path) -> None:
    ran = offbus("validate", "bad.yaml", "good.yaml", "--format", "json", cwd=folder)
    assert ran.returncode == 2
    bad, good = json.loads(ran.stdout)
    assert (bad["file"], bad["valid"], [finding["code"] for finding in bad["findings"]]) == (
        "bad.yaml",
        False,
        ["OB302"],
    )
    assert (good["valid"], good["name"], good["steps"], good["findings"]) == (True, "drill", 3, [])


def test_validate_takes_overrides(folder: Path) -> None:
    ran = offbus("validate", "good.yaml", "--set", "bakend=x", "--env-set", "nods=3", cwd=folder)
    assert ran.returncode == 2
    assert "--set bakend=x: error OB504" in ran.stdout
    assert "--env-set nods=3: error OB504" in ran.stdout


def test_validate_shows_warnings_and_exits_0(folder: Path) -> None:
    (folder / "good.yaml").write_text(DRILL.replace("${{ inputs.backend }}", "vllm"))
    ran = offbus("validate", "good.yaml", cwd=folder)
    assert ran.returncode == 0
    assert "warning OB507" in ran.stdout
    assert ran.stdout.endswith("ok: drill, 3 steps\n")


def test_a_run_of_an_invalid_scenario_shows_its_findings(folder: Path) -> None:
    ran = offbus("run", "bad.yaml", cwd=folder)
    assert ran.returncode == 2
    assert "error OB302" in ran.stderr


def test_plan_in_json(folder: Path) -> None:
    ran = offbus("plan", "good.yaml", "--format", "json", cwd=folder)
    assert ran.returncode == 0, ran.stderr
    plan = json.loads(ran.stdout)
    steps = {step["id"]: step for step in plan["steps"]}
    assert list(steps) == ["deploy", "inject", "heal"]
    assert steps["inject"]["bindings"] == {"target": "deploy"}
    assert steps["inject"]["needs"] == ["deploy"]
    assert steps["inject"]["undo"] == "undone by heal, else at the end"
    assert steps["deploy"]["params"] == {"manifest": "targets/vllm.yaml"}
    assert plan["inputs"] == {"backend": "vllm"}


def test_plan_of_an_invalid_scenario(folder: Path) -> None:
    ran = offbus("plan", "bad.yaml", cwd=folder)
    assert ran.returncode == 2
    assert "error OB302" in ran.stderr


def test_plan_text_says_order_bounds_defaults_and_undo(tmp_path: Path) -> None:
    text = drill(
        "{id: d, uses: deploy, timeout: 1m}\n{id: l, uses: load, background: true, timeout: 2m}\n"
        "{id: i, uses: inject, with: {xid: 79}, when: steps.d.outcome == 'passed', retry: {attempts: 2}, timeout: 3m}\n"
        "{id: a, uses: ask, always: true, timeout: 10s, expect: [outputs.ok]}\n"
        "{id: c, uses: cleanup, timeout: 20s, with: {steps: [i]}}",
        "summary: A drill.\n",
    )
    assert plan_text(make_plan(load(tmp_path, text))).splitlines() == [
        "drill: A drill.",
        "  environment  local nodes=3",
        "  guards       max_cordoned_nodes=1",
        "  ends within  9m30s (steps 4m30s, undo 5m)",
        "  critical     d → i → a → c",
        "",
        "  1. d  deploy   at once; at most 1m",
        "        undone at the end",
        "  2. l  load     after d; at most 2m; background",
        "        changes nothing",
        "  3. i  inject   after d; at most 3m, 2 attempts",
        "        target ← d",
        "        when: steps.d.outcome == 'passed'",
        "        undone by c, else at the end",
        "  4. a  ask      after i; at most 10s; always",
        "        hint ← i",
        "        expect: outputs.ok",
        "        changes nothing",
        "  5. c  cleanup  after a; at most 20s",
        "        undoes i",
    ]


JOINED = (
    "{id: d, uses: deploy, timeout: 1m}\n{id: l, uses: load, needs: [d], background: true, timeout: 2h}\n"
    "{id: s, uses: ask, needs: [d], timeout: 10s}\n{id: i, uses: ask, needs: [d], timeout: 3m}\n"
    "{id: c, uses: ask, needs: [s, i], always: true, timeout: 20s}"
)


def test_the_critical_path_leaves_out_what_only_runs_beside(tmp_path: Path) -> None:
    plan = make_plan(load(tmp_path, drill(JOINED)))
    assert plan.to_json()["critical_path"] == ["d", "i", "c"]


def test_a_plan_as_a_graph(tmp_path: Path) -> None:
    plan = make_plan(load(tmp_path, drill(JOINED)))
    assert GRAPHS["mermaid"](plan).splitlines() == [
        "flowchart TD",
        '  s_d["d<br/>deploy<br/>at most 1m"]',
        '  s_l(["l<br/>load<br/>at most 2h"])',
        '  s_s["s<br/>ask<br/>at most 10s"]',
        '  s_i["i<br/>ask<br/>at most 3m"]',
        '  s_c[["c<br/>ask<br/>at most 20s"]]',
        "  s_d --> s_l",
        "  s_d --> s_s",
        "  s_d ==> s_i",
        "  s_s --> s_c",
        "  s_i ==> s_c",
    ]
    dot = GRAPHS["dot"](plan).splitlines()
    assert dot[1] == '  "d" [shape=box, label="d\\ndeploy\\nat most 1m"];'
    assert '  "d" -> "i" [penwidth=3];' in dot
    assert (dot[0], dot[-1]) == ("digraph plan {", "}")


def test_a_plan_is_bounded_by_the_timeout(tmp_path: Path) -> None:
    plan = make_plan(
        load(tmp_path, drill("{id: d, uses: deploy, timeout: 1h}", "timeout: 90s\nundo_timeout: 10s\n"))
    )
    assert plan.to_json()["bound"] == "1m40s"


def test_steps_lists_all_types_with_their_packages(tmp_path: Path) -> None:
    ran = offbus("steps", "--format", "json", cwd=tmp_path)
    rows = {row["name"]: row for row in json.loads(ran.stdout)}
    assert rows["cleanup"]["package"] == "offbus"
    assert rows["cleanup"]["kind"] == "action"
    assert {"deploy", "inject_fault", "verify_inference"} <= set(rows)


def test_a_type_or_function_that_cannot_be_loaded_is_listed_with_the_reason() -> None:
    found = [line for line in list_all("text", registry()).splitlines() if line.startswith("broken")]
    assert len(found) == 2
    for line in found:
        assert "acme-drills" in line
        assert "No module named 'no_such_module_of_acme'" in line


def test_a_type_is_explained() -> None:
    text = explain_one("inject", "text", registry())
    assert "inject (action): The inject." in text
    assert "What it does, at length." in text
    assert "never tried again unless `retry` asks" in text
    assert "kernel | cuda | nvml" in text
    assert "[from the ancestor that outputs target]" in text
    assert "[required]" in text
    assert "[default 15s]" in text
    assert "list(string)" in text


def test_an_explanation_names_params_as_the_file_does_and_metrics() -> None:
    hold = json.loads(explain_one("hold", "json", registry()))
    assert {param["name"]: param["type"] for param in hold["params"]} == {
        "expr": "expression",
        "for": "duration",
    }
    load_type = json.loads(explain_one("load", "json", registry()))
    assert load_type["metrics"] == {"requests.success_rate": "double", "requests": "int"}
    assert load_type["background"] is True
    deploy = json.loads(explain_one("deploy", "json", registry()))
    assert [output["name"] for output in deploy["outputs"]] == [
        "target.kind",
        "target.name",
        "target.replicas",
        "took",
    ]
    assert deploy["examples"] == list(STEPS["deploy"].examples)


def test_an_unknown_type_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match=r"no step type 'injct' \(did you mean 'inject'\?\)"):
        explain_one("injct", "text", registry())


def test_schema_prints_what_is_committed(tmp_path: Path) -> None:
    ran = offbus("schema", "scenario", cwd=tmp_path)
    assert ran.returncode == 0
    assert json.loads(ran.stdout)["title"] == "offbus scenario, format 1"


@pytest.mark.parametrize("command", ["validate", "plan", "steps", "schema"])
def test_help_has_examples_and_imports_no_models(command: str, tmp_path: Path) -> None:
    code = f"""
import sys
from offbus.cli.main import main
try: main(['{command}', '--help'])
finally: print('pydantic' in sys.modules, 'yaml' in sys.modules)"""
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert f"offbus {command}" in ran.stdout
    assert "Examples:" in ran.stdout
    assert ran.stdout.splitlines()[-1] == "False False"


def test_inputs_come_from_a_file_and_from_the_environment(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    header = "inputs: {xid: {type: integer, default: 1}, wait: {type: duration, default: 1s}}\n"
    step = (
        "{id: a, uses: cleanup, with: {steps: [a]}, when: 'inputs.xid > 0 && inputs.wait > duration(\"0s\")'}"
    )
    (folder / "inputs.drill").write_text(drill(step, header))
    (folder / "inputs.yaml").write_text("xid: many\n")
    monkeypatch.setenv("OFFBUS_INPUT_WAIT", "soon")
    monkeypatch.setenv("OFFBUS_INPUT_WIAT", "1s")
    done = offbus("validate", "inputs.drill", "--inputs", "inputs.yaml", cwd=folder)
    assert done.returncode == 2
    assert "inputs.yaml:1:6: error OB505: the input 'xid': 'many' is not of type integer" in done.stdout
    assert "    1 | xid: many" not in done.stdout  # the next line may be a secret that somebody wrote out
    assert "$OFFBUS_INPUT_WAIT: error OB505" in done.stdout
    assert "$OFFBUS_INPUT_WIAT: warning OB504" in done.stdout
    assert "did you mean 'OFFBUS_INPUT_WAIT'?" in done.stdout
