"""The node agents of a cluster, through the API server's pod proxy: no port is forwarded, none can leak.

An agent is a pod whose controller is one of the agents' DaemonSets (deploy/), by name and uid. Labels alone do not make
one: any node's kubelet may create pods with any labels, in any namespace, at any address, but only as its own node's
(`offbus_steps.workloads.pods.is_of_kubelet`). A node without such a pod has no agent.

The token is read from a Secret of the agents' namespace, kept in memory only, read again when an agent refuses it, and
sent in `X-Offbus-Token` (the proxy strips `Authorization`). It is one for all agents, so it is sent only where it is
needed: with a write, and with a read that was refused (401), put off (429) or cut off to make room for strangers. Each
time the pod is looked at again right before: the proxy knows pods by name, and the name of one that is gone may be
another's. All other reads go with the token for reads, by which nothing can be written.

Anything that keeps an agent from answering is Unavailable; an agent's own refusal is an answer. An agent is asked also
while it is not ready: others may make its probe fail, and what it can undo must not wait for that. Of two agents of a
node, the ready one is asked. Before anything is changed, all of them must be ready (`by_node`).
"""

import base64
from collections.abc import Collection, Iterable
from contextlib import suppress
from typing import Any

import anyio

from offbus_agent.http.token import reading
from offbus_steps.kubernetes.objects import KubernetesObjects
from offbus_steps.kubernetes.rest.api import Api, Call
from offbus_steps.kubernetes.rest.paths import proxied
from offbus_steps.kubernetes.rest.proxy import Broken, breaking, proxied_answer
from offbus_steps.listing import beginning_again
from offbus_steps.port import Agents, NotFound, Object, PortError, Ref, Reply, Unavailable
from offbus_steps.text_lines import LineTooLong, whole_of
from offbus_steps.workloads.pods import controller_of, is_of_kubelet, is_ready, is_terminating

__all__ = ["AGENT_LABELS", "AGENT_PORT", "TOKEN_SECRET", "KubernetesAgents"]

AGENT_LABELS = "app.kubernetes.io/name=offbus-agent"
AGENT_PORT = 8083
TOKEN_SECRET = "offbus-agent-token"  # noqa: S105  the Secret's name
TOKEN_HEADER = "X-Offbus-Token"  # noqa: S105  the header's name


