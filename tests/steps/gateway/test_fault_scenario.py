"""The scenario that a fault of the gateway is: what it fills in for the environment."""

import pytest

from offbus_steps.gateway.config import GatewayConfig
from offbus_steps.gateway.fault_scenario import Chosen, fault_scenario
from offbus_steps.gateway.target import Aimed
from offbus_steps.port import Ref

AIMED = Aimed("n1", 0, "GPU-1", Ref("Deployment", "llm", "drill-a"))


async def hold() -> None:
    """Nothing is played here."""


@pytest.mark.parametrize(("sets", "namespace"), [({}, "drill-a"), ({"namespace": "drill-b"}, "drill-b")])
def test_permissions_are_asked_for_where_the_workload_is(sets: dict[str, str], namespace: str) -> None:
    """A gateway is bound in the namespaces of drills alone."""
    made = fault_scenario(Chosen("kubernetes", sets), GatewayConfig(), AIMED, 79, ["kernel"], hold)
    assert made.environment.options.model_dump()["namespace"] == namespace


def test_an_environment_without_namespaces_gets_none() -> None:
    made = fault_scenario(Chosen("local", {}), GatewayConfig(), AIMED, 79, ["kernel"], hold)
    assert "namespace" not in made.environment.options.model_dump()
