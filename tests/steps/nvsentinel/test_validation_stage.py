"""Whether the stand-in validates: by its configuration file, else by what it says of itself."""

import json
from typing import Any

import pytest

from offbus_steps.nvsentinel.containers import STANDIN_PROFILE
from offbus_steps.nvsentinel.validation_stage import ValidationStage, validation_stages
from offbus_steps.port import Object
from tests.steps.nvsentinel.test_circuit_breaker import config, standin


def published(**settings: Any) -> Object:
    return config(STANDIN_PROFILE.name, "settings", json.dumps({"profile": "v1.33", "scale": 20, **settings}))


def of(*objects: Object) -> ValidationStage | None:
    deployments, maps = ([one for one in objects if key in one] for key in ("spec", "data"))
    return next(iter(validation_stages(deployments, maps)), None)


ON, OFF = {"validation": {"enabled": True}}, {"validation": {"enabled": False}}


@pytest.mark.parametrize(
    ("objects", "enabled"),
    [
        pytest.param([published(**ON)], True, id="a sandbox's"),
        pytest.param([published(**OFF)], False, id="a sandbox's that does not"),
        pytest.param([published()], False, id="one that does not know of it"),
        pytest.param([published(validation="yes")], False, id="no section"),
        pytest.param([standin(), published(**ON)], True, id="a cluster's"),
        pytest.param([standin(), config("responder", "config.json", json.dumps(ON))], True, id="by its file"),
        pytest.param(
            [standin(), config("responder", "config.json", json.dumps(OFF)), published(**ON)],
            False,
            id="its file counts first",
        ),
        pytest.param([standin()], False, id="one of offbus 0.1"),
    ],
)
def test_its_own_word_counts(objects: list[Object], enabled: bool) -> None:
    found = of(*objects)
    assert found is not None
    assert found.enabled.value is enabled


def test_where_no_responder_is_known_nothing_is_said() -> None:
    assert of() is None
    assert of(config(STANDIN_PROFILE.name, "longest_way_s", "1")) is None


def test_what_lets_it_pass_is_told() -> None:
    found = of(published(**OFF))
    assert found is not None
    assert found.why_not == (
        "the stand-in responder has no validation stage (ConfigMap/nvsentinel/standin-responder "
        "settings.validation.enabled, profile v1.33, delays 1:20): await_validation cannot pass"
    )
    assert '{"profile": "v1.33", "validation": {"enabled": true}}' in found.way_out
