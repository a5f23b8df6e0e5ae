"""A node's kubelet: runs a worker for each pod that is bound to its node; deleted, it has the grace its object says."""

import shutil

import anyio
import structlog
from anyio.abc import TaskGroup

from offbus_sandbox.kubelet.addresses import Addresses
from offbus_sandbox.kubelet.host import Host
from offbus_sandbox.kubelet.pod import PodWorker
from offbus_sandbox.store.history import Change
from offbus_steps.port import Object, Ref, WatchType

__all__ = ["Kubelet"]

LAST_GRACE_S = 5.0
"""How long pods may take to end when the whole sandbox ends."""


class Kubelet:
    """Pods of one node. Starts with `run`; `stop` returns when all pods have ended."""

    def __init__(self, host: Host, addresses: Addresses) -> None:
        """For `host`'s node."""
        self._host = host
        self._addresses = addresses
        self._workers: dict[str, PodWorker] = {}
        self._group: TaskGroup | None = None
        self._empty = anyio.Event()
        self._stopping = False
        self._log = structlog.get_logger().bind(node=host.name)

    async def run(self) -> None:
        """Serve until cancelled."""
        async with anyio.create_task_group() as group:
            self._group = group
            self._host.store.listen(self._on_change)
            for pod in list(self._host.store.each("Pod")):
                self._look_at(pod)
            await anyio.sleep_forever()

    async def stop(self) -> None:
        """End all pods' processes; their objects stay for the next supervisor."""
        self._stopping = True
        for worker in self._workers.values():
            worker.stop(LAST_GRACE_S)
        while self._workers:
            self._empty = anyio.Event()
            await self._empty.wait()

    def _on_change(self, change: Change) -> None:
        if change.object["kind"] != "Pod":
            return
        if change.type is WatchType.DELETED:
            worker = self._workers.get(change.object["metadata"]["uid"])
            if worker:
                worker.stop(0)
        else:
            self._look_at(change.object)

    def _look_at(self, pod: Object) -> None:
        if pod["spec"].get("nodeName") != self._host.name or self._group is None or self._stopping:
            return
        meta = pod["metadata"]
        worker = self._workers.get(meta["uid"])
        if meta.get("deletionTimestamp"):
            if worker:
                worker.stop(float(meta["deletionGracePeriodSeconds"]))
            else:
                self._group.start_soon(self._forget, pod)
        elif worker is None and pod.get("status", {}).get("phase") not in {"Succeeded", "Failed"}:
            worker = self._workers[meta["uid"]] = PodWorker(self._host, pod, self._addresses.next())
            self._group.start_soon(self._live, pod, worker)

    async def _live(self, pod: Object, worker: PodWorker) -> None:
        try:
            await worker.run()
        except Exception:  # noqa: BLE001  # a bug in one pod's worker must not end the others
            self._log.exception("pod worker failed", pod=str(Ref.of(pod)))
        del self._workers[pod["metadata"]["uid"]]
        self._empty.set()
        if not self._stopping:
            await self._forget(pod)

    async def _forget(self, pod: Object) -> None:
        """Remove a deleted pod that has ended from the store: its object is never gone before its processes are."""
        ref, uid = Ref.of(pod), pod["metadata"]["uid"]
        now = self._host.store.find(ref)
        if now is None or now["metadata"]["uid"] != uid or now["metadata"].get("deletionTimestamp"):
            shutil.rmtree(self._host.pod_folder(pod), ignore_errors=True)
            if now is not None and now["metadata"]["uid"] == uid:
                self._host.store.remove(ref)
