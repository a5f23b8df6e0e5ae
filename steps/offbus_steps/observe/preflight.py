"""The preflight of the steps that wait for a responder: whether what is deployed could ever make them pass.

That a dry run leaves out what they wait for is said for every step type that does (offbus_steps.cluster.preflight).
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from offbus.preflight import Intent, PreflightCheck
from offbus_steps.cluster.preflight import DrillPreflight
from offbus_steps.nvsentinel.validation_stage import no_validation
from offbus_steps.observe.drain_checks import drain_checks

__all__ = ["drains", "recovery_touches", "validates"]


async def drains(drill: DrillPreflight, intent: Intent) -> list[PreflightCheck]:
    """Whether the deployed responder would ever finish the drain."""
    return await drain_checks(drill.cluster, intent.topic, await drill.pods())


async def validates(drill: DrillPreflight, intent: Intent) -> list[PreflightCheck]:
    """Whether the deployed responder has a validation stage."""
    off = await no_validation(drill.cluster.port.objects, drill.cluster.guards.responder_namespace)
    return [PreflightCheck(intent.topic, off.why_not, "error", off.way_out)] if off else []


def recovery_touches(params: Mapping[str, Any], _folder: Path) -> Iterable[str]:
    """The requests of `await_recovery`."""
    return [f"sends requests to the target until {params.get('answers', 'enough')} in a row are good"]
