"""Plays the Deployment controller and the kubelets on an API server that has neither: pods appear and are ready.

For every Deployment of one namespace: as many pods as it asks for, made from its template through the API server, so
that admission sees them; each is reported ready; pods of an older template are replaced one by one.
"""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio

from offbus_steps.kubernetes.port import KubernetesPort
from offbus_steps.port import Gone, NotFound, Object, Ref, Unavailable

READY = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
TEMPLATE = "offbus.test/template"
"""Annotation on a pod: the generation of the template that it was made from."""


class PodPlayer:
    """See the module."""

    def __init__(self, port: KubernetesPort, namespace: str) -> None:
        self._port = port
        self._namespace = namespace
        self._wake = anyio.Event()

    async def run(self) -> None:
        """Play, for ever."""
        async with anyio.create_task_group() as tasks:
            for kind in ("Deployment", "Pod"):
                tasks.start_soon(self._follow, kind)
            while True:
                self._wake = anyio.Event()
                for one in (await self._port.objects.list("Deployment", namespace=self._namespace)).items:
                    await self._reconcile(one)
                await self._wake.wait()

    async def _follow(self, kind: str) -> None:
        while True:
            version = (await self._port.objects.list(kind, namespace=self._namespace)).resource_version
            self._wake.set()
            try:
                async for _ in self._port.objects.watch(
                    kind, namespace=self._namespace, resource_version=version
                ):
                    self._wake.set()
            except (Gone, Unavailable):
                continue

    async def _reconcile(self, owner: Object) -> None:
        labels = ",".join(f"{k}={v}" for k, v in owner["spec"]["selector"]["matchLabels"].items())
        pods = (await self._port.objects.list("Pod", namespace=self._namespace, labels=labels)).items
        for pod in pods:
            if (pod.get("status") or {}).get("phase") != "Running":
                await self._quietly(self._port.objects.patch(Ref.of(pod), {"status": READY}, status=True))
        old = [one for one in pods if one["metadata"]["annotations"][TEMPLATE] != fingerprint(owner)]
        for number in range(owner["spec"]["replicas"]):
            if not any(one["metadata"]["name"].endswith(f"-{number}") for one in pods):
                await self._make(owner, number)
        if old:
            await self._quietly(self._port.objects.delete(Ref.of(old[0])))
        ready = sum((one.get("status") or {}).get("phase") == "Running" for one in pods)
        await self._report(owner, len(pods), len(pods) - len(old), ready)

    async def _make(self, owner: Object, number: int) -> None:
        template = owner["spec"]["template"]
        meta = {
            "name": f"{owner['metadata']['name']}-{number}",
            "namespace": self._namespace,
            "labels": template["metadata"]["labels"],
            "annotations": {TEMPLATE: fingerprint(owner)},
        }
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": template["spec"]}
        await self._port.objects.create(pod)

    async def _report(self, owner: Object, replicas: int, updated: int, ready: int) -> None:
        status = {
            "observedGeneration": owner["metadata"]["generation"],
            "replicas": replicas,
            "updatedReplicas": updated,
            "readyReplicas": ready,
            "availableReplicas": ready,
        }
        have = owner.get("status") or {}
        if any(have.get(key, 0) != value for key, value in status.items()):
            await self._quietly(self._port.objects.patch(Ref.of(owner), {"status": status}, status=True))

    async def _quietly(self, call: object) -> None:
        """What is gone meanwhile is gone."""
        try:
            await call  # type: ignore[misc]
        except NotFound:
            self._wake.set()


def fingerprint(owner: Object) -> str:
    """Names the present template."""
    return str(abs(hash(json.dumps(owner["spec"]["template"], sort_keys=True))))


@asynccontextmanager
async def playing(port: KubernetesPort, namespace: str) -> AsyncIterator[None]:
    """While the block runs."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(PodPlayer(port, namespace).run)
        yield
        tasks.cancel_scope.cancel()
