"""The target's pods, as the observer sees them: those with its labels that its own controllers made.

It knows none that a kubelet created (`projections.project`). Labels alone make no pod the target's: see `owners`.
"""

from offbus_steps.watch.event_log import World
from offbus_steps.watch.projections import PodProjection
from offbus_steps.workloads.target import Target

__all__ = ["pods_made_by", "target_pods"]


def target_pods(world: World, target: Target) -> list[PodProjection]:
    """The target's pods by name; none once the workload is gone."""
    workload = world.workload(target.ref)
    return [] if workload is None else pods_made_by(world, target, workload.uid)


def pods_made_by(world: World, target: Target, uid: str) -> list[PodProjection]:
    """The pods of the workload with that uid, which may be gone, by name."""
    found = (
        pod
        for pod in world.pods(target.namespace)
        if target.selects(pod.labels) and world.owners.lead(pod.controller, target.ref, uid)
    )
    return sorted(found, key=lambda pod: pod.ref.name)
