"""Asks the API server directly, not the observer: for the target's pods now, and for one object until it is gone."""

from contextlib import suppress

from offbus_steps.cluster.cluster import Cluster
from offbus_steps.port import Gone, NotFound, Object, Objects, Ref, Silent, WatchType
from offbus_steps.workloads import pods
from offbus_steps.workloads.target import Target

__all__ = ["target_objects", "until_gone"]


async def target_objects(cluster: Cluster, target: Target) -> list[Object]:
    """The pods that the target's controllers made, as objects, without terminating and finished ones, and those that a
    kubelet created. Raises NotFound when the target is gone."""
    uid = (await cluster.port.objects.get(target.ref))["metadata"]["uid"]
    listing = await cluster.port.objects.list("Pod", namespace=target.namespace, labels=target.selector_text)
    own = await cluster.log.world.owners.its_pods(cluster.port.objects, target, uid, listing)
    return [one for one in own if not (pods.is_terminating(one) or pods.is_finished(one))]


async def until_gone(objects: Objects, ref: Ref, uid: str) -> None:
    """Wait until the object with that uid no longer exists. Bounded by the caller. May raise Unavailable."""
    while True:
        try:
            found = await objects.get(ref)
        except NotFound:
            return
        if found["metadata"]["uid"] != uid:
            return
        version = found["metadata"]["resourceVersion"]
        with suppress(Gone, Silent):
            async for event in objects.watch(ref.kind, namespace=ref.namespace, resource_version=version):
                if event.type is WatchType.DELETED and event.object["metadata"]["name"] == ref.name:
                    break
