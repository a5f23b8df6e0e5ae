"""The sandbox's own timers, on virtual time: its idle end, probes, back-offs, taints."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from offbus_sandbox.api.idle import Idle
from offbus_sandbox.config import Backoff, SandboxConfig
from offbus_sandbox.controllers.controller import RETRY_S, Controller
from offbus_sandbox.controllers.taints import TaintEviction
from offbus_sandbox.kubelet.container import Container, PodView
from offbus_sandbox.kubelet.host import Host
from offbus_sandbox.kubelet.probe import Probe, until_started, watch_probe
from offbus_sandbox.layout import Layout
from offbus_sandbox.processes.restart_backoff import restarted
from offbus_sandbox.store.history import Change, History
from offbus_sandbox.store.store import Store
from offbus_steps.port import Ref, Unavailable, WatchType
from tests.kits.sandbox.local_cluster import pod
from tests.kits.virtual_time import in_virtual_time, meanwhile

IDLE_S = 1800.0


@pytest.mark.timer("sandbox/offbus_sandbox/store/history.py")
@in_virtual_time
async def test_who_follows_hears_that_nothing_changed() -> None:
    history, heard = History(7, keep=10), []

    async def follow() -> None:
        async for batch in history.follow(7, quiet_s=10):
            heard.append((anyio.current_time(), len(batch)))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(follow)
        await anyio.sleep(25)
        history.add(Change(8, WatchType.ADDED, {}, None))
        await anyio.sleep(12)
        history.close()
    assert heard == [(10, 0), (20, 0), (25, 1), (35, 0)]


class Clients:
    """Requests to an application whose idle time is counted."""

    def __init__(self, idle: Idle) -> None:
        self._served = idle.counting(self._serve)
        self._open: list[anyio.Event] = []
        self.tasks: Any = None

    async def _serve(self, _scope: Any, _receive: Any, _send: Any) -> None:
        self._open.append(done := anyio.Event())
        await done.wait()

    def come(self) -> None:
        """A request that lasts."""
        self.tasks.start_soon(self._served, {}, None, None)

    def go(self) -> None:
        """The oldest request ends."""
        self._open.pop(0).set()


async def idle_at(script: Callable[[Clients], Iterable[tuple[float, Callable[[], None]]]]) -> float:
    """When a sandbox whose clients come and go so is idle; its programs were ready at 100."""
    idle = Idle(IDLE_S)
    clients = Clients(idle)
    async with anyio.create_task_group() as clients.tasks, meanwhile(*script(clients)):
        await anyio.sleep(100)
        await idle.reached()
        clients.tasks.cancel_scope.cancel()
    return anyio.current_time()


@pytest.mark.timer("sandbox/offbus_sandbox/api/idle.py")
@in_virtual_time
async def test_a_sandbox_that_nobody_uses_is_idle_so_long_after_it_was_ready() -> None:
    assert await idle_at(lambda _: ()) == 100 + IDLE_S


@pytest.mark.timer("sandbox/offbus_sandbox/api/idle.py")
@in_virtual_time
async def test_idle_time_begins_when_the_last_request_ends() -> None:
    ends = await idle_at(
        lambda c: [
            (1899, c.come),
            (1950, c.come),
            (2000, c.go),
            (9000, c.go),
            (10_000, c.come),
            (10_001, c.go),
        ]
    )
    assert ends == 10_001 + IDLE_S


@in_virtual_time
async def test_a_request_that_was_there_before_the_sandbox_was_ready_counts() -> None:
    assert await idle_at(lambda c: [(50, c.come), (5000, c.go)]) == 5000 + IDLE_S


class Healthy(httpx.AsyncBaseTransport):
    """A container that answers a probe from a time to another one; before and after, it does not answer."""

    def __init__(self, since: float, until: float = float("inf")) -> None:
        self._since, self._until = since, until
        self.probed: list[float] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.probed.append(round(anyio.current_time(), 6))
        if not self._since <= anyio.current_time() < self._until:
            await anyio.sleep_forever()
        return httpx.Response(200)


def probe(**spec: Any) -> Probe:
    return Probe.of({"httpGet": {"port": 80}, **spec}, {"name": "main"}, "127.0.0.1", longest_s=0.2)


@pytest.mark.timer("sandbox/offbus_sandbox/kubelet/probe.py")
@in_virtual_time
async def test_a_probe_is_given_its_timeout_and_repeated_after_its_period() -> None:
    container = Healthy(since=10.0)
    async with httpx.AsyncClient(transport=container) as client:
        assert await until_started(probe(failureThreshold=60, timeoutSeconds=3), client)
    assert container.probed == [0.0, 3.2, 6.4, 9.6, 12.8], (
        "each one is waited for 3 s, and 0.2 s pass between them"
    )
    assert anyio.current_time() == pytest.approx(12.8)


@pytest.mark.timer("sandbox/offbus_sandbox/kubelet/probe.py")
@in_virtual_time
async def test_a_container_that_does_not_start_is_given_up_after_its_last_probe() -> None:
    async with httpx.AsyncClient(transport=Healthy(since=1000.0)) as client:
        assert not await until_started(probe(failureThreshold=30), client)
    assert anyio.current_time() == pytest.approx(30 * 1.2)


@pytest.mark.timer("sandbox/offbus_sandbox/kubelet/probe.py")
@in_virtual_time
async def test_readiness_changes_when_enough_probes_say_so() -> None:
    told: list[tuple[bool, float]] = []
    async with httpx.AsyncClient(transport=Healthy(since=5.0, until=20.0)) as client:
        with anyio.move_on_after(60):
            watched = probe(successThreshold=4, failureThreshold=3, periodSeconds=0.125)
            await watch_probe(
                watched, client, lambda good: told.append((good, anyio.current_time())), start=False
            )
    (ready, ready_at), (unready, unready_at) = told
    assert (ready, unready) == (True, False)
    assert ready_at == 5.625 + 3 * 0.125, "a probe is made at 5.625: those before hung for 1 s each"
    assert unready_at == 20.0 + 3 * 1.0 + 2 * 0.125


LOOP = Backoff(base_s=1, factor=2, cap_s=5, forget_after_s=20)


@pytest.mark.timer("sandbox/offbus_sandbox/processes/restart_backoff.py")
@in_virtual_time
async def test_what_dies_is_started_again_after_pauses_that_double_and_are_forgotten() -> None:
    begun: list[float] = []
    pauses: list[float] = []

    async def life(number: int) -> str | None:
        begun.append(anyio.current_time())
        await anyio.sleep(20 if number == 6 else 0.5)
        return "enough" if number == 9 else None

    assert await restarted(LOOP, life, pauses.append) == "enough"
    assert pauses == [0, 1, 2, 4, 5, 5, 0, 1, 2]
    assert begun == [0, 0.5, 2, 4.5, 9, 14.5, 20, 40, 41.5, 44]


@pytest.mark.timer("sandbox/offbus_sandbox/processes/restart_backoff.py")
@in_virtual_time
async def test_a_container_that_cannot_start_backs_off_and_says_so(tmp_path: Path, store: Store) -> None:
    spec = pod("p", ["no-such-program"], terminationGracePeriodSeconds=1)
    spec["metadata"]["uid"] = "u"
    host = Host("node-1", Layout.of(tmp_path), SandboxConfig(backoff=LOOP), store, httpx.AsyncClient(), None)
    seen: list[tuple[float, int, str]] = []

    def changed() -> None:
        status = one.status
        seen.append((anyio.current_time(), status["restartCount"], status["state"]["waiting"]["reason"]))

    one = Container(
        PodView(host, spec, "127.0.0.1", changed, 1.0), spec["spec"]["containers"][0], [], policy="Always"
    )
    with anyio.move_on_after(9):
        await one.run()
    refused = [(at, restarts) for at, restarts, reason in seen if reason == "RunContainerError"]
    assert refused == [(0, 0), (0, 1), (1, 2), (3, 3), (7, 4)]
    message = one.status["state"]["waiting"]["message"]
    assert message == "back-off 5s restarting failed container=main pod=p"


class Refusing(Controller[str]):
    """A controller whose world refuses until a time."""

    def __init__(self, store: Store, *, until: float) -> None:
        super().__init__(store)
        self._until = until
        self.tried: list[float] = []

    def keys(self, _change: Change) -> Iterable[str]:
        yield "it"

    def reconcile(self, _key: str) -> None:
        self.tried.append(anyio.current_time())
        if anyio.current_time() < self._until:
            raise Unavailable("not now")


def node(**spec: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-1"}, "spec": spec}


@pytest.mark.timer("sandbox/offbus_sandbox/controllers/controller.py")
@in_virtual_time
async def test_a_controller_tries_again_after_a_pause_and_no_longer_than_it_must(store: Store) -> None:
    store.create(node())
    refusing = Refusing(store, until=3.5)
    with anyio.move_on_after(60):
        await refusing.run()
    assert refusing.tried == [RETRY_S * number for number in range(5)]


@pytest.mark.timer("sandbox/offbus_sandbox/controllers/controller.py")
@pytest.mark.parametrize(("toleration", "gone_at"), [({"tolerationSeconds": 30}, 40), ({}, None), (None, 10)])
@in_virtual_time
async def test_a_taint_takes_a_pod_after_the_time_that_it_tolerates(
    store: Store, toleration: dict[str, Any] | None, gone_at: float | None
) -> None:
    tolerations = [] if toleration is None else [{"key": "bad", "operator": "Exists", **toleration}]
    store.create(node())
    store.create(pod("p", ["none"], nodeName="node-1", tolerations=tolerations))
    gone: list[float] = []

    def note(change: Change) -> None:
        if change.object["kind"] == "Pod" and change.object["metadata"].get("deletionTimestamp"):
            gone.append(anyio.current_time())

    store.listen(note)
    taint = {"spec": {"taints": [{"key": "bad", "effect": "NoExecute"}]}}
    with anyio.move_on_after(1000):
        async with meanwhile((10, lambda: store.patch(Ref("Node", "node-1"), taint))):
            await TaintEviction(store).run()
    assert gone == ([] if gone_at is None else [gone_at])
