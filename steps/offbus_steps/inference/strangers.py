"""Whom the target's Service leads to besides the target: clients are answered by them, and the drill asks none of them.

A Service knows labels alone. So pods of a canary, or of anybody who may create pods beside the target, may answer its
clients: what the drill measures of the target is then not all that clients see, which `offbus plan` and the timeline
say. That no answer of theirs counts is the environment's part (offbus_steps.kubernetes.frontends).
"""

from offbus.preflight import Intent, PreflightCheck
from offbus.recorder import Recorder
from offbus_steps.cluster.cluster import Cluster
from offbus_steps.cluster.preflight import DrillPreflight
from offbus_steps.listing import beginning_again
from offbus_steps.port import Invalid, NotFound, PortError
from offbus_steps.workloads.labels import selector_text
from offbus_steps.workloads.pods import is_ready
from offbus_steps.workloads.services import route_to
from offbus_steps.workloads.target import Target
from offbus_steps.workloads.workload_kinds import workload_of

__all__ = ["note_strangers", "preflight", "strangers_behind"]

NAMED = 5
"""Pods that are named; of others the number."""


async def strangers_behind(cluster: Cluster, target: Target) -> str | None:
    """What is said of the ready pods that the target's Service leads to, and that are none of its own; None for none.

    Raises PortError.
    """
    objects, space = cluster.port.objects, target.namespace
    try:
        services = (await objects.list("Service", namespace=space)).items
        workload = workload_of({**await objects.get(target.ref), "kind": target.kind})
        route = route_to(workload, target.port, services)
    except (NotFound, Invalid):  # no such workload any more, or an environment without Services
        return None
    if not route.service:
        return None
    uid, owners = workload.obj["metadata"]["uid"], cluster.log.world.owners

    async def look() -> list[str]:
        others = []
        async for page in objects.pages("Pod", namespace=space, labels=selector_text(route.labels, ())):
            own = {one["metadata"]["uid"] for one in await owners.its_pods(objects, target, uid, page)}
            others += [
                str(one["metadata"]["name"])
                for one in page.items
                if one["metadata"]["uid"] not in own and is_ready(one)
            ]
        return others

    others = await beginning_again(look)
    named = ", ".join(sorted(others)[:NAMED]) + (f" and {len(others) - NAMED} more" if others[NAMED:] else "")
    whose = f"Service/{space}/{route.service} also leads to pods that are none of {target}'s: {named}"
    return f"{whose}; they may answer clients, and are asked nothing" if others else None


async def note_strangers(run: Recorder, cluster: Cluster, target: Target) -> None:
    """Tell it in the timeline, once for each target."""
    answers = cluster.answers_of(target.ref)
    if answers.looked_behind:
        return
    answers.looked_behind = True
    try:
        others = await strangers_behind(cluster, target)
    except PortError as err:  # it is for whoever reads, and decides nothing
        others = f"cannot tell whom its Service leads to besides: {err.message}"
    if others:
        run.observed(lane="requests", subject=str(target), to=others, tone="caution")


async def preflight(drill: DrillPreflight, _intent: Intent) -> list[PreflightCheck]:
    """See `offbus.preflight.Preflight`."""
    found = await strangers_behind(drill.cluster, drill.target) if drill.target else None
    if not found:
        return []
    hint = "give the target's pods a label of their own, and the Service that label in its selector"
    return [PreflightCheck("requests", found, "warning", hint)]
