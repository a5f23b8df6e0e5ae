"""How long a call to an API server is waited for, and when it is made again, on virtual time."""

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import pytest

from offbus_steps.kubernetes.agents import KubernetesAgents
from offbus_steps.kubernetes.frontends import FRESH_S, Frontends
from offbus_steps.kubernetes.objects import KubernetesObjects
from offbus_steps.kubernetes.rest.api import (
    ATTEMPT_S,
    CONNECT_S,
    FIRST_PAUSE,
    LONGEST_PAUSE,
    PATIENCE_S,
    Api,
    Call,
)
from offbus_steps.kubernetes.rest.discovery import ServedKinds
from offbus_steps.kubernetes.rest.errors import error_of
from offbus_steps.kubernetes.rest.rate_limit import Pace
from offbus_steps.kubernetes.rest.watch_stream import ASKED_S, SLACK_S, events_after
from offbus_steps.kubernetes.traffic import KubernetesTraffic
from offbus_steps.port import Forbidden, Object, PortError, Ref, Silent, Unavailable
from tests.kits.full_server import full_server
from tests.kits.steps.timed_api import Answer, TimedServer, agents_pod, agents_set, answering
from tests.kits.steps.timed_port import deployment, pod
from tests.kits.virtual_time import in_virtual_asyncio_time

READ = Call("GET", "/api/v1/nodes")
WRITE = Call("POST", "/api/v1/nodes", body={"kind": "Node"})


def until(seconds: float, before: Answer, after: Answer | None = None) -> Callable[[str], Answer]:
    """A server that answers otherwise before and after a time."""
    return lambda _call: before if anyio.current_time() < seconds else after or Answer()


def pauses(times: Iterable[float]) -> list[float]:
    return [round(after - before, 6) for before, after in pairwise(times)]


DOUBLING = [FIRST_PAUSE, 0.2, 0.4, 0.8, 1.6, LONGEST_PAUSE, LONGEST_PAUSE]
AWAY = Answer(503)


@pytest.mark.timer("steps/offbus_steps/kubernetes/rest/api.py")
@in_virtual_asyncio_time
async def test_a_read_is_repeated_after_pauses_that_double_until_it_is_answered(tmp_path: Path) -> None:
    async with answering(tmp_path, until(6.5, AWAY)) as (api, server):
        await api.json(READ)
    assert pauses(server.times()) == DOUBLING


@pytest.mark.timer("steps/offbus_steps/kubernetes/rest/api.py")
@in_virtual_asyncio_time
async def test_a_read_is_repeated_for_so_long_and_no_longer(tmp_path: Path) -> None:
    async with answering(tmp_path, until(1000, AWAY)) as (api, server):
        with pytest.raises(Unavailable):
            await api.json(READ)
    assert PATIENCE_S - LONGEST_PAUSE < server.times()[-1] == round(anyio.current_time(), 6) <= PATIENCE_S


@in_virtual_asyncio_time
async def test_a_write_whose_answer_was_lost_is_made_once(tmp_path: Path) -> None:
    async with answering(tmp_path, until(1000, AWAY)) as (api, server):
        with pytest.raises(Unavailable):
            await api.json(WRITE)
    assert server.times() == [0]


@pytest.mark.timer("steps/offbus_steps/kubernetes/rest/api.py")
@pytest.mark.parametrize("call", [READ, WRITE], ids=["read", "write"])
@in_virtual_asyncio_time
async def test_a_server_that_says_when_is_asked_again_then(tmp_path: Path, call: Call) -> None:
    busy = Answer(429, headers={"Retry-After": "7"})
    async with answering(tmp_path, until(10, busy)) as (api, server):
        await api.json(call)
    assert server.times() == [0, 7, 14]


