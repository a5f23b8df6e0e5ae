"""The delays and back-offs of the responder's detector, janitor and watches, on virtual time."""

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.abc import TaskStatus

from offbus_agent.kernel_log.open import open_kernel_log
from offbus_sandbox.responder.config import ResponderConfig
from offbus_sandbox.responder.detector.detector import Detector
from offbus_sandbox.responder.detector.publisher import Publisher
from offbus_sandbox.responder.janitor import janitor
from offbus_sandbox.responder.janitor.janitor import Janitor
from offbus_sandbox.responder.janitor.node_repair import LocalNodes
from offbus_sandbox.responder.watch import follow
from offbus_steps.kinds import KINDS
from offbus_steps.nvsentinel import names
from offbus_steps.port import NotFound, Ref
from tests.kits.responder.health_events import fault, gpu_node
from tests.kits.steps.timed_port import TimedPort, put
from tests.kits.virtual_time import in_virtual_time, meanwhile

NODE = Ref("Node", "node-1")
FATAL = fault("79")
BACK_OFF = [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0]


@pytest.mark.timer("sandbox/offbus_sandbox/responder/watch.py")
@in_virtual_time
async def test_a_watch_that_breaks_is_begun_again_after_pauses_that_double(tmp_path: Path) -> None:
    port = TimedPort(tmp_path)
    seen: list[float] = []

    async def look() -> None:
        async for _ in follow(port.objects, "Node"):
            seen.append(anyio.current_time())

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(look)
        async with meanwhile(
            (10, port.objects.leave),
            (30, port.objects.come_back),
            (40, partial(put, port.store, gpu_node("node-1"))),
            (50, port.objects.leave),
        ):
            await anyio.sleep(51)
        tasks.cancel_scope.cancel()
    lists = port.objects.times("list Node")
    assert pauses_of([10, *(at for at in lists if 10 < at < 40)]) == pytest.approx(BACK_OFF)
    assert pauses_of([50, *(at for at in lists if at > 50)]) == pytest.approx(BACK_OFF[:3]), "begun anew"
    assert seen == [40]
    port.store.close()


def pauses_of(times: Iterable[float]) -> list[float]:
    return [after - before for before, after in pairwise(times)]


@pytest.mark.timer("sandbox/offbus_sandbox/responder/detector/publisher.py")
@in_virtual_time
async def test_a_health_event_is_written_again_and_again_until_the_api_is_reached(tmp_path: Path) -> None:
    port = TimedPort(tmp_path)
    put(port.store, gpu_node("node-1"))
    port.objects.leave()
    async with meanwhile((20, port.objects.come_back)):
        await Publisher(port.objects, "node-1", ResponderConfig()).publish(FATAL)
    tries = port.objects.times("patch ConfigMap")
    assert pauses_of(tries) == pytest.approx(BACK_OFF)
    assert anyio.current_time() == tries[-1]
    assert port.objects.times("patch Node") == [tries[-1]]
    port.store.close()


@asynccontextmanager
async def repairing(folder: Path, delay_s: float) -> AsyncIterator[TimedPort]:
    """A janitor, and a reboot that it has been asked for."""
    port = TimedPort(folder)
    (folder / "node-1").mkdir()
    put(port.store, gpu_node("node-1"))
    key, value = names.MANAGED_BY
    reboot = {
        "apiVersion": KINDS["RebootNode"].api_version,
        "kind": "RebootNode",
        "metadata": {"name": "reboot", "labels": {key: value}},
        "spec": {"nodeName": "node-1"},
    }
    port.store.create(reboot)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(
            Janitor(port.objects, LocalNodes(folder), ResponderConfig(janitor_delay_s=delay_s)).run
        )
        yield port
        tasks.cancel_scope.cancel()
    port.store.close()


@pytest.mark.timer("sandbox/offbus_sandbox/responder/janitor/janitor.py")
@in_virtual_time
async def test_a_repair_that_cannot_be_told_is_tried_again_after_a_pause(tmp_path: Path) -> None:
    async with repairing(tmp_path, 46.5) as port:
        async with meanwhile((40, port.objects.leave), (48.2, port.objects.come_back)):
            await anyio.sleep(100)
        tries = port.objects.times("get RebootNode")
        assert tries == [0, *(46.5 + number * janitor._AGAIN_S for number in range(5))]
        _, done = port.store.get(Ref("RebootNode", "reboot"))["status"]["conditions"]
        assert done["status"] == "True"


@pytest.mark.timer("sandbox/offbus_sandbox/responder/janitor/janitor.py")
@in_virtual_time
async def test_a_cluster_that_does_not_serve_maintenance_yet_is_asked_again_after_a_pause(
    tmp_path: Path,
) -> None:
    async with repairing(tmp_path, 0.0) as port:
        port.objects.refusals["list RebootNode"] = NotFound("no such kind")
        async with meanwhile((12, port.objects.refusals.clear)):
            await anyio.sleep(100)
        lists = port.objects.times("list RebootNode")
        assert lists == [number * janitor._UNSERVED_S for number in range(4)]
        assert port.store.get(Ref("RebootNode", "reboot"))["status"]["conditions"]


EVENT = "13, Graphics Exception"


@asynccontextmanager
async def detecting(folder: Path, **settings: Any) -> AsyncIterator[tuple[TimedPort, Callable[[], Any]]]:
    """A detector of a node, and what writes a line that is no fault into its kernel log."""
    port = TimedPort(folder)
    put(port.store, gpu_node("node-1"))
    log = folder / "node-1" / "kmsg"
    log.parent.mkdir()
    log.touch()
    config = ResponderConfig(**settings)
    async with anyio.create_task_group() as tasks:
        await tasks.start(follow_log, Detector("node-1", log.parent, log, port, config))
        line = f"offbus=t ;NVRM: Xid (PCI:0000:3b:00): {EVENT}"
        yield port, partial(open_kernel_log(log).write, line)
        tasks.cancel_scope.cancel()
    port.store.close()


async def follow_log(detector: Detector, *, task_status: TaskStatus[None]) -> None:
    await detector.run(task_status.started)


@pytest.mark.timer("sandbox/offbus_sandbox/responder/detector/detector.py")
@pytest.mark.parametrize(("poll_s", "told_at"), [(15, 38), (0, 28)], ids=["polled", "by-events"])
@in_virtual_time
async def test_a_line_is_told_after_the_delay_from_when_it_was_seen(
    tmp_path: Path, poll_s: float, told_at: float
) -> None:
    async with detecting(tmp_path, poll_s=poll_s, detect_delay_s=4) as (port, line):
        assert anyio.current_time() == 4, "it begins by telling that the node is healthy"
        async with meanwhile((20, line)):
            await anyio.sleep(100)
        assert port.objects.times("create Event") == [told_at]


@pytest.mark.timer("sandbox/offbus_sandbox/responder/detector/detector.py")
@in_virtual_time
async def test_a_repeat_within_the_window_is_no_news(tmp_path: Path) -> None:
    async with detecting(tmp_path, detect_delay_s=0, dedup_window_s=180) as (port, line):
        async with meanwhile((20, line), (100, line), (199.5, line), (200.5, line), (300, line)):
            await anyio.sleep(1000)
        assert port.objects.times("create Event") == [20, 200.5]
