"""Plays the Deployment controller and the kubelets on an API server that has neither: pods appear and are ready.

For every Deployment of one namespace: a ReplicaSet for its template, which owns as many pods as it asks for, made
through the API server, so that admission sees them; each is reported ready; pods of an older template are replaced one
by one. Pods of others are left alone, as the real controllers do.
"""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import anyio

from offbus_sandbox.controllers.deployment import replica_set, template_hash
from offbus_sandbox.store.owners import owner_reference
from offbus_steps.kubernetes.port import KubernetesPort
from offbus_steps.port import Conflict, Gone, NotFound, Object, Ref, Unavailable

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
        found = (await self._port.objects.list("Pod", namespace=self._namespace, labels=labels)).items
        pods = [one for one in found if TEMPLATE in (one["metadata"].get("annotations") or {})]
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
            "ownerReferences": [owner_reference(await set_of(self._port, owner))],
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


async def set_of(port: KubernetesPort, owner: Object) -> Object:
    """The ReplicaSet of a Deployment's template, made where there is none."""
    owner = {**owner, "apiVersion": "apps/v1", "kind": "Deployment"}  # items of lists may lack them
    wanted = replica_set(owner, template_hash(owner))
    with suppress(Conflict):
        return await port.objects.create(wanted)
    found = await port.objects.get(Ref.of(wanted))
    return {**wanted, "metadata": found["metadata"]}


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
