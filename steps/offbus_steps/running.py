"""The target's pods as the API server has them now."""

from offbus_steps import pods
from offbus_steps.cluster import Cluster
from offbus_steps.port import Object
from offbus_steps.target import Target

__all__ = ["target_objects"]


async def target_objects(cluster: Cluster, target: Target) -> list[Object]:
    """The target's pods as objects, those on their way out left away."""
    labels = ",".join(f"{key}={value}" for key, value in target.selector.items())
    listing = await cluster.port.objects.list("Pod", namespace=target.namespace, labels=labels)
    return [one for one in listing.items if not pods.is_terminating(one) and not pods.is_finished(one)]
