"""`offbus plan`, from the scenario alone: what each shipped step type would create, change, inject or send."""

from pathlib import Path

import pytest

from offbus.cli.handlers.plan import plan_cells, plan_text
from offbus.language.load import load_scenario
from offbus.language.plan import make_plan
from offbus.plugins import STEPS, installed
from tests.kits import REPOSITORY

PLANS = Path(__file__).parent / "plans"


def test_the_plan_of_every_shipped_step_type() -> None:
    """To renew: `offbus plan --offline tests/steps/plans/every_step.yaml > tests/steps/plans/every_step.txt`."""
    made = make_plan(load_scenario(PLANS / "every_step.yaml"))
    registry = installed()
    shipped = {name for name in registry.names(STEPS) if registry.plugin(STEPS, name).package == "offbus"}
    assert {one.step.uses for one in made.steps} == shipped - {
        "scenario"
    }  # the steps of another file take its turn
    assert plan_text(made) == (PLANS / "every_step.txt").read_text().rstrip()


@pytest.mark.parametrize(
    "path", sorted((REPOSITORY / "scenarios").glob("*.yaml")), ids=lambda path: path.stem
)
def test_the_plan_of_a_shipped_scenario(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """To renew: `offbus plan --offline scenarios/NAME.yaml > tests/steps/plans/NAME.txt`."""
    plan_cells(path, sets={}, env=None, env_sets={}, cell=None, form="text", offline=True)
    assert capsys.readouterr().out == (PLANS / f"{path.stem}.txt").read_text()
