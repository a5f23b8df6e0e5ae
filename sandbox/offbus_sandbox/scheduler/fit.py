"""Which of a node's GPUs are free; whether a pod fits there is offbus_steps.workloads.fit. Pure functions."""

from collections.abc import Sequence

from offbus_steps.port import Object
from offbus_steps.workloads.gpus import GPU_RESOURCE, held_gpus
from offbus_steps.workloads.pods import is_finished
from offbus_steps.workloads.requests import pod_requests

__all__ = ["free_gpus", "gpus_wanted", "holds_resources"]


def gpus_wanted(pod: Object) -> int:
    """GPUs that a pod needs on its node."""
    return int(pod_requests(pod["spec"]).get(GPU_RESOURCE, 0))


def free_gpus(gpus: Sequence[str], on_node: Sequence[Object]) -> list[str]:
    """The node's GPUs that no pod holds, in order of their index."""
    held = {uuid for pod in on_node for uuid in held_gpus(pod)}
    return [uuid for uuid in gpus if uuid not in held]


def holds_resources(pod: Object) -> bool:
    """A pod holds its resources until it has ended, also while it is being deleted."""
    return bool(pod["spec"].get("nodeName")) and not is_finished(pod)
