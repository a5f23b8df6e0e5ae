"""Whether a target is as its spec says: pure functions of the observer's newest projections."""

from collections.abc import Callable

from offbus_steps.watch.event_log import World
from offbus_steps.watch.target_pods import target_pods
from offbus_steps.workloads.target import Target

__all__ = ["progress_of", "ready_pods", "rolled_out"]


def rolled_out(world: World, target: Target, generation: int = 0) -> bool:
    """Whether `generation` or a newer one is rolled out, and exactly the desired pods exist, all of them ready: no old
    pod still terminates and holds GPUs."""
    workload = world.workload(target.ref)
    if workload is None or not workload.rolled_out or workload.generation < generation:
        return False
    pods = [pod for pod in target_pods(world, target) if pod.phase not in ("Succeeded", "Failed")]
    return len(pods) == workload.desired and all(pod.ready for pod in pods)


def ready_pods(world: World, target: Target) -> int:
    """How many of the target's pods are ready and not terminating."""
    return sum(pod.ready and pod.active for pod in target_pods(world, target))


def progress_of(
    target: Target, say: Callable[[str], None], done: Callable[[World], bool]
) -> Callable[[World], bool | None]:
    """`done`, as a condition to wait for that reports progress."""

    def answer(world: World) -> bool | None:
        workload = world.workload(target.ref)
        desired = workload.desired if workload else "?"
        say(f"{target}: {ready_pods(world, target)} of {desired} pods ready")
        return True if done(world) else None

    return answer