@pytest.mark.timer("steps/offbus_steps/kubernetes/rest/errors.py")
@pytest.mark.parametrize(
    ("said", "least_s", "most_s"),
    [
        ("7", 7, 7),
        (format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True), 60, 60),
        (format_datetime(datetime.now(UTC) - timedelta(hours=1), usegmt=True), 0, 0),
        ("soon", 0, 0),
        ("-7", 0, 0),
        ("Mon, 30 Nov 2026 20:00:00", 0, 0),
        (None, 0, 0),
    ],
    ids=["seconds", "date", "past date", "no time", "negative", "no zone", "none"],
)
def test_how_long_a_server_asks_to_wait(said: str | None, least_s: float, most_s: float) -> None:
    refusal = error_of(503, None, said, "get Pod")
    assert isinstance(refusal, Unavailable)
    assert refusal.after is not None
    assert least_s <= refusal.after.total_seconds() <= most_s


@pytest.mark.timer("steps/offbus_steps/kubernetes/rest/api.py")
@in_virtual_asyncio_time
async def test_an_attempt_that_is_not_answered_is_given_up(tmp_path: Path) -> None:
    async with answering(tmp_path, lambda _: None) as (api, server):
        with pytest.raises(Unavailable, match="did not answer"):
            await api.json(READ)
    assert (server.times(), round(anyio.current_time(), 6)) == ([0], ATTEMPT_S)


@pytest.mark.timer("steps/offbus_steps/kubernetes/rest/api.py")
@in_virtual_asyncio_time
async def test_a_connection_that_is_not_made_is_tried_again(tmp_path: Path) -> None:
    paced = Noted(qps=1000, burst=1000)
    with full_server() as port:
        server: Any = TimedServer(lambda _: None)
        server.server = f"http://127.0.0.1:{port}"
        async with aiohttp.ClientSession() as server.session:
            with pytest.raises(Unavailable, match="cannot connect to the API server"):
                await Api(server, paced).json(WRITE)
    assert pauses(paced.times) == pytest.approx([CONNECT_S + pause for pause in DOUBLING[:3]])
    assert anyio.current_time() == pytest.approx(paced.times[-1] + CONNECT_S)


class Noted(Pace):
    """A pace that remembers when it was asked."""

    def __init__(self, qps: float, burst: int) -> None:
        super().__init__(qps, burst)
        self.times: list[float] = []

    async def take(self) -> None:
        self.times.append(anyio.current_time())
        await super().take()


def starting(ready_at: float) -> Callable[[str], Answer]:
    """A server whose authorizer knows nobody until it is ready."""

    def says(call: str) -> Answer:
        ready = anyio.current_time() >= ready_at
        return Answer(200 if ready else 500 if call == "GET /readyz" else 403)

    return says


@in_virtual_asyncio_time
async def test_a_refusal_is_not_believed_while_the_server_starts(tmp_path: Path) -> None:
    async with answering(tmp_path, starting(ready_at=6.5)) as (api, server):
        await api.json(READ)
    assert pauses(server.times("GET /readyz")) == DOUBLING
    assert len(server.times("GET /api")) == 2


@pytest.mark.timer("steps/offbus_steps/kubernetes/rest/api.py")
@in_virtual_asyncio_time
async def test_a_server_that_does_not_get_ready_is_unavailable(tmp_path: Path) -> None:
    async with answering(tmp_path, starting(ready_at=1000)) as (api, _):
        with pytest.raises(Unavailable, match="not ready"):
            await api.json(READ)
        assert PATIENCE_S - LONGEST_PAUSE < anyio.current_time() <= PATIENCE_S


@in_virtual_asyncio_time
async def test_a_refusal_by_a_server_that_is_ready_is_believed_at_once(tmp_path: Path) -> None:
    async with answering(tmp_path, until(1000, Answer(), Answer())) as (api, server):
        server.says = lambda call: Answer(200 if call == "GET /readyz" else 403)
        with pytest.raises(Forbidden):
            await api.json(READ)
    assert anyio.current_time() == 0


