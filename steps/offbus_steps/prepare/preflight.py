"""The preflight of `prepare_cuda`: which pods would restart, and what refuses to load the shim. Changes nothing."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from offbus.errors import StepError
from offbus.preflight import Intent, PreflightCheck
from offbus_steps.cluster.preflight import DrillPreflight, refusals
from offbus_steps.cluster.wait import target_objects
from offbus_steps.prepare.admission_methods import admission_checks
from offbus_steps.prepare.dry_run import require_admitted
from offbus_steps.prepare.image_env import PLAIN, ImagePreload, Unread, image_preloads
from offbus_steps.workloads import gpus

__all__ = ["preflight", "touches"]

TWICE = "pods restart, and once more when it is undone"


def touches(params: Mapping[str, Any], _folder: Path) -> Iterable[str]:
    """How the shim gets into the target's GPU containers."""
    if params.get("by") == "admission":
        return [
            "creates an admission policy, or a webhook's configuration, for the target's GPU pods",
            f"deletes them, a few at a time: these {TWICE}",
        ]
    return [
        "patches the target's template: LD_PRELOAD, a volume and its mounts in GPU containers",
        f"its {TWICE}",
    ]


async def preflight(drill: DrillPreflight, intent: Intent) -> list[PreflightCheck]:
    """See `offbus.preflight.Preflight`."""
    cluster, target = drill.cluster, drill.target
    if target is None:
        return []
    running = await target_objects(cluster, target)
    if refused := await refusals("prepare", require_admitted(cluster, target, running)):
        return refused
    try:
        chained = [_chained(name, told) for name, told in (await image_preloads(cluster, running)).items()]
    except Unread as err:  # by the time of the run it may answer
        chained = [PreflightCheck("prepare", err.message, "warning", err.hint)]
    except StepError as err:
        return [PreflightCheck("prepare", err.message, "error", err.hint)]
    loaded = [one for one in running if gpus.gpu_request(one["spec"])]
    text = f"{len(loaded)} pods of {target} would restart once, and once more at the end"
    by_admission = intent.params.get("by") == "admission"
    more = [one async for one in admission_checks(cluster, target)] if by_admission else []
    return [PreflightCheck("prepare", text), *chained, *more]


def _chained(container: str, told: ImagePreload) -> PreflightCheck:
    text = f"LD_PRELOAD={told.value} of container {container} would be chained for all pods: "
    if len(told.nodes) > 1:
        return PreflightCheck(
            "prepare", f"{text}the agents of {len(told.nodes)} nodes say that the image sets it"
        )
    (node,) = told.nodes
    return PreflightCheck(
        "prepare",
        f"{text}only the agent of {node} says that the image sets it, and no other node confirms it",
        "warning",
        PLAIN,
    )
