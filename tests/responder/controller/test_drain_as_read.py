"""What a plan reads of the stand-in's drain is what the stand-in does: for every namespace, the same mode."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from offbus_sandbox.responder.config import ResponderConfig
from offbus_sandbox.responder.controller.drain import next_group
from offbus_steps.nvsentinel.containers import ConfigFile, Container
from offbus_steps.nvsentinel.drain_mode import drainers_in
from offbus_steps.port import Ref

NAMESPACES = ("drill-a", "prod", "kube-system", "nvsentinel", "default")
STANDIN = {
    "name": "controller",
    "command": ["python", "-m", "offbus_sandbox.responder", "controller"],
}


def done(config: dict[str, Any], namespace: str) -> str | None:
    """How the stand-in drains a pod of that namespace."""
    pod = {"metadata": {"name": "p", "namespace": namespace}, "spec": {"nodeName": "n"}, "status": {}}
    group = next_group([pod], "n", ResponderConfig.model_validate(config), datetime.now(UTC))
    return group.mode.value if group else None


def read(config: dict[str, Any], namespace: str) -> str | None:
    """How a plan says that it does."""
    of = Ref("ConfigMap", "responder", "nvsentinel")
    file = ConfigFile(of, "config.json", json.dumps(config))
    (drainer,) = drainers_in([Container(of, STANDIN, {"config.json": file})])
    mode = drainer.mode(namespace, {})
    return mode.value if mode else None


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"drain": [{"name": "drill-*", "mode": "Immediate"}, {"name": "*", "mode": "AllowCompletion"}]},
        {"drain": [{"name": "prod", "mode": "DeleteAfterTimeout"}]},
        {"drain": []},
        {"system_namespaces": "^(default|prod)$"},
        {"system_namespaces": "^$"},
    ],
    ids=json.dumps,
)
def test_a_plan_reads_the_drain_that_the_stand_in_does(config: dict[str, Any]) -> None:
    assert {one: read(config, one) for one in NAMESPACES} == {one: done(config, one) for one in NAMESPACES}
