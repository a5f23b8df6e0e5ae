"""deploy/ on a lone API server, as its README says, and our programs under the rights that it gives and no others.

The manifests are applied and the roles bound by the README's own commands, as an administrator types them. From then on
the runner is a user who holds those bindings alone; reaper, webhook and the stand-in responder have the tokens of their
ServiceAccounts; the agents have none. What each of them asked is in the API server's audit log.
"""

import json
import os
import re
import ssl
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml

from offbus_sandbox.config import DRIVER_VERSION
from offbus_sandbox.nodes.folder import make_node_folder
from offbus_sandbox.nodes.gpus import gpus_of
from offbus_steps.kubernetes.agents import AGENT_PORT
from offbus_steps.kubernetes.port import AGENT_NAMESPACE, KubernetesPort
from offbus_steps.kubernetes.rest.api import Call
from offbus_steps.port import Ref
from offbus_steps.prepare.webhook_configuration import CERTIFICATE
from offbus_steps.prepare.webhook_configuration import SERVICE as WEBHOOK
from offbus_steps.testing.conformance.waiting import until
from tests.kits import REPOSITORY
from tests.kits.kubernetes.audit import Asked, asked_by, audit_flags
from tests.kits.kubernetes.definitions import define
from tests.kits.kubernetes.gpu_cluster import GPUS, NODES, POD_IP, POD_PORT, kubelet_ip, playing_cluster
from tests.kits.kubernetes.killed_runs import Process
from tests.kits.kubernetes.kubernetes_world import port_to, server_of_its_own
from tests.kits.kubernetes.lone_server import ADMIN, ADMISSION, LoneServer, free_port, program
from tests.kits.kubernetes.tunnel import Tunnel, tunnel

__all__ = ["DRILLS", "RESPONDERS", "RUNNER", "RoleWorld", "role_world"]

DEPLOY = REPOSITORY / "deploy"
DRILLS = "drill-a"
"""The namespace of the README's example."""
RUNNER = "runner"
RESPONDERS = "nvsentinel"
COMMAND = re.compile(r"^\$ (kubectl .*?)\s*(?:#.*)?$", re.MULTILINE)
DEFINED = sorted((REPOSITORY / "tests/kits/kubernetes/manifests").glob("*-crd.yaml"))
PATH = {"PATH": os.environ["PATH"]}
LIMIT_S = 120


