"""The real kube-scheduler beside the lone API server, and what it decides of pods on nodes that nobody runs.

Nodes are objects alone: the scheduler reads nothing else of them. Its own word on a pod is the node that it binds it
to, or the condition PodScheduled, whose message counts the nodes by the filter that refused them.
"""

import re
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import anyio

from offbus_steps.kubernetes.port import KubernetesPort
from offbus_steps.port import NotFound, Object, Ref
from tests.kits.kubernetes.lone_server import ADMISSION, WATCHDOG_S, LoneServer, program

__all__ = ["FLAGS", "Case", "Verdict", "decided", "scheduler_beside"]

FLAGS = (*ADMISSION, "--disable-admission-plugins=TaintNodesByCondition")
"""New nodes have no taint that a kubelet would have to remove."""
LOOKS = 400
PAUSE_S = 0.02


@dataclass(frozen=True, slots=True)
class Case:
    """Nodes, pods that run on them, and one that waits."""

    nodes: Sequence[Object]
    running: Sequence[Object]
    pending: Object


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the scheduler decided, and the objects as the API server has them."""

    node: str
    """ "" when the pod fits nowhere."""
    reasons: Mapping[str, int]
    """How many nodes each filter refused."""
    case: Case


@contextmanager
def scheduler_beside(server: LoneServer) -> Iterator[None]:
    """A scheduler that runs while the block does. Raises Missing."""
    command = [
        program("kube-scheduler"),
        f"--kubeconfig={server.kubeconfig('admin')}",
        "--leader-elect=false",
        "--secure-port=0",
        "--kube-api-qps=1000",
        "--kube-api-burst=2000",
    ]
    with (server.folder / "scheduler.log").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    try:
        yield
    finally:
        process.kill()
        process.wait(timeout=WATCHDOG_S)


async def decided(port: KubernetesPort, case: Case) -> Verdict:
    """Create the case, and wait for the scheduler's word on all of its nodes; everything is deleted again."""
    nodes = [await port.objects.create(one) for one in case.nodes]
    try:
        running = [await _bound(port, one) for one in case.running]
        while True:
            pending = await port.objects.create(case.pending)
            node, message = await _word(port, pending)
            known = {one["metadata"]["name"] for one in nodes}
            # it may have looked before it knew the newest nodes: then again, with another pod
            if node in known or message.startswith(f"0/{len(nodes)} nodes"):
                return Verdict(node, _reasons(message), Case(nodes, running, pending))
            await _delete(port, [case.pending])
    finally:
        await _delete(port, [case.pending, *case.running, *case.nodes])


async def _bound(port: KubernetesPort, pod: Object) -> Object:
    """A pod that is on its node, in the state that its status says."""
    made = await port.objects.create({key: value for key, value in pod.items() if key != "status"})
    ref = Ref.of(pod)
    if status := pod.get("status"):
        made = await port.objects.patch(ref, {"status": status}, status=True)
    if pod["metadata"].get("finalizers"):  # keeps it while it is being deleted
        await port.objects.delete(ref)
        made = await port.objects.get(ref)
    return made


async def _word(port: KubernetesPort, pod: Object) -> tuple[str, str]:
    """The node, or the message."""
    for _ in range(LOOKS):
        found = await port.objects.get(Ref.of(pod))
        conditions = (found.get("status") or {}).get("conditions") or ()
        refused = [one for one in conditions if (one["type"], one["status"]) == ("PodScheduled", "False")]
        said = [str(one.get("message")) for one in refused]
        if found["spec"].get("nodeName") or said:
            return found["spec"].get("nodeName") or "", said[0] if said else ""
        await anyio.sleep(PAUSE_S)
    raise TimeoutError(f"the scheduler says nothing of {pod['metadata']['name']}")


def _reasons(message: str) -> dict[str, int]:
    """Of `0/3 nodes are available: 1 Too many pods, 2 Insufficient cpu. preemption: …`."""
    _, _, listed = message.partition(" nodes are available: ")
    found: Counter[str] = Counter()
    for part in listed.split(". ")[0].rstrip(".").split(", "):
        if counted := re.fullmatch(r"(\d+) (.*)", part):
            found[counted[2]] += int(counted[1])
    return dict(found)


async def _delete(port: KubernetesPort, objects: Sequence[Object]) -> None:
    async with anyio.create_task_group() as tasks:
        for one in objects:
            tasks.start_soon(_delete_one, port, one)


async def _delete_one(port: KubernetesPort, obj: Object) -> None:
    ref = Ref.of(obj)
    try:
        if obj["metadata"].get("finalizers"):
            await port.objects.patch(ref, {"metadata": {"finalizers": None}})
        await port.objects.delete(ref, grace_seconds=0)
    except NotFound:
        return
