"""Replaces a target's pods a few at a time, without touching its spec.

At most a quarter of them at once, as a rollout does by default: a batch is deleted (uid precondition), and the next
waits until the target is complete again. Pods that come back wrong were created by an API server that did not know the
admission policies yet: nothing signals when it does, so the pauses grow, and the number of deletions is limited.
"""

from collections.abc import Callable
from functools import partial

import anyio

from offbus.errors import StepFailed
from offbus_steps.cluster.cluster import Cluster
from offbus_steps.deletion import delete
from offbus_steps.watch.event_log import World
from offbus_steps.watch.projections import PodProjection
from offbus_steps.watch.readiness import rolled_out
from offbus_steps.watch.target_pods import target_pods
from offbus_steps.workloads.target import Target

__all__ = ["replace_pods"]

ROUNDS = 6
"""How often all pods may be replaced before it gives up."""
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 15.0

Wrong = Callable[[PodProjection], bool]


async def replace_pods(cluster: Cluster, target: Target, wrong: Wrong, say: Callable[[str], None]) -> int:
    """Delete the pods that are `wrong` until none remains. Returns how many. Raises StepFailed when it gives up."""
    deleted: set[str] = set()
    first = {pod.uid for pod in target_pods(cluster.log.world, target)}
    limit, pause = ROUNDS * max(1, len(first)), FIRST_PAUSE_S
    while stale := [pod for pod in target_pods(cluster.log.world, target) if pod.active and wrong(pod)]:
        if len(deleted) >= limit:
            raise StepFailed(
                f"the pods of {target} come back unchanged: {', '.join(one.ref.name for one in stale)}"
            )
        if any(pod.uid not in first for pod in stale):
            await anyio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_S)
        batch = stale[: max(1, len(target_pods(cluster.log.world, target)) // 4)]
        for pod in batch:
            await delete(cluster.port.objects, pod.ref, pod.uid)  # or it is gone or replaced already
        deleted |= {pod.uid for pod in batch}
        say(f"{target}: {len(deleted)} pods replaced")
        await cluster.log.until(partial(_complete, target, deleted))
    return len(deleted)


def _complete(target: Target, gone: set[str], world: World) -> bool | None:
    """Whether the deleted pods are gone and the target is rolled out, or was deleted itself."""
    remaining = [pod for pod in target_pods(world, target) if pod.uid in gone]
    if remaining:
        return None
    return True if world.workload(target.ref) is None or rolled_out(world, target) else None
