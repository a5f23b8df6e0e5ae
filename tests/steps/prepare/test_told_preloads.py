"""What a node's agent says of an image's LD_PRELOAD goes into the spec of pods on any node: it is checked."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from offbus.errors import StepError
from offbus.preflight import Intent
from offbus_steps.cluster.preflight import DrillPreflight
from offbus_steps.cluster.wait import target_objects
from offbus_steps.port import Object, Ref, Reply
from offbus_steps.prepare.image_env import image_preloads
from offbus_steps.prepare.preflight import preflight
from offbus_steps.workloads.target import Target
from tests.kits.steps.bench import Bench
from tests.kits.steps.timed_port import deployment, ok, pod, timed_bench
from tests.kits.virtual_time import in_virtual_time

TARGET = Target(kind="Deployment", name="web", namespace="drill", port=80, selector={"app": "web"})
INTENT = Intent("prepare", "prepare_cuda", {})
LONGEST = 1024
"""Characters of a value that is chained."""
REFUSED = {
    "a secret of the container": "/models/evil.so:$(SECRET)",
    "a second line": "/lib/a.so\nx",
    "a tab": "/lib/a.so\t/lib/b.so",
    "a name that the loader looks for": "libevil.so",
    "a path from where the process is": "models/evil.so",
    "one of several from there": "/lib/a.so:evil.so",
    "a token of the loader": "/$LIB/a.so",
    "other letters": "/lib/é.so",
    "a line feed at the end": "/lib/a.so\n",
    "more than fits": "/" + "a" * LONGEST,
}
TAKEN = (
    "/usr/lib/x86_64-linux-gnu/libjemalloc.so.2",
    "/opt/a+b/liba-1.0_b.so:/opt/b.so /opt/c.so",
    "/opt/a.so:",
    "/" + "a" * (LONGEST - 1),
    "",
)


def loaded(name: str, on: str) -> Object:
    """A pod of the target with a GPU, of whose containers the agent speaks."""
    one = pod(name, "web", on)
    one["spec"]["containers"][0]["resources"] = {"limits": {"nvidia.com/gpu": "1"}}
    one["status"]["containerStatuses"] = [{"name": "main", "containerID": f"containerd://{name}"}]
    return one


@asynccontextmanager
async def telling(folder: Path, said: Mapping[str, tuple[str, str]]) -> AsyncIterator[Bench]:
    """A target of these pods: name to node, and what the agent there says of its LD_PRELOAD."""
    objects = [loaded(name, node) for name, (node, _) in said.items()]
    async with timed_bench(folder, deployment("web", len(objects)), *objects) as (one, port):
        uids = {port.store.get(Ref.of(obj))["metadata"]["uid"]: obj["metadata"]["name"] for obj in objects}

        async def answer(_method: str, path: str, _body: Any) -> Reply:
            name = uids[path.split("/")[2]]
            process = {"pid": 1, "container": name, "value": said[name][1]}
            return ok(json.dumps({"processes": [process]}))

        port.agents.answer = answer
        yield one


@pytest.mark.guarantee("G32")
@pytest.mark.parametrize("what", REFUSED)
@in_virtual_time
async def test_what_is_no_list_of_plain_paths_is_refused_with_the_node_that_says_so(
    tmp_path: Path, what: str
) -> None:
    async with telling(tmp_path, {"web-1": ("evil", REFUSED[what])}) as one:
        with pytest.raises(StepError) as raised:
            await image_preloads(one.cluster, await target_objects(one.cluster, TARGET))
    assert "the agent of evil says" in raised.value.message
    assert "container main of Pod web-1" in raised.value.message
    assert len(raised.value.message) < 600
    assert "absolute paths" in raised.value.message
    assert "as a plain value" in str(raised.value)


@pytest.mark.parametrize("value", TAKEN, ids=lambda value: value[:40] or "none")
@in_virtual_time
async def test_plain_paths_are_taken(tmp_path: Path, value: str) -> None:
    async with telling(tmp_path, {"web-1": ("node-1", value)}) as one:
        found = await image_preloads(one.cluster, await target_objects(one.cluster, TARGET))
    assert {name: told.value for name, told in found.items()} == ({"main": value} if value else {})


async def planned(folder: Path, said: Mapping[str, tuple[str, str]]) -> list[tuple[str, str]]:
    async with telling(folder, said) as one:
        drill = DrillPreflight(one.cluster, str(folder), target=TARGET)
        return [(check.text, check.level) for check in await preflight(drill, INTENT)]


@in_virtual_time
async def test_the_plan_says_when_one_node_alone_says_it(tmp_path: Path) -> None:
    said = {"web-1": ("node-1", "/lib/a.so"), "web-2": ("node-1", "/lib/a.so")}
    found = [one for one in await planned(tmp_path, said) if "LD_PRELOAD" in one[0]]
    text = (
        "LD_PRELOAD=/lib/a.so of container main would be chained for all pods: only the agent of node-1 says that "
        "the image sets it, and no other node confirms it"
    )
    assert found == [(text, "warning")]


@in_virtual_time
async def test_the_plan_says_that_nodes_agree(tmp_path: Path) -> None:
    said = {"web-1": ("node-1", "/lib/a.so"), "web-2": ("node-2", "/lib/a.so")}
    found = [one for one in await planned(tmp_path, said) if "LD_PRELOAD" in one[0]]
    text = (
        "LD_PRELOAD=/lib/a.so of container main would be chained for all pods: the agents of 2 nodes say that the "
        "image sets it"
    )
    assert found == [(text, "info")]


@in_virtual_time
async def test_the_plan_refuses_what_the_run_would(tmp_path: Path) -> None:
    found = await planned(tmp_path, {"web-1": ("evil", "/lib/a.so:$(SECRET)")})
    assert [level for text, level in found if "the agent of evil says" in text] == ["error"]


@in_virtual_time
async def test_the_plan_warns_when_an_agent_does_not_answer_now(tmp_path: Path) -> None:
    async with timed_bench(tmp_path, deployment("web", 1), loaded("web-1", "node-1")) as (one, _port):
        drill = DrillPreflight(one.cluster, str(tmp_path), target=TARGET)
        found = [(check.level, check.text) for check in await preflight(drill, INTENT)]
    assert [level for level, text in found if "cannot read whether the image of Pod web-1" in text] == [
        "warning"
    ]
    assert [level for level, text in found if "would restart once" in text] == ["info"]