UNAUTHORISED, PUT_OFF = 401, 429
"""An agent's answers to a token that it does not know, and to a read without the token that is one too many
(offbus_agent.http.budget)."""


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
            if method == "GET":
                with suppress(_CutOff):
                    pod = await self._pod(node)
                    headers = {TOKEN_HEADER: reading(await self.token())}
                    reply = await self._answer(node, method, path, json, pod, headers)
                    if reply.status not in (UNAUTHORISED, PUT_OFF):
                        return reply
            reply = await self._with_token(node, method, path, json)
            if reply.status == UNAUTHORISED:
                self._token = ""
                reply = await self._with_token(node, method, path, json)
            return reply
        raise Unavailable(f"the agent of {node} did not answer {method} {path} within {timeout:g} s")

    async def ready(self, nodes: Collection[str]) -> Collection[str]:
        """Those with an agent's pod that can be asked, by one list for all of them."""
        wanted = set(nodes)
        owners = await self._daemon_sets()

        async def look() -> dict[str, str]:
            found: dict[str, str] = {}
            async for page in self._objects.pages("Pod", namespace=self._namespace, labels=AGENT_LABELS):
                for pod in _to_ask(page.items, owners):
                    if pod["spec"]["nodeName"] in wanted:
                        found[pod["spec"]["nodeName"]] = pod["metadata"]["name"]
            return found

        found = await beginning_again(look)
        self._pods.update(found)
        return found.keys()

    async def by_node(self) -> dict[str, Object]:
        """The agents' pods that are ready, by node. Raises PortError."""
        owners = await self._daemon_sets()
        found = await self._objects.list("Pod", namespace=self._namespace, labels=AGENT_LABELS)
        return {pod["spec"]["nodeName"]: pod for pod in _to_ask(found.items, owners) if is_ready(pod)}

    async def token(self) -> str:
        """The agents' token. Raises Unavailable naming the Secret."""
        if not self._token:
            self._token = await self._read_token()
        return self._token

    async def _with_token(self, node: str, method: str, path: str, body: Any) -> Reply:
        pod = await self._pod(node, surely=True)
        return await self._answer(node, method, path, body, pod, {TOKEN_HEADER: await self.token()})

    async def _answer(
        self, node: str, method: str, path: str, body: Any, pod: str, headers: dict[str, str]
    ) -> Reply:
        target = f"the agent of {node}"
        proxy = proxied("pods", self._namespace, pod, AGENT_PORT, path)
        call = Call(method, proxy, body=body, headers=headers)
        try:
            async with proxied_answer(self._api, call, target) as answer:
                with breaking():
                    chunks = answer.response.content.iter_any()
                    read = answer.body if answer.body is not None else await whole_of(chunks)
                return Reply(answer.response.status, dict(answer.response.headers), read)
        except LineTooLong as err:
            raise Unavailable(f"{target}: {err}") from err
        except Broken as err:
            raise _CutOff(f"{target} broke the connection: {err.message}") from err
        except Unavailable:
            raise
        except PortError as err:
            self._pods.pop(node, None)
            raise _CutOff(err.message, hint=f"check pod {pod} in {self._namespace}") from err

    async def _pod(self, node: str, *, surely: bool = False) -> str:
        """The name of the pod to ask; `surely` looks whether it is the agent's now. Raises Unavailable, PortError."""
        known = self._pods.get(node)
        if known is not None and (not surely or await self._is_still(known, node)):
            return known
        self._pods.pop(node, None)
        fields = f"spec.nodeName={node}"
        found = await self._objects.list("Pod", namespace=self._namespace, labels=AGENT_LABELS, fields=fields)
        running = _to_ask(found.items, await self._daemon_sets())
        if not running:
            raise Unavailable(
                f"node {node} has no running agent in namespace {self._namespace}",
                hint="deploy it (deploy/), or check its pod: its controller must be a DaemonSet with the label "
                + AGENT_LABELS,
            )
        self._pods[node] = str(running[-1]["metadata"]["name"])
        return self._pods[node]

    async def _is_still(self, pod: str, node: str) -> bool:
        try:
            found = await self._objects.get(Ref("Pod", pod, self._namespace))
        except NotFound:
            return False
        here = found["spec"].get("nodeName") == node
        return here and bool(_to_ask([found], await self._daemon_sets()))

    async def _daemon_sets(self) -> set[tuple[str, str]]:
        """Name and uid of each DaemonSet of agents. Raises PortError."""
        path = f"/apis/apps/v1/namespaces/{self._namespace}/daemonsets"
        listed = await self._api.json(Call("GET", path, {"labelSelector": AGENT_LABELS}))
        return {(one["metadata"]["name"], one["metadata"]["uid"]) for one in listed["items"]}

    async def _read_token(self) -> str:
        path = f"/api/v1/namespaces/{self._namespace}/secrets/{TOKEN_SECRET}"
        try:
            data = (await self._api.json(Call("GET", path))).get("data") or {}
            return base64.b64decode(data["token"], validate=True).decode().split("\n")[0].strip()
        except NotFound as err:
            raise Unavailable(
                f"{err.message}", hint="create it: python -m offbus_steps.kubernetes.token"
            ) from err
        except (KeyError, ValueError) as err:
            where = f"Secret {self._namespace}/{TOKEN_SECRET}"
            raise Unavailable(f"{where} has no valid `token`", hint="create it again") from err


class _CutOff(Unavailable):
    """Raised when the agent's pod was asked, and did not answer to the end."""


def _to_ask(pods: Iterable[Object], owners: set[tuple[str, str]]) -> list[Object]:
    """The agents' pods that can be asked, those that are ready last; `owners`: name and uid of their DaemonSets."""
    return sorted((pod for pod in pods if _is_agent(pod, owners) and _can_be_asked(pod)), key=is_ready)


def _is_agent(pod: Object, owners: set[tuple[str, str]]) -> bool:
    by = controller_of(pod) or {}
    return (
        not is_of_kubelet(pod) and by.get("kind") == "DaemonSet" and (by.get("name"), by.get("uid")) in owners
    )


def _can_be_asked(pod: Object) -> bool:
    runs = (pod.get("status") or {}).get("phase") == "Running"
    return is_ready(pod) or (runs and not is_terminating(pod))
