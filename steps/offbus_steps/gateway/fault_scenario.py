"""The scenario that a fault of the gateway is: take the workload, inject, hold until it is recovered, and undo.

Generated as a file would be written, and loaded like one, so that no other way into a run exists. The step that holds
is this module's own, made for one fault; nobody else can use it, and a recovery needs no step type.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import yaml

from offbus.language.load import load_cells
from offbus.language.scenario import Scenario
from offbus.plugins import installed
from offbus.step import Context, Kind, Outputs, Params, StepType
from offbus_steps.gateway.config import LIFETIME, GatewayConfig
from offbus_steps.gateway.target import Aimed

__all__ = ["HOLDING", "INJECTING", "TAKING", "Chosen", "fault_scenario", "slug_of"]

TAKING, INJECTING, HOLDING = "target", "inject", "live"
"""The ids of its steps."""
STEP = "offbus.gateway.live"
TAKEN_WITHIN = "20s"
"""A workload that is not rolled out by then is refused."""

Hold = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Chosen:
    """The environment that the gateway serves, as the command line names it."""

    name: str
    sets: Mapping[str, str]


def slug_of(xid: int) -> str:
    """The name of the scenario, and of the run's folder."""
    return f"gateway-xid-{xid}"


def fault_scenario(
    env: Chosen, config: GatewayConfig, aimed: Aimed, xid: int, planes: Sequence[str], hold: Hold
) -> Scenario:
    """The scenario. Raises InvalidScenario for an XID that does not show on such a plane."""

    async def live(_ctx: Context, _params: Params) -> Outputs:
        await hold()
        return Outputs()

    holding = StepType(
        name=STEP,
        kind=Kind.OBSERVATION,
        summary="Wait until the gateway's fault is recovered, or its time is over.",
        params=Params,
        outputs=Outputs,
        run=live,
        timeout=LIFETIME + timedelta(minutes=5),
    )
    text = yaml.safe_dump(_file(config, aimed, xid, planes), sort_keys=False)
    registry = installed().with_steps({STEP: holding})
    loaded = load_cells(
        Path(f"{slug_of(xid)}.yaml"),
        environ={},
        env=env.name,
        env_sets=_sets(env, aimed),
        registry=registry,
        data=text.encode(),
    )
    return loaded.scenarios[0]


def _sets(env: Chosen, aimed: Aimed) -> dict[str, str]:
    """The environment's options. Permissions are asked for in the workload's namespace: all others may not be bound."""
    known = installed().environment_type(env.name).options.model_fields
    named = {"namespace": aimed.workload.namespace} if "namespace" in known else {}
    return {**named, **env.sets}


def _file(config: GatewayConfig, aimed: Aimed, xid: int, planes: Sequence[str]) -> dict[str, Any]:
    workload = aimed.workload
    existing = {"kind": workload.kind, "name": workload.name, "namespace": workload.namespace}
    inject = {"xid": xid, "node": aimed.node, "gpus": [aimed.uuid], "planes": list(planes)}
    inject["patience"] = f"{config.patience.total_seconds():g}s"
    return {
        "offbus": 1,
        "name": slug_of(xid),
        "summary": f"A fault of the gateway: XID {xid} on {aimed.node}, GPU {aimed.gpu_id}.",
        "guards": config.guards.model_dump(mode="json"),
        "timeout": "25h",
        "undo_timeout": "5m",
        "steps": [
            {
                "id": TAKING,
                "uses": "deploy",
                # The port is for steps that send requests: there are none, and not every workload declares one.
                "with": {"existing": existing, "collect": False, "port": 80},
                "timeout": TAKEN_WITHIN,
            },
            {"id": INJECTING, "uses": "inject_fault", "with": inject},
            {"id": HOLDING, "uses": STEP},
        ],
    }
