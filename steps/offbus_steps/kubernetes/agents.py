"""The node agents of a cluster, through the API server's pod proxy: no port is forwarded, none can leak.

An agent is the pod of the DaemonSet (deploy/) on a node. Its token is read from a Secret of its namespace, kept in
memory only, read again when an agent refuses it, and sent in `X-Offbus-Token` (the proxy strips `Authorization`).
Anything that keeps an agent from answering is Unavailable; an agent's own refusal is an answer. An agent is asked also
while it is not ready: others may make its probe fail, and what it can undo must not wait for that. Of two agents of a
node, the ready one is asked. Before anything is changed, all of them must be ready (`by_node`).
"""

import base64
from collections.abc import Collection
from typing import Any

import anyio

from offbus_steps.kubernetes.objects import KubernetesObjects
from offbus_steps.kubernetes.rest.api import Api, Call
from offbus_steps.kubernetes.rest.paths import proxied
from offbus_steps.kubernetes.rest.proxy import Broken, breaking, proxied_answer
from offbus_steps.port import Agents, NotFound, Object, PortError, Reply, Unavailable
from offbus_steps.text_lines import LineTooLong, whole_of
from offbus_steps.workloads.pods import is_ready, is_terminating

__all__ = ["AGENT_LABELS", "AGENT_PORT", "TOKEN_SECRET", "KubernetesAgents"]

AGENT_LABELS = "app.kubernetes.io/name=offbus-agent"
AGENT_PORT = 8083
TOKEN_SECRET = "offbus-agent-token"  # noqa: S105  the Secret's name
TOKEN_HEADER = "X-Offbus-Token"  # noqa: S105  the header's name


class KubernetesAgents(Agents):
    """See `offbus_steps.port.Agents`."""

    def __init__(self, api: Api, objects: KubernetesObjects, namespace: str) -> None:
        self._api = api
        self._objects = objects
        self._namespace = namespace
        self._pods: dict[str, str] = {}
        """node -> pod; dropped when the pod does not answer."""
        self._token = ""

    async def request(
        self,
        node: str,
        method: str,
        path: str,
        *,
        json: Any = None,
        timeout: float = 10.0,  # noqa: ASYNC109  # the port's contract
    ) -> Reply:
        """See `offbus_steps.port.Agents.request`."""
        with anyio.move_on_after(timeout):
            reply = await self._answer(node, method, path, json)
            if reply.status == 401:
                self._token = ""
                reply = await self._answer(node, method, path, json)
            return reply
        raise Unavailable(f"the agent of {node} did not answer {method} {path} within {timeout:g} s")

    async def ready(self, nodes: Collection[str]) -> Collection[str]:
        """Those with an agent's pod that can be asked, by one list for all of them."""
        wanted = set(nodes)
        found: dict[str, str] = {}
        async for page in self._objects.pages("Pod", namespace=self._namespace, labels=AGENT_LABELS):
            for pod in sorted(filter(_can_be_asked, page.items), key=is_ready):
                if pod["spec"]["nodeName"] in wanted:
                    found[pod["spec"]["nodeName"]] = pod["metadata"]["name"]
        self._pods.update(found)
        return found.keys()

    async def by_node(self) -> dict[str, Object]:
        """The agents' pods that are ready, by node. Raises PortError."""
        found = await self._objects.list("Pod", namespace=self._namespace, labels=AGENT_LABELS)
        return {pod["spec"]["nodeName"]: pod for pod in found.items if is_ready(pod)}

    async def token(self) -> str:
        """The agents' token. Raises Unavailable naming the Secret."""
        if not self._token:
            self._token = await self._read_token()
        return self._token

    async def _answer(self, node: str, method: str, path: str, body: Any) -> Reply:
        target = f"the agent of {node}"
        pod = await self._pod(node)
        call = Call(
            method,
            proxied("pods", self._namespace, pod, AGENT_PORT, path),
            body=body,
            headers={TOKEN_HEADER: await self.token()},
        )
        try:
            async with proxied_answer(self._api, call, target) as answer:
                with breaking():
                    chunks = answer.response.content.iter_any()
                    read = answer.body if answer.body is not None else await whole_of(chunks)
                return Reply(answer.response.status, dict(answer.response.headers), read)
        except LineTooLong as err:
            raise Unavailable(f"{target}: {err}") from err
        except Broken as err:
            raise Unavailable(f"{target} broke the connection: {err.message}") from err
        except Unavailable:
            raise
        except PortError as err:
            self._pods.pop(node, None)
            raise Unavailable(err.message, hint=f"check pod {pod} in {self._namespace}") from err

    async def _pod(self, node: str) -> str:
        if node not in self._pods:
            found = await self._objects.list(
                "Pod", namespace=self._namespace, labels=AGENT_LABELS, fields=f"spec.nodeName={node}"
            )
            running = sorted(filter(_can_be_asked, found.items), key=is_ready)
            if not running:
                raise Unavailable(
                    f"node {node} has no running agent in namespace {self._namespace}",
                    hint="deploy it (deploy/), or check its pod",
                )
            self._pods[node] = running[-1]["metadata"]["name"]
        return self._pods[node]

    async def _read_token(self) -> str:
        path = f"/api/v1/namespaces/{self._namespace}/secrets/{TOKEN_SECRET}"
        try:
            data = (await self._api.json(Call("GET", path))).get("data") or {}
            return base64.b64decode(data["token"], validate=True).decode().strip()
        except NotFound as err:
            raise Unavailable(
                f"{err.message}", hint="create it: python -m offbus_steps.kubernetes.token"
            ) from err
        except (KeyError, ValueError) as err:
            where = f"Secret {self._namespace}/{TOKEN_SECRET}"
            raise Unavailable(f"{where} has no valid `token`", hint="create it again") from err


def _can_be_asked(pod: Object) -> bool:
    runs = (pod.get("status") or {}).get("phase") == "Running"
    return is_ready(pod) or (runs and not is_terminating(pod))