@in_virtual_asyncio_time
async def test_whether_a_server_is_ready_is_asked_for_a_bounded_time(tmp_path: Path) -> None:
    async with answering(tmp_path, lambda _: None) as (api, _):
        assert not await api.ready()
    assert anyio.current_time() == CONNECT_S


def begun(_call: str) -> Answer:
    """A watch of which nothing comes."""
    return Answer(headers={"transfer-encoding": "chunked"}, whole=False)


@pytest.mark.guarantee("G23")
@pytest.mark.timer("steps/offbus_steps/kubernetes/rest/watch_stream.py")
@in_virtual_asyncio_time
@pytest.mark.parametrize("version", ["1", ""], ids=["with bookmarks", "from now"])
async def test_a_watch_that_the_server_does_not_end_is_silent(tmp_path: Path, version: str) -> None:
    """A server ends a watch after the time that it was asked for; what lies between may drop that, too."""
    async with answering(tmp_path, begun) as (api, server):
        with pytest.raises(Silent, match="GET /api/v1/nodes: nothing came for") as told:
            async with aclosing(events_after(api, "/api/v1/nodes", {}, version)) as events:
                await anext(events)
    asked_s = int(server.asked[0][0].partition("timeoutSeconds=")[2].partition("&")[0])
    assert ASKED_S[0] <= asked_s <= ASKED_S[1]
    assert anyio.current_time() == pytest.approx(asked_s + SLACK_S)
    assert told.value.silent_s == pytest.approx(asked_s + SLACK_S)
    assert anyio.current_time() <= 75, "so long may the responder be blamed for the path"


@pytest.mark.timer("steps/offbus_steps/kubernetes/rest/watch_stream.py")
@in_virtual_asyncio_time
async def test_a_watch_whose_answer_does_not_begin_is_asked_for_again(tmp_path: Path) -> None:
    async with answering(tmp_path, lambda _: None) as (api, server):
        with pytest.raises(Unavailable, match="did not answer"):
            async with aclosing(events_after(api, "/api/v1/nodes", {}, "1")) as events:
                await anext(events)
    assert pauses(server.times())[:2] == [ATTEMPT_S + FIRST_PAUSE, ATTEMPT_S + 2 * FIRST_PAUSE]


@pytest.mark.timer("steps/offbus_steps/kubernetes/rest/watch_stream.py")
@in_virtual_asyncio_time
async def test_a_server_that_ends_each_watch_at_once_is_not_asked_without_a_pause(tmp_path: Path) -> None:
    async with answering(tmp_path, lambda _: Answer(body=None)) as (api, server):
        with anyio.move_on_after(FIRST_PAUSE * 20.5):
            async with aclosing(events_after(api, "/api/v1/nodes", {}, "1")) as events:
                await anext(events)
    assert pauses(server.times()) == [FIRST_PAUSE] * 20


TO = Ref("Deployment", "web", "drill")


def made_by(kind: str, name: str, made: Object) -> Object:
    """With a uid and a controller of that kind; a uid is the object's name."""
    reference = {"kind": kind, "name": name, "uid": name, "controller": True}
    metadata = made["metadata"] | {
        "uid": made["metadata"]["name"],
        "ownerReferences": [reference] if kind else [],
    }
    return made | {"metadata": metadata}


SET = made_by("Deployment", "web", {"metadata": {"name": "web-set", "namespace": "drill"}})
READY = made_by("ReplicaSet", "web-set", pod("web-1", "web", "node-1"))
SECRET = {"data": {"token": "dG9rZW4="}}


