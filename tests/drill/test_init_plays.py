"""What `offbus init` writes passes on `local` as it is, a workload that is there already included."""

import json
from pathlib import Path

import anyio
import pytest
import yaml

from offbus_sandbox.adapter.port import LocalPort
from offbus_sandbox.layout import Layout
from tests.kits.drill.drill_world import up
from tests.kits.drill.playing import SCENARIOS, Offbus

pytestmark = [pytest.mark.drill, pytest.mark.slow, pytest.mark.timeout(900)]

SECRET = "hf_planted_with_init_4711"


@pytest.fixture
def sandbox(offbus: Offbus) -> Offbus:
    """One that is up: starting another for each cell takes longer."""
    offbus.limit_s = 800
    up(offbus)
    return offbus


@pytest.mark.parametrize(
    "options",
    [
        "--recipe cordon-and-drain",
        "--recipe contained --backend deployment",
        "--recipe detect --backend trtllm",
    ],
)
def test_a_recipe_passes_as_it_is(offbus: Offbus, tmp_path: Path, options: str) -> None:
    made = offbus.call("init", tmp_path / "drills", *options.split())
    assert made.returncode == 0, made.stderr
    [scenario] = (tmp_path / "drills").glob("*.yaml")
    done = offbus.run(scenario)
    assert done.code == 0, done.output
    assert done.report["verdict"] == "passed"
    assert done.report["residue"] == []


def test_a_matrix_passes_as_it_is(sandbox: Offbus, tmp_path: Path) -> None:
    made = sandbox.call("init", tmp_path / "drills", "--xid", "48,94", "--backend", "sglang")
    assert made.returncode == 0, made.stderr
    done = sandbox.call("run", tmp_path / "drills/xids.yaml", "--view", "lines")
    assert done.returncode == 0, done.stdout + done.stderr
    [path] = sandbox.runs.glob("*-xids-matrix-*/matrix.json")
    cells = json.loads(path.read_text())["cells"]
    assert [(cell["id"], cell["verdict"]) for cell in cells] == [("xid-48", "passed"), ("xid-94", "passed")]


def test_a_drill_of_a_workload_that_is_there_passes_and_copies_nothing(
    sandbox: Offbus, tmp_path: Path
) -> None:
    anyio.run(create, Layout.of(sandbox.home / "offbus/local/default"))
    words = "--env local --from deploy/llm -n drill-demo --recipe crash"
    made = sandbox.call("init", tmp_path / "drills", *words.split())
    assert made.returncode == 0, made.stderr
    assert not (tmp_path / "drills/targets").exists()
    scenario = tmp_path / "drills/xid79-crash.yaml"
    assert "existing: {kind: Deployment, name: llm, namespace: drill-demo}" in scenario.read_text()
    assert not [path for path in (tmp_path / "drills").rglob("*.*") if SECRET in path.read_text()]
    done = sandbox.run(scenario)
    assert done.code == 0, done.output
    assert done.report["residue"] == []


async def create(layout: Layout) -> None:
    """The shipped target under another name, with a secret in its environment, as nobody should."""
    text = (SCENARIOS / "targets/deployment.yaml").read_text().replace("inference", "llm")
    obj = yaml.safe_load(text)
    [container] = obj["spec"]["template"]["spec"]["containers"]
    container["env"] = [{"name": "HF_TOKEN", "value": SECRET}]
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "drill-demo"}}
    async with LocalPort(layout.api) as port:
        for one in (namespace, obj):
            await port.objects.create(one)
