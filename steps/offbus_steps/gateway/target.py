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
from offbus_steps.port import NotFound, Object, Objects, Port, PortError, Ref
from offbus_steps.safety.guards import ClusterGuards
from offbus_steps.watch.owners import MOST_LINKS
from offbus_steps.workloads import gpus, pods
from offbus_steps.workloads.controllers import OWNER_KINDS
from offbus_steps.workloads.workload_kinds import WORKLOAD_KINDS

__all__ = ["Aimed", "find_target", "workload_of_pod"]


@dataclass(frozen=True, slots=True)
class Aimed:
    """A GPU, and the workload whose pod runs beside it or holds it."""

    node: str
    gpu_id: int
    uuid: str
    workload: Ref


async def find_target(port: Port, guards: ClusterGuards, node: str, gpu_id: int) -> Aimed:
    """Raises Refusal 404 for an unknown node or GPU, 409 where no workload of the drill is, 503 without an answer."""
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
    for pod in able:
        workload = await workload_of_pod(port.objects, pod)
        if workload is not None:
            return Aimed(node, gpu_id, uuid, workload)
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
    """The highest controller that can be a target; None without one."""
    found, one = None, pod
    for _ in range(MOST_LINKS):
        by = pods.controller_of(one)
        if by is None or by.get("kind") not in OWNER_KINDS | set(WORKLOAD_KINDS):
            break
        ref = Ref(str(by["kind"]), str(by["name"]), pod["metadata"]["namespace"])
        try:
            above = await objects.get(ref)
        except PortError:
            break
        if above["metadata"]["uid"] != by.get("uid"):
            break
        one = {**above, "kind": ref.kind}
        found = ref if ref.kind in WORKLOAD_KINDS else found
    return found
