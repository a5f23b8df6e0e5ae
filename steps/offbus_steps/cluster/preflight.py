"""What a step type's own preflight is given (offbus.step.StepType.preflight), and what it tells those after it.

`offbus plan` calls the preflight of each step in the order of the steps. A `deploy` tells which target, namespaces and
pods there will be; the steps after it check what they would do to them. A third party's step does the same: it reads
and sets the fields here.

    async def preflight(drill: DrillPreflight, intent: Intent) -> list[PreflightCheck]:
        return await refusals(intent.topic, require_quota(drill.cluster, drill.target))
"""

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from typing import Any

from offbus.errors import OffbusError
from offbus.preflight import Intent, PreflightCheck, checks_of_steps
from offbus_steps.cluster.cluster import Cluster
from offbus_steps.cluster.wait import target_objects
from offbus_steps.nvsentinel.dry_run import dry_part, parts_of
from offbus_steps.workloads.labels import Labels
from offbus_steps.workloads.target import Target

__all__ = ["DrillPreflight", "drill_checks", "refusals"]


@dataclass(slots=True)
class DrillPreflight:
    """The cluster, and the drill as far as the steps before have told."""

    cluster: Cluster
    scenario_dir: str
    target: Target | None = None
    """The target, where it exists already."""
    created_pods: Sequence[tuple[str, Labels]] = ()
    """Namespace and labels of the pods of a target that a step would create."""
    namespaces: list[str] = field(default_factory=list)
    """Where steps would create or change objects that an undo has to reach."""
    made_for_run: list[str] = field(default_factory=list)
    """Namespaces that steps would make for this run, and delete as a whole."""

    async def pods(self) -> Sequence[tuple[str, Labels]]:
        """Namespace and labels of the target's pods: those that run, else those that would be created."""
        if self.target is None:
            return self.created_pods
        running = await target_objects(self.cluster, self.target)
        return [(one["metadata"]["namespace"], one["metadata"].get("labels") or {}) for one in running]


async def refusals(topic: str, asked: Awaitable[Any]) -> list[PreflightCheck]:
    """The refusal of a step's own check, as a preflight check; none when it would not refuse."""
    try:
        await asked
    except OffbusError as err:
        return [PreflightCheck(topic, err.message, "error", err.hint)]
    return []


async def drill_checks(drill: DrillPreflight, intents: Sequence[Intent]) -> list[PreflightCheck]:
    """The checks of all steps, in their order. Raises PortError.

    A step that waits for what the responder's dry run leaves out is refused, whoever provides it: nothing else about it
    matters then.
    """
    cluster = drill.cluster
    parts = await parts_of(cluster.port.objects, cluster.guards.responder_namespace)
    found: list[PreflightCheck] = []
    for intent in intents:
        if (dry := dry_part(parts, intent.waits_for)) is None:
            found += await checks_of_steps(drill, [intent])
        else:
            why = dry.why_not(intent.uses)
            found.append(PreflightCheck(intent.topic, why, "error", dry.way_out(intent.uses)))
    return found
