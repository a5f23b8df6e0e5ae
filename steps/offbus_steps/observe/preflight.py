"""The preflight of the steps that wait for a responder: whether what is deployed could ever make them pass."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from offbus.preflight import Intent, PreflightCheck
from offbus_steps.cluster.preflight import DrillPreflight
from offbus_steps.nvsentinel.dry_run import dry_part
from offbus_steps.nvsentinel.validation_stage import no_validation
from offbus_steps.observe.drain_checks import drain_checks

__all__ = ["acting", "drains", "recovery_touches", "validates"]


async def acting(drill: DrillPreflight, intent: Intent) -> list[PreflightCheck]:
    """Whether a dry run keeps the step from passing."""
    dry = dry_part(drill.responder_parts, intent.uses)
    if dry is None:
        return []
    return [PreflightCheck(intent.topic, dry.why_not(intent.uses), "error", dry.way_out(intent.uses))]


async def drains(drill: DrillPreflight, intent: Intent) -> list[PreflightCheck]:
    """Whether the deployed responder would ever finish the drain."""
    refused = await acting(drill, intent)
    return refused or await drain_checks(drill.cluster, intent.topic, await drill.pods())


async def validates(drill: DrillPreflight, intent: Intent) -> list[PreflightCheck]:
    """Whether the deployed responder has a validation stage."""
    if refused := await acting(drill, intent):
        return refused
    off = await no_validation(drill.cluster.port.objects, drill.cluster.guards.responder_namespace)
    return [PreflightCheck(intent.topic, off.why_not, "error", off.way_out)] if off else []


def recovery_touches(params: Mapping[str, Any], _folder: Path) -> Iterable[str]:
    """The requests of `await_recovery`."""
    return [f"sends requests to the target until {params.get('answers', 'enough')} in a row are good"]
