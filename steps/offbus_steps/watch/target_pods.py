"""The target's pods, as the observer sees them: it knows none that a kubelet created (`projections.project`)."""

from collections.abc import Mapping

from offbus_steps.watch.event_log import World
from offbus_steps.watch.projections import PodProjection
from offbus_steps.workloads.target import Target

__all__ = ["target_pods"]


def target_pods(world: World, target: Target, labels: Mapping[str, str] | None = None) -> list[PodProjection]:
    """The target's pods by name; with `labels`, those that have these too."""
    more = (labels or {}).items()
    pods = world.pods(target.namespace)
    found = (pod for pod in pods if target.selects(pod.labels) and more <= pod.labels.items())
    return sorted(found, key=lambda pod: pod.ref.name)
