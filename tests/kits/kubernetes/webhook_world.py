"""The webhook on a lone API server: deploy/webhook as it is, and its program as a process with that Role and no more.

There is no kube-proxy, so Services are given addresses of the loopback, and the program listens on its Service's own.
"""

import secrets
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import yaml

from offbus_steps.kubernetes.port import AGENT_NAMESPACE, KubernetesPort
from offbus_steps.kubernetes.rest.api import Call
from offbus_steps.port import Ref
from offbus_steps.prepare.webhook_configuration import CERTIFICATE, SERVICE
from offbus_steps.testing.conformance.waiting import until
from tests.kits import REPOSITORY
from tests.kits.kubernetes.killed_runs import Process
from tests.kits.kubernetes.kubernetes_world import port_to, server_of_its_own
from tests.kits.kubernetes.lone_server import LoneServer

__all__ = ["WebhookWorld", "webhook_world"]

MANIFEST = REPOSITORY / "deploy" / "webhook" / "webhook.yaml"
NAMESPACE = "n"


class WebhookWorld:
    """A server with the webhook deployed; `start` and `kill` its program."""

    def __init__(self, server: LoneServer, port: KubernetesPort, folder: Path) -> None:
        self.server = server
        self.port = port
        self.namespace = NAMESPACE
        self._folder = folder
        self._program: Process | None = None
        self._starts = 0

    async def install(self) -> None:
        for name in (AGENT_NAMESPACE, NAMESPACE, f"{NAMESPACE}-b"):
            await self.port.objects.create(
                {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
            )
        for obj in yaml.safe_load_all(MANIFEST.read_text()):
            group = f"/apis/{obj['apiVersion']}" if "/" in obj["apiVersion"] else f"/api/{obj['apiVersion']}"
            path = f"{group}/namespaces/{AGENT_NAMESPACE}/{obj['kind'].lower()}s"
            await self.port.api.json(Call("POST", path, body=obj))

    async def ready(self, replicas: int) -> None:
        """What a Deployment controller would report."""
        status = {"status": {"replicas": 1, "readyReplicas": replicas}}
        await self.port.objects.patch(Ref("Deployment", SERVICE, AGENT_NAMESPACE), status, status=True)

    async def start(self) -> None:
        """The program, once its certificate is published."""
        published = Ref("ConfigMap", SERVICE, AGENT_NAMESPACE)
        before = ((await self.port.objects.get(published)).get("data") or {}).get(CERTIFICATE)
        service = await self.port.objects.get(Ref("Service", SERVICE, AGENT_NAMESPACE))
        listen = ["--host", service["spec"]["clusterIP"], "--port", "443"]
        config = self.server.write_kubeconfig(
            self._folder / "webhook.kubeconfig", {"token": await self._token()}
        )
        command = [sys.executable, "-m", "offbus_steps.kubernetes.webhook.server", *listen]
        self._starts += 1
        out = self._folder / f"webhook-{self._starts}.log"
        env = {"PATH": "/usr/bin:/bin", "HOME": str(self._folder)}
        self._program = Process([*command, "--kubeconfig", str(config)], out, env)
        await until(
            self.port, published, lambda one: (one.get("data") or {}).get(CERTIFICATE) not in (None, before)
        )

    def kill(self) -> None:
        """SIGKILL, as a crash."""
        if self._program is not None:
            self._program.kill()
            self._program = None

    async def _token(self) -> str:
        """The ServiceAccount's own."""
        path = f"/api/v1/namespaces/{AGENT_NAMESPACE}/serviceaccounts/{SERVICE}/token"
        body: dict[str, Any] = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
        return str((await self.port.api.json(Call("POST", path, body=body)))["status"]["token"])


@asynccontextmanager
async def webhook_world(folder: Path, flags: tuple[str, ...]) -> AsyncIterator[WebhookWorld]:
    """A server of the test's own, `flags` among its arguments; the webhook is deployed, ready and not started."""
    loopback = f"127.{100 + secrets.randbelow(100)}.{secrets.randbelow(250)}.0/24"
    flags = (*flags, f"--service-cluster-ip-range={loopback}")
    with server_of_its_own(folder / "server", flags=flags) as server:
        async with port_to(server) as port:
            world = WebhookWorld(server, port, folder)
            await world.install()
            await world.ready(1)
            try:
                yield world
            finally:
                world.kill()
