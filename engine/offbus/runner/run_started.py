"""The first event of a journal: what a run is going to do, and with what."""

import os
import platform
import socket
from typing import TYPE_CHECKING, cast

from offbus import __version__
from offbus.dag import build
from offbus.declared import written
from offbus.journal.start_schemas import DeclaredLane, DeclaredMetric, PlannedStep, RunStarted
from offbus.language.matrix import shown

if TYPE_CHECKING:
    from offbus.language.scenario import Scenario, Step

__all__ = ["head_of", "versions"]


def head_of(scenario: "Scenario", identity: str) -> RunStarted:
    """The data of `run_started`."""
    steps = {step.id: step for step in scenario.steps}
    plan_order = build({step.id: step.needs for step in scenario.steps}).order
    metrics = {name: one for step in scenario.steps for name, one in step.type.measures().items()}
    head: RunStarted = {
        "name": scenario.title,
        "summary": scenario.summary,
        "scenario": str(scenario.path),
        "digest": scenario.digest,
        "inputs": {name: shown(value) for name, value in scenario.inputs.items()},
        "environment": scenario.environment.type.name,
        "identity": identity,
        "versions": versions(),
        "steps": [_planned(steps[name]) for name in plan_order],
        "metrics": {name: cast("DeclaredMetric", written(one)) for name, one in metrics.items()},
        "lanes": [cast("DeclaredLane", written(one)) for one in scenario.environment.type.lanes],
        "expect": [one.text for one in scenario.expect],
        "timeout_s": scenario.timeout.total_seconds(),
        "undo_timeout_s": scenario.undo_timeout.total_seconds(),
        "host": socket.gethostname(),
        "pid": os.getpid(),
    }
    if scenario.cell is not None:
        head["cell"] = scenario.cell.id
    return head


def versions() -> dict[str, str]:
    """The versions that the run was made with."""
    return {
        "offbus": __version__,
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.release()} {platform.machine()}",
    }


def _planned(step: "Step") -> PlannedStep:
    return {
        "id": step.id,
        "uses": step.uses,
        "kind": step.type.kind.value,
        "needs": list(step.needs),
        "background": step.background,
        "always": step.always,
        "injects": step.type.injects,
        "timeout_s": step.timeout.total_seconds(),
    }
