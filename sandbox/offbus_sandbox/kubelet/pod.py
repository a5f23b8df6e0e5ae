"""One pod on its node: init containers in order, then the containers together, until it ends or is deleted."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import anyio

from offbus_sandbox.kubelet.container import Container, PodView
from offbus_sandbox.kubelet.host import Host
from offbus_sandbox.kubelet.status import pod_status
from offbus_steps.port import NotFound, Object, Ref
from offbus_steps.workloads.pods import gpu_request, held_gpus

__all__ = ["PodWorker"]


class PodWorker:
    """The task that runs a pod. `stop` ends it; when `run` then returns, all its processes have ended."""

    def __init__(self, host: Host, pod: Object, ip: str) -> None:
        """For a pod that was bound to `host`'s node; `ip` is its own loopback address."""
        self._host = host
        self._ref = Ref.of(pod)
        self._uid = pod["metadata"]["uid"]
        with_ip = {**pod, "status": {**pod.get("status", {}), "podIP": ip, "hostIP": "127.0.0.1"}}
        self._view = PodView(host, with_ip, ip, self._publish)
        self._scope = anyio.CancelScope()
        self._initialized = False
        self._inits, self._containers = self._make(pod)

    def stop(self, grace_s: float) -> None:
        """Ask the pod to end; a second call with less grace ends it sooner."""
        shortened = self._scope.cancel_called and grace_s < self._view.grace_s
        self._view.grace_s = min(grace_s, self._view.grace_s) if self._scope.cancel_called else grace_s
        self._scope.cancel()
        if shortened and grace_s == 0:
            for container in (*self._inits, *self._containers):
                container.kill()

    async def run(self) -> None:
        """Run the pod; returns when it has ended by itself or by `stop`."""
        self._publish()
        with self._scope:
            if await self._initialize():
                async with anyio.create_task_group() as group:
                    for container in self._containers:
                        group.start_soon(container.run)
        self._publish()

    async def _initialize(self) -> bool:
        for container in self._inits:
            if await container.run() != 0:
                return False
        self._initialized = True
        return True

    def _make(self, pod: Object) -> tuple[list[Container], list[Container]]:
        spec = pod["spec"]
        gpus = list(held_gpus(pod))
        inits_policy = "Never" if spec["restartPolicy"] == "Never" else "OnFailure"
        inits = [
            self._container(c, gpus[: gpus_of(c)], inits_policy) for c in spec.get("initContainers") or ()
        ]
        containers = []
        for container in spec["containers"]:
            count = gpus_of(container)
            containers.append(self._container(container, gpus[:count], spec["restartPolicy"]))
            gpus = gpus[count:]
        return inits, containers

    def _container(self, spec: Mapping[str, Any], gpus: list[str], policy: str) -> Container:
        container = Container(self._view, spec, gpus, policy=policy)
        statuses = self._view.pod.get("status", {})
        for old in (*statuses.get("containerStatuses", ()), *statuses.get("initContainerStatuses", ())):
            if old["name"] == spec["name"]:
                container.take_over(old)
        return container

    def _publish(self) -> None:
        pod = self._host.store.find(self._ref)
        if pod is None or pod["metadata"]["uid"] != self._uid:
            return  # deleted at once (grace 0): there is no object to update
        containers = [c.status for c in self._containers]
        inits = [c.status for c in self._inits]
        status = pod_status(pod, self._view.ip, containers, inits, initialized=self._initialized)
        with suppress(NotFound):
            self._host.store.set_status(self._ref, status)


def gpus_of(container: Mapping[str, Any]) -> int:
    """How many GPUs one container asks for."""
    return gpu_request({"containers": [container]})