@dataclass
class RoleWorld:
    """One server, one set of bindings."""

    server: LoneServer
    port: KubernetesPort
    """An administrator's."""
    folder: Path
    paths: Tunnel
    programs: list[Process] = field(default_factory=list)
    responders: list[Process] = field(default_factory=list)

    def kubectl(self, *arguments: str) -> str:
        """As the administrator. Raises AssertionError with its complaint."""
        command = [program("kubectl"), f"--kubeconfig={self.server.kubeconfig('admin')}", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S)
        assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr}"
        return done.stdout

    async def webhook(self) -> None:
        """As deploy/webhook starts it, once its certificate is published."""
        service = await self.port.objects.get(Ref("Service", WEBHOOK, AGENT_NAMESPACE))
        await self.ready("Deployment", WEBHOOK, AGENT_NAMESPACE)
        port = free_port()
        self.paths.leads[f"{service['spec']['clusterIP']}:443"] = ("127.0.0.1", port)
        options = (f"--namespace={AGENT_NAMESPACE}", "--host=127.0.0.1", f"--port={port}")
        kubeconfig = await self.account(WEBHOOK, AGENT_NAMESPACE)
        self.start("webhook", "offbus_steps.kubernetes.webhook.server", *options, kubeconfig=kubeconfig)
        published = Ref("ConfigMap", WEBHOOK, AGENT_NAMESPACE)
        await until(self.port, published, lambda one: CERTIFICATE in (one.get("data") or {}))

    def asked_by(self, user: str) -> list[tuple[Asked, int]]:
        """A user's requests so far, each with its status code."""
        return list(asked_by(self.server.folder, user))

    async def role(self, kind: str, name: str) -> dict[str, Any]:
        """A role as it is in the cluster: "clusterrole", or "role" in the only namespace that has one of that name."""
        found = json.loads(self.kubectl("get", kind, "--all-namespaces", "-o", "json"))["items"]
        (mine,) = (one for one in found if one["metadata"]["name"] == name)
        return dict(mine)

    async def account(self, name: str, namespace: str) -> Path:
        """A kubeconfig with a ServiceAccount's token."""
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token"
        body: dict[str, Any] = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
        token = (await self.port.api.json(Call("POST", path, body=body)))["status"]["token"]
        return self.server.write_kubeconfig(self.folder / f"{name}.kubeconfig", {"token": token})

    def start(self, name: str, *command: str, kubeconfig: Path | None = None) -> Process:
        """One of our programs: a Python module and its arguments."""
        login = {"KUBECONFIG": str(kubeconfig)} if kubeconfig else {}
        env = {
            **PATH,
            "HOME": str(self.folder),
            "XDG_STATE_HOME": str(self.folder / f"state-{name}"),
            **login,
        }
        out = self.folder / f"{name}-{len(self.programs)}.log"
        self.programs.append(Process([sys.executable, "-m", *command], out, env))
        return self.programs[-1]

    async def plan(self, scenario: Mapping[str, Any], name: str) -> str:
        """What `offbus plan` says, as the runner."""
        kubeconfig = self.server.kubeconfig(RUNNER)
        planned = self.start(
            "plan", "offbus", "plan", str(self._written(scenario, name)), kubeconfig=kubeconfig
        )
        await planned.ended()
        return planned.said

    def _written(self, scenario: Mapping[str, Any], name: str) -> Path:
        path = self.folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump(json.loads(json.dumps(scenario))))
        return path

    def run(self, scenario: Mapping[str, Any], name: str) -> Process:
        """`offbus run`, as the runner."""
        path = self._written(scenario, name)
        return self.start(
            name, "offbus", "run", str(path), "--view", "lines", kubeconfig=self.server.kubeconfig(RUNNER)
        )

    async def reaper(self) -> Process:
        """As deploy/base/reaper.yaml starts it."""
        kubeconfig = await self.account("offbus-reaper", AGENT_NAMESPACE)
        module = "offbus_steps.kubernetes.ownership.reaper"
        return self.start("reaper", module, f"--namespace={AGENT_NAMESPACE}", kubeconfig=kubeconfig)

    async def respond(self, **settings: Any) -> None:
        """The stand-in responder with these settings; the one before it ends."""
        for one in self.responders:
            one.kill()
        self.responders.clear()
        config = self.folder / "responder.json"
        text = json.dumps({"janitor": "simulate", "only_known_gpus": True, **settings})
        config.write_text(text)
        found = await self.port.objects.list("ConfigMap", namespace=RESPONDERS)
        (mine,) = (one for one in found.items if "config.json" in (one.get("data") or {}))
        await self.port.objects.patch(Ref.of({**mine, "kind": "ConfigMap"}), {"data": {"config.json": text}})
        module, common = "offbus_sandbox.responder", ("--api=kubernetes", f"--config={config}")
        detector = await self.account("standin-detector", RESPONDERS)
        for node in NODES:
            for part in ("detector", "janitor"):
                options = (f"--node={node}", f"--root={self.root(node)}")
                self.responders.append(self.start(part, module, part, *options, *common, kubeconfig=detector))
        controller = await self.account("standin-controller", RESPONDERS)
        self.responders.append(self.start("controller", module, "controller", *common, kubeconfig=controller))

    def root(self, node: str) -> Path:
        """A node's folder."""
        return self.folder / "nodes" / node

    async def install(self) -> None:
        """What deploy/README.md says, and what controllers would make of it."""
        await define(self.port, [one for path in DEFINED for one in yaml.safe_load_all(path.read_text())])
        self.kubectl("create", "namespace", DRILLS)
        readme = (DEPLOY / "README.md").read_text().replace("\\\n", " ").replace("YOU", RUNNER)
        for command in COMMAND.findall(readme):
            self.kubectl(*command.split()[1:])
        self.kubectl("apply", "-k", str(DEPLOY / "responder"))
        self.kubectl("apply", "-k", str(DEPLOY / "webhook"))
        made = self.start(
            "token", "offbus_steps.kubernetes.token", kubeconfig=self.server.kubeconfig("admin")
        )
        assert await made.ended() == 0, made.said
        await self.ready("Deployment", "offbus-reaper", AGENT_NAMESPACE)
        await self.ready("Deployment", "standin-controller", RESPONDERS)

    async def ready(self, kind: str, name: str, namespace: str) -> None:
        """What its controller would report."""
        status = {"status": {"replicas": 1, "readyReplicas": 1}}
        await self.port.objects.patch(Ref(kind, name, namespace), status, status=True)

    async def agents(self) -> None:
        """The agents' pods, as their DaemonSet's controller makes them, and their processes."""
        where = f"/namespaces/{AGENT_NAMESPACE}"
        daemons = await self.port.api.json(Call("GET", f"/apis/apps/v1{where}/daemonsets/offbus-agent"))
        token = await self.port.agents.token()
        for position, node in enumerate(NODES):
            root = self.root(node)
            make_node_folder(root, node, gpus_of(node, position, GPUS), driver=DRIVER_VERSION, metadata=True)
            (root / "token").write_text(token)
            (root / "token").chmod(0o600)
            options = (f"--node={node}", f"--root={root}", f"--uds={root / 'agent.sock'}")
            self.start(f"agent-{node}", "offbus_agent", "serve", *options, f"--token-file={root / 'token'}")
            address = f"10.9.3.{position + 1}"
            self.paths.leads[f"{address}:{AGENT_PORT}"] = root / "agent.sock"
            owner = {"apiVersion": "apps/v1", "kind": "DaemonSet", "controller": True}
            owner |= {key: daemons["metadata"][key] for key in ("name", "uid")}
            template = daemons["spec"]["template"]
            meta = {"name": f"offbus-agent-{node}", "namespace": AGENT_NAMESPACE, "ownerReferences": [owner]}
            meta["labels"] = template["metadata"]["labels"]
            spec = {"nodeName": node, "containers": [{"name": "agent", "image": "offbus"}]}
            pod = await self.port.objects.create(
                {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}
            )
            ready = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
            status = {**ready, "podIP": address, "podIPs": [{"ip": address}]}
            await self.port.objects.patch(Ref.of(pod), {"status": status}, status=True)

    def end(self) -> None:
        for one in self.programs:
            one.kill()


