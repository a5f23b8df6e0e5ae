"""Whom the agents' token is sent to: a pod of the agents' DaemonSet, and then only where it is needed."""

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from offbus_agent.http.token import reading
from offbus_steps.kubernetes.agents import TOKEN_HEADER, KubernetesAgents
from offbus_steps.kubernetes.objects import KubernetesObjects
from offbus_steps.kubernetes.rest.discovery import ServedKinds
from offbus_steps.port import Object, Unavailable
from tests.kits.steps.timed_api import Answer, TimedServer, agents_pod, agents_set, answering
from tests.kits.virtual_time import in_virtual_asyncio_time

SECRET = {"data": {"token": "dG9rZW4="}}
NODE_OWNS = [{"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": "n", "controller": True}]
MIRROR = {"kubernetes.io/config.mirror": "x"}


def owned(**changes: Any) -> list[dict[str, Any]]:
    return [{**agents_pod("n1")["metadata"]["ownerReferences"][0], **changes}]


NOT_AGENTS: Mapping[str, dict[str, Any]] = {
    "of a kubelet": {"ownerReferences": NODE_OWNS, "annotations": MIRROR},
    "of an old kubelet": {"ownerReferences": [], "annotations": MIRROR},
    "a mirror that names the DaemonSet": {"annotations": MIRROR},
    "of a Node": {"ownerReferences": NODE_OWNS},
    "of nobody": {"ownerReferences": []},
    "of another DaemonSet": {"ownerReferences": owned(name="other", uid="o")},
    "of a DaemonSet that is gone": {"ownerReferences": owned(uid="gone")},
    "of another kind of that name": {"ownerReferences": owned(kind="ReplicaSet")},
    "of which the DaemonSet is not the controller": {"ownerReferences": owned(controller=False)},
}


@dataclass
class Served:
    """What the API server has, and what the agent answers."""

    pods: list[Object]
    replies: list[Answer] = field(default_factory=list)
    """Of the agent, in turn; the last one for ever."""

    def says(self, call: str) -> Answer:
        path = call.split()[1].partition("?")[0]
        if "/proxy/" in path:
            return self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        if path.endswith("/pods"):
            return Answer(body={"metadata": {"resourceVersion": "1"}, "items": self.pods})
        if "/pods/" in path:
            named = [one for one in self.pods if path.endswith("/" + one["metadata"]["name"])]
            missing = {"kind": "Status", "reason": "NotFound", "code": 404, "message": "no such pod"}
            return Answer(body=named[0]) if named else Answer(404, missing)
        if path.endswith("/daemonsets"):
            return Answer(body={"items": [agents_set()]})
        return Answer(body=SECRET if "/secrets/" in path else {})


@asynccontextmanager
async def agents_of(folder: Path, served: Served) -> AsyncIterator[tuple[KubernetesAgents, TimedServer]]:
    async with answering(folder, served.says) as (api, server):
        yield KubernetesAgents(api, KubernetesObjects(api, ServedKinds(api)), "offbus-system"), server


def shown(server: TimedServer) -> list[tuple[str, str]]:
    """What went to the agent: the method, and which token was with it."""
    proxied = (head.lower() for head in server.heads if "/proxy/" in head.partition("\r\n")[0])
    which = {None: "none", "token": "the token", reading("token"): "for reads"}
    given = re.compile(rf"{TOKEN_HEADER.lower()}: (\S+)")
    return [
        (head.partition(" ")[0].upper(), which[found[1] if (found := given.search(head)) else None])
        for head in proxied
    ]


@pytest.mark.guarantee("G32")
@pytest.mark.parametrize("changes", NOT_AGENTS.values(), ids=NOT_AGENTS)
@in_virtual_asyncio_time
async def test_a_pod_that_only_has_the_agents_labels_is_not_asked(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    pod = agents_pod("n1")
    served = Served([{**pod, "metadata": {**pod["metadata"], **changes}}], [Answer(body={"faults": []})])
    async with agents_of(tmp_path, served) as (agents, server):
        assert list(await agents.ready(["n1"])) == []
        assert await agents.by_node() == {}
        for method in ("GET", "POST"):
            with pytest.raises(Unavailable, match="node n1 has no running agent"):
                await agents.request("n1", method, "/faults")
    assert shown(server) == []


@pytest.mark.guarantee("G32")
@in_virtual_asyncio_time
async def test_the_token_goes_with_writes_alone(tmp_path: Path) -> None:
    async with agents_of(tmp_path, Served([agents_pod("n1")], [Answer()])) as (agents, server):
        assert list(await agents.ready(["n1"])) == ["n1"]
        await agents.request("n1", "GET", "/faults")
        await agents.request("n1", "POST", "/faults", json={})
        await agents.request("n1", "GET", "/health")
    assert shown(server) == [("GET", "for reads"), ("POST", "the token"), ("GET", "for reads")]


PUT_OFF = {
    "put off": Answer(429, {"error": {"code": "too_many_requests"}}),
    "cut off": Answer(headers={"content-length": "99", "connection": "close"}, body=None, measured=False),
}


@pytest.mark.guarantee("G32")
@pytest.mark.parametrize("first", PUT_OFF.values(), ids=PUT_OFF)
@in_virtual_asyncio_time
async def test_strangers_keep_no_read_out(tmp_path: Path, first: Answer) -> None:
    """With the token for reads it is one of theirs: whoever was asked once may have it."""
    served = Served([agents_pod("n1")], [first, Answer(body={"faults": []})])
    async with agents_of(tmp_path, served) as (agents, server):
        assert (await agents.request("n1", "GET", "/faults")).json() == {"faults": []}
    assert shown(server) == [("GET", "for reads"), ("GET", "the token")]


@pytest.mark.guarantee("G32")
@in_virtual_asyncio_time
async def test_the_name_of_an_agents_pod_that_is_gone_is_not_believed(tmp_path: Path) -> None:
    """A kubelet chooses the names of its mirror pods; the proxy knows pods by name."""
    served = Served([agents_pod("n1")], [Answer(body={"faults": []})])
    async with agents_of(tmp_path, served) as (agents, server):
        await agents.request("n1", "GET", "/faults")
        pod = served.pods[0]
        served.pods = [{**pod, "metadata": {**pod["metadata"], **NOT_AGENTS["of a kubelet"]}}]
        with pytest.raises(Unavailable, match="node n1 has no running agent"):
            await agents.request("n1", "POST", "/faults", json={})
    assert shown(server) == [("GET", "for reads")]
