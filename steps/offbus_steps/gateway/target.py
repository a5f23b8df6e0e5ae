"""Finds the workload that a fault on a node's GPU would hit: a run needs a target, and the published API has none.

The pods that count are ready, hold GPUs, and belong to the drill's namespaces; the one that holds the GPU comes first,
then by name. Its workload is the highest of its chain of controllers that can be a target, each followed by uid. It
only looks: the injecting step and the guards decide, and look again.
"""

from dataclasses import dataclass
from typing import Any

from offbus.errors import StepError
from offbus_agent.refusals import Refusal
from offbus_steps.listing import projected
from offbus_steps.port import Invalid, NotFound, Object, Objects, Port, PortError, Ref
from offbus_steps.safety.guards import ClusterGuards
from offbus_steps.watch.owners import MOST_LINKS
from offbus_steps.workloads import gpus, pods
from offbus_steps.workloads.controllers import OWNER_KINDS, Controller, controller
from offbus_steps.workloads.workload_kinds import WORKLOAD_KINDS

__all__ = ["Aimed", "find_target", "workload_of_pod"]

KINDS = OWNER_KINDS | set(WORKLOAD_KINDS)
"""What is followed."""


@dataclass(frozen=True, slots=True)
class Aimed:
    """A GPU, and the workload whose pod runs beside it or holds it."""

    node: str
    gpu_id: int
    uuid: str
    workload: Ref


async def find_target(port: Port, guards: ClusterGuards, node: str, gpu_id: int) -> Aimed:
    """Raises Refusal 404 for an unknown node or GPU, 409 where no workload of the drill is, 503 without an answer.

    Raises PortError where it may not be read whose the pods are.
    """
    try:
        await port.objects.get(Ref("Node", node))
    except NotFound:
        names = sorted(one["metadata"]["name"] for one in (await port.objects.list("Node")).items)
        hint = f"nodes here: {', '.join(names[:20])}"
        raise Refusal(404, "unknown_node", f"there is no node {node}", hint) from None
    uuid = await _uuid(port, node, gpu_id)
    here = await projected(port.objects, "Pod", lambda pod: pods.lean(pod, [node]))
    able = [pod for pod in here if _counts(pod, guards)]
    able.sort(key=lambda pod: (uuid not in gpus.held_gpus(pod), pod["metadata"]["name"]))
    unread: PortError | None = None
    for pod in able:
        try:
            workload = await workload_of_pod(port.objects, pod)
        except PortError as err:
            unread = unread or err
        else:
            if workload is not None:
                return Aimed(node, gpu_id, uuid, workload)
    if unread is not None:
        raise unread
    where = ", ".join(guards.namespaces)
    raise Refusal(
        409,
        "no_target",
        f"no workload in the namespaces {where} has a ready pod with GPUs on {node}, and a fault needs a target",
        "deploy one, or allow its namespace in the gateway's guards",
    )


async def _uuid(port: Port, node: str, gpu_id: int) -> str:
    try:
        reply = await port.agents.request(node, "GET", "/health")
        found: list[dict[str, Any]] = reply.json()["gpus"]
        known = {int(one["index"]): str(one["uuid"]) for one in found}
    except (PortError, KeyError, TypeError, ValueError) as err:
        hint = "the agent's pod on that node may not run"
        raise Refusal(503, "no_agent", f"the agent of {node} cannot be asked: {err}", hint) from err
    if gpu_id not in known:
        has = ", ".join(map(str, sorted(known))) or "none"
        raise Refusal(404, "unknown_gpu", f"{node} has no GPU {gpu_id}", f"GPUs there: {has}")
    return known[gpu_id]


def _counts(pod: Object, guards: ClusterGuards) -> bool:
    allowed = guards.allows_namespace(pod["metadata"]["namespace"]) and not pods.is_of_kubelet(pod)
    try:
        return allowed and pods.is_ready(pod) and gpus.gpu_request(pod["spec"]) > 0
    except StepError:  # an amount that is none: the step refuses its node with the reason
        return False


async def workload_of_pod(objects: Objects, pod: Object) -> Ref | None:
    """The highest controller that can be a target; None without one. Raises PortError where one may not be read."""
    namespace = pod["metadata"]["namespace"]
    found, one = None, pod
    for _ in range(MOST_LINKS):
        by = controller(one)
        above = await _by_uid(objects, by, namespace) if by is not None and by.kind in KINDS else None
        if by is None or above is None:
            break
        one = above
        found = Ref(by.kind, str(one["metadata"]["name"]), namespace) if by.kind in WORKLOAD_KINDS else found
    return found


async def _by_uid(objects: Objects, one: Controller, namespace: str) -> Object | None:
    """A controller, if it is there. By a list: a runner may list all of these kinds, and get only some."""
    try:
        found = await projected(
            objects,
            one.kind,
            lambda obj: obj if obj["metadata"]["uid"] == one.uid else None,
            namespace=namespace,
        )
    except (NotFound, Invalid):  # a kind that is not served here
        return None
    return found[0] if found else None