def cluster(call: str) -> Answer | None:
    """A target of one pod without a Service, and an agent; neither answers through the proxy."""
    path = call.split()[1].partition("?")[0]
    if "/proxy" in path:
        return None
    if path.endswith("/deployments/web"):
        return Answer(body=made_by("", "", deployment("web", 1)))
    if path.endswith("/namespaces/offbus-system/pods"):
        return Answer(body={"metadata": {"resourceVersion": "1"}, "items": [agents_pod("node-1")]})
    if "/namespaces/offbus-system/pods/" in path:
        return Answer(body=agents_pod("node-1"))
    found = {"pods": [READY], "replicasets": [SET], "services": [], "daemonsets": [agents_set()]}.get(
        path.rpartition("/")[2]
    )
    if found is not None:
        return Answer(body={"metadata": {"resourceVersion": "1"}, "items": found})
    return Answer(body=SECRET if "/secrets/" in path else {})


@asynccontextmanager
async def cluster_of(folder: Path) -> AsyncIterator[tuple[Api, KubernetesObjects, TimedServer]]:
    async with answering(folder, cluster) as (api, server):
        yield api, KubernetesObjects(api, ServedKinds(api)), server


@pytest.mark.timer("steps/offbus_steps/kubernetes/agents.py")
@in_virtual_asyncio_time
async def test_an_agent_that_does_not_answer_through_the_proxy_is_given_up(tmp_path: Path) -> None:
    async with cluster_of(tmp_path) as (api, objects, _):
        agents = KubernetesAgents(api, objects, "offbus-system")
        with pytest.raises(Unavailable, match="did not answer GET /health within 12 s"):
            await agents.request("node-1", "GET", "/health", timeout=12)
    assert anyio.current_time() == 12


STATES = [
    pytest.param([{"type": "Ready", "status": "False"}], "Running", "did not answer POST", id="not ready"),
    pytest.param([], "Pending", "has no running agent", id="not running"),
]


@pytest.mark.guarantee("G30")
@pytest.mark.parametrize(("conditions", "phase", "why"), STATES)
@in_virtual_asyncio_time
async def test_an_agent_that_runs_is_asked_while_it_is_not_ready(
    tmp_path: Path, conditions: list[dict[str, str]], phase: str, why: str
) -> None:
    """Others may make its probe fail, and an undo must not wait for that."""
    pod = {**agents_pod("node-1"), "status": {"phase": phase, "conditions": conditions}}

    def answers(call: str) -> Answer | None:
        path = call.split()[1].partition("?")[0]
        if path.endswith("/pods"):
            return Answer(body={"metadata": {"resourceVersion": "1"}, "items": [pod]})
        if "/pods/" in path and "/proxy" not in path:
            return Answer(body=pod)
        return cluster(call)

    async with answering(tmp_path, answers) as (api, _):
        agents = KubernetesAgents(api, KubernetesObjects(api, ServedKinds(api)), "offbus-system")
        with pytest.raises(Unavailable, match=why):
            await agents.request("node-1", "POST", "/faults/f1/recover", timeout=12)
        assert list(await agents.ready(["node-1"])) == (["node-1"] if phase == "Running" else [])


@pytest.mark.timer("steps/offbus_steps/port.py")
@in_virtual_asyncio_time
async def test_a_target_that_does_not_answer_through_the_proxy_is_given_up(tmp_path: Path) -> None:
    async with cluster_of(tmp_path) as (api, objects, _):
        traffic = KubernetesTraffic(api, Frontends(objects))
        with pytest.raises(PortError, match="within 45 s"):
            async with traffic.stream(TO, "GET", "/", port=8000, timeout=45):
                pytest.fail("it answered")
    assert anyio.current_time() == 45


@pytest.mark.timer("steps/offbus_steps/kubernetes/frontends.py")
@in_virtual_asyncio_time
async def test_the_ready_pods_of_a_target_are_read_again_when_they_are_no_longer_fresh(
    tmp_path: Path,
) -> None:
    async with cluster_of(tmp_path) as (_, objects, server):
        ways = Frontends(objects)
        for _ in range(11):
            assert "web-1" in await ways.path(TO, 8000, "/")
            await anyio.sleep(0.25)
    assert pauses(server.times("GET /api/v1/namespaces/drill/pods")) == [FRESH_S + 0.25] * 2
