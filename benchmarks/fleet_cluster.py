"""The cluster of the fleet's benchmark: an API server with its audit log, and nodes and pods that kwok plays."""

import json
import random
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio

from offbus_steps.kubernetes.port import AGENT_NAMESPACE, KubernetesPort
from offbus_steps.kubernetes.rest.api import Call
from offbus_steps.port import Object, Ref
from offbus_steps.workloads.pods import is_ready
from tests.kits.cluster.kwok import FAKE, SERVER_OPTION, kwok
from tests.kits.kubernetes.lone_server import (
    ADMIN,
    ADMISSION,
    GROUP_OF_ADMINS,
    LoneServer,
    free_port,
    lone_server,
)

__all__ = ["BESIDE", "DRILLS", "Fleet", "served"]

DRILLS, FLEET = "drill-fleet", "fleet"
BESIDE = "offbus-beside"
"""Where a second runner has its Lease: two runs in one namespace of agents exclude each other."""
WRITERS = 64
"""At once: an API server of this size needs tenths of a second for a write."""
LOOK_S = 5.0
NAMES_ALONE = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
REPLACED = 0.05
"""Of the pods that change; that is several changes. The others' status is reported, as kubelets do."""
STRATEGIC = "application/strategic-merge-patch+json"
AUDIT = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {
            "level": "Metadata",
            "users": ["admin"],
            "verbs": ["patch"],
            "resources": [{"group": "", "resources": ["nodes"]}],
        },
        {"level": "None"},
    ],
}
KWOK_USER = "kwok"


@contextmanager
def served(folder: Path) -> Iterator[LoneServer]:
    """The API server, with its audit log, and kwok."""
    (folder / "audit.json").write_text(json.dumps(AUDIT))
    audit = [f"--audit-policy-file={folder / 'audit.json'}", f"--audit-log-path={folder / 'audit.log'}"]
    users = {**ADMIN, KWOK_USER: GROUP_OF_ADMINS}
    with lone_server(folder, users, (*ADMISSION, *audit, SERVER_OPTION)) as server:
        command = kwok(folder, server.kubeconfig(KWOK_USER), node_ip="127.0.0.1", port=free_port())
        with (folder / "kwok.log").open("wb") as log:
            player = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            yield server
        finally:
            player.kill()
            player.wait()


