"""A manifest whose name only the run knows is held to the rule of all files that a scenario names."""

import json
from pathlib import Path

import pytest

from offbus.errors import StepError
from offbus.preflight import Intent
from offbus_steps.cluster.preflight import DrillPreflight
from offbus_steps.deploy.preflight import preflight, touches
from offbus_steps.deploy.step_types import DEPLOY, DeployParams
from tests.kits.steps.timed_port import deployment, timed_bench
from tests.kits.virtual_time import in_virtual_time

OUTSIDE = "outside of the folder of the scenario"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The scenario's, beside a manifest."""
    made = {key: value for key, value in deployment("web", 1).items() if key != "status"}
    (tmp_path / "target.json").write_text(json.dumps(made))
    inside = tmp_path / "drills"
    inside.mkdir()
    (inside / "link.json").symlink_to(tmp_path / "target.json")
    return inside


@pytest.mark.parametrize("name", ["../target.json", "link.json", "/etc/hostname"])
@in_virtual_time
async def test_nothing_outside_is_deployed(folder: Path, name: str) -> None:
    async with timed_bench(folder) as (one, port):
        with pytest.raises(StepError, match=OUTSIDE):
            await one.run(DEPLOY, manifest=name, port=80)
        assert port.objects.times("create Deployment") == []


@in_virtual_time
async def test_nor_is_it_shown_in_a_plan(folder: Path) -> None:
    async with timed_bench(folder) as (one, _):
        params = {"manifest": "../target.json"}
        drill = DrillPreflight(one.cluster, str(folder))
        [said] = await preflight(drill, Intent("deploy", "deploy", params, None))
        assert (said.level, OUTSIDE in said.text) == ("error", True)
        [line] = touches(params, str(folder))
        assert OUTSIDE in line
        assert DeployParams(**params).manifest == "../target.json"
