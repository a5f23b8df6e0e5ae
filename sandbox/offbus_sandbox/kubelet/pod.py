"""One pod on its node: init containers in order, then the containers together, until it ends or is deleted.

Native sidecars (init containers with restartPolicy Always) start in their turn, go on beside all that follows, and end
after the containers, in what is left of the pod's grace.
"""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import anyio

from offbus_sandbox.kubelet.container import Container, PodView
from offbus_sandbox.kubelet.host import Host
from offbus_sandbox.kubelet.status import pod_status
from offbus_steps.port import NotFound, Object, Ref
from offbus_steps.workloads.gpus import gpus_of, noted_devices
from offbus_steps.workloads.pods import is_sidecar

__all__ = ["PodWorker"]


class PodWorker:
    """The task that runs a pod. `stop` ends it; when `run` then returns, all its processes have ended."""

    def __init__(self, host: Host, pod: Object, ip: str) -> None:
        """For a pod that was bound to `host`'s node; `ip` is its own loopback address."""
        self._host = host
        self._ref = Ref.of(pod)
        self._uid = pod["metadata"]["uid"]
        with_ip = {**pod, "status": {**pod.get("status", {}), "podIP": ip, "hostIP": "127.0.0.1"}}
        grace_s = float(pod["spec"]["terminationGracePeriodSeconds"])
        self._view = PodView(host, with_ip, ip, self._publish, grace_s)
        self._scope = anyio.CancelScope()
        self._stopped_at = 0.0
        self._initialized = False
        self._inits, self._containers = self._make(pod)

    def stop(self, grace_s: float) -> None:
        """Ask the pod to end; a second call with less grace ends it sooner."""
        shortened = self._scope.cancel_called and grace_s < self._view.grace_s
        self._view.grace_s = min(grace_s, self._view.grace_s) if self._scope.cancel_called else grace_s
        self._stopped_at = anyio.current_time()
        self._scope.cancel()
        if shortened and grace_s == 0:
            for container in (*(one for one, _ in self._inits), *self._containers):
                container.kill()

    async def run(self) -> None:
        """Run the pod; returns when it has ended by itself or by `stop`."""
        self._publish()
        async with anyio.create_task_group() as sidecars:
            with self._scope:
                for container, is_beside in self._inits:
                    if is_beside:
                        sidecars.start_soon(container.run)
                        await container.started.wait()
                    elif await container.run() != 0:
                        break
                else:  # none has failed
                    self._initialized = True
                    async with anyio.create_task_group() as group:
                        for container in self._containers:
                            group.start_soon(container.run)
            if self._scope.cancel_called:
                passed = anyio.current_time() - self._stopped_at
                self._view.grace_s = max(0.0, self._view.grace_s - passed)
            sidecars.cancel_scope.cancel()
        self._publish()

    def _make(self, pod: Object) -> tuple[list[tuple[Container, bool]], list[Container]]:
        """The init containers, each with whether it is a sidecar, and the containers; with the GPUs of each.

        An init container's GPUs are free again when it has ended; a sidecar keeps its own.
        """
        spec = pod["spec"]
        gpus = noted_devices(pod)
        ends = "Never" if spec["restartPolicy"] == "Never" else "OnFailure"
        inits, containers = [], []
        for container in spec.get("initContainers") or ():
            beside, count = is_sidecar(container), gpus_of(container)
            made = self._container(container, gpus[:count], "Always" if beside else ends)
            inits.append((made, beside))
            gpus = gpus[count:] if beside else gpus
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
        inits = [c.status for c, _ in self._inits]
        status = pod_status(pod, self._view.ip, containers, inits, initialized=self._initialized)
        with suppress(NotFound):
            self._host.store.set_status(self._ref, status)