class Fleet:
    """Nodes, and pods bound to them."""

    def __init__(self, port: KubernetesPort, nodes: int, pods: int) -> None:
        self._port = port
        self.nodes = nodes
        self.pods = pods
        self.made_s = 0.0
        """How long making it took."""
        self.played_s = 0.0
        """How long it took until kwok had all of it ready."""

    async def make(self, patience_s: float) -> None:
        """Write all of it, and a target that never gets ready; returns when kwok plays all of it."""
        begun = time.monotonic()
        with anyio.move_on_after(patience_s) as bound:
            for name in (DRILLS, FLEET, AGENT_NAMESPACE, BESIDE):
                await self._create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
            await self._create(target())
            await each(self.nodes, "nodes", lambda number: self._create(node(number)))
            await each(self.pods, "pods", lambda number: self._create(pod(number, self.nodes)))
            self.made_s = time.monotonic() - begun
            await self._played("nodes", self.nodes, self._unready_nodes)
            await self._played("pods", self.pods, self._waiting_pods)
        self.played_s = time.monotonic() - begun
        if bound.cancelled_caught:
            raise SystemExit(f"bench-fleet: the fleet was not ready within {patience_s:g} s")
        said(f"written in {self.made_s:.0f} s, all of it ready after {self.played_s:.0f} s")

    async def churn(self, a_second: int) -> None:
        """Report and replace pods, at least so many changes a second, spread over writers, for ever."""
        pause_s = WRITERS / a_second

        async def work(first: int) -> None:
            """Each has pods of its own, so no two change the same one."""
            drawn, own = random.Random(first), range(first, self.pods, WRITERS)
            turns = dict.fromkeys(own, 0)
            due = anyio.current_time()
            while True:
                await anyio.sleep_until(due)
                due += pause_s  # what came late is made up for
                number = drawn.choice(own)
                if drawn.random() < REPLACED:
                    await self._port.objects.delete(Ref.of(pod(number, self.nodes, turns[number])))
                    turns[number] += 1
                    await self._create(pod(number, self.nodes, turns[number]))
                else:
                    await self._report(Ref.of(pod(number, self.nodes, turns[number])), drawn.random())

        async with anyio.create_task_group() as tasks:
            for first in range(WRITERS):
                tasks.start_soon(work, first)

    async def _report(self, ref: Ref, what: float) -> None:
        condition = {"type": "fleet.example/Checked", "status": "True", "message": f"{what}"}
        path = f"/api/v1/namespaces/{ref.namespace}/pods/{ref.name}/status"
        await self._port.api.json(
            Call("PATCH", path, body={"status": {"conditions": [condition]}}, content_type=STRATEGIC)
        )

    async def cordon(self, times: int, pause_s: float) -> list[str]:
        """Cordon some nodes, one after the other, each long enough for a poll to see it."""
        names = [node_name(number) for number in random.Random(2).sample(range(self.nodes), times)]
        for name in names:
            await self._port.objects.patch(Ref("Node", name), {"spec": {"unschedulable": True}})
            await anyio.sleep(pause_s)
        return names

    async def uncordon(self, names: list[str]) -> None:
        """As they were."""
        for name in names:
            await self._port.objects.patch(Ref("Node", name), {"spec": {"unschedulable": None}})

    async def version(self) -> int:
        """The cluster's version: each write raises it by one."""
        found = await self._port.api.json(Call("GET", "/api/v1/nodes", params={"limit": "1"}))
        return int(found["metadata"]["resourceVersion"])

    async def _create(self, obj: Object) -> None:
        await self._port.objects.create(obj)

    async def _played(self, what: str, count: int, left: Callable[[], Awaitable[int]]) -> None:
        """Until kwok has made all of them ready. A benchmark may look again and again."""
        while waiting := await left():
            said(f"{count - waiting} of {count} {what} are ready")
            await anyio.sleep(LOOK_S)

    async def _unready_nodes(self) -> int:
        pages = self._port.objects.pages("Node")
        return sum([not is_ready(node) async for page in pages for node in page.items])

    async def _waiting_pods(self) -> int:
        """Names alone: whole pods would keep the machine from playing them."""
        path, params = f"/api/v1/namespaces/{FLEET}/pods", {"fieldSelector": "status.phase!=Running"}
        found = await self._port.api.json(Call("GET", path, params=params, headers={"Accept": NAMES_ALONE}))
        return len(found["items"] or ())


async def each(count: int, what: str, do: Callable[[int], Awaitable[Any]]) -> None:
    """Do it for every number, some at a time, and say ten times how far it is."""
    numbers, begun = iter(range(count)), time.monotonic()

    async def work() -> None:
        for number in numbers:
            await do(number)
            if (number + 1) % max(1, count // 10) == 0:
                said(f"{number + 1} of {count} {what} written, {time.monotonic() - begun:.0f} s")

    async with anyio.create_task_group() as tasks:
        for _ in range(WRITERS):
            tasks.start_soon(work)


def said(text: str) -> None:
    """Tell whoever waits."""
    print(f"bench-fleet: {text}", file=sys.stderr, flush=True)


def node_name(number: int) -> str:
    """Such as fleet-00017."""
    return f"fleet-{number:05d}"


def node(number: int) -> Object:
    """As a cloud's: with as many labels and annotations as such nodes have."""
    labels = {f"fleet.example/label-{one}": f"value-{one}-{number % 7}" for one in range(25)}
    annotations = {"fleet.example/zone": "a", **FAKE}
    meta = {"name": node_name(number), "labels": labels, "annotations": annotations}
    return {"apiVersion": "v1", "kind": "Node", "metadata": meta}


def pod(number: int, nodes: int, turn: int = 0) -> Object:
    """Bound to its node. Each turn has a name of its own: what it replaces may not be gone yet."""
    container = {"name": "main", "image": "none", "env": [{"name": "A", "value": "b"}]}
    name = f"pod-{number:05d}-{turn}"
    meta = {"name": name, "namespace": FLEET, "labels": {"app": f"app-{number % 100}"}}
    spec = {"nodeName": node_name(number % nodes), "containers": [container]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}


def target() -> Object:
    """A Deployment without a controller."""
    labels = {"app": "llm"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "main", "image": "none"}]}}
    spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    meta = {"name": "llm", "namespace": DRILLS}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": spec}