class Answers(BaseHTTPRequestHandler):
    """A target's HTTP server, and a kubelet's: models, answers, and a log."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path.startswith("/containerLogs/"):
            self._answer(b"a line of a log\n", "text/plain")
        else:
            self._answer(json.dumps({"object": "list", "data": [{"id": "m"}]}).encode())

    def do_POST(self) -> None:
        wanted = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if wanted.get("stream"):
            choice = {"index": 0, "delta": {"content": "x"}, "finish_reason": "stop"}
            text = f"data: {json.dumps({'choices': [choice]})}\n\ndata: [DONE]\n\n"
            self._answer(text.encode(), "text/event-stream")
            return
        message = {"role": "assistant", "content": "x"}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        self._answer(json.dumps({"choices": [choice], "usage": {"completion_tokens": 1}}).encode())

    def _answer(self, body: bytes, kind: str = "application/json") -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nobody reads it."""


@contextmanager
def answering(certificates: Path | None = None) -> Iterator[tuple[str, int]]:
    """Where it listens while the block runs; with the API server's certificate as a kubelet does."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        if certificates is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificates / "apiserver.crt", certificates / "apiserver.key")
            server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield "127.0.0.1", server.server_port
        finally:
            server.shutdown()


@asynccontextmanager
async def role_world(folder: Path, flags: Sequence[str] = ADMISSION) -> AsyncIterator[RoleWorld]:
    """Everything runs but the reaper and the responder."""
    served = folder / "server"
    served.mkdir()
    with ExitStack() as stack:
        paths = stack.enter_context(tunnel(folder))
        more = ("--allow-privileged=true", paths.flag, *audit_flags(served))
        server = stack.enter_context(
            server_of_its_own(served, {**ADMIN, RUNNER: "drillers"}, (*flags, *more))
        )
        paths.leads[f"{POD_IP}:{POD_PORT}"] = stack.enter_context(answering())
        kubelet = stack.enter_context(answering(served / "certs"))
        paths.leads |= {f"{kubelet_ip(node)}:10250": kubelet for node in NODES}
        async with port_to(server) as port:
            world = RoleWorld(server, port, folder, paths)
            stack.callback(world.end)
            await world.install()
            async with playing_cluster(port):
                await world.agents()
                yield world
