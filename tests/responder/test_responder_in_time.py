"""The stand-in responder's delays, retries and back-offs, on virtual time: each of its programs on a store in this
process, whose API server can go away."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest

from offbus_sandbox.responder.condition import kube_time
from offbus_sandbox.responder.config import Breaker, ResponderConfig
from offbus_sandbox.responder.controller import controller
from offbus_sandbox.responder.controller.controller import Controller
from offbus_sandbox.responder.datastore import LABEL, Datastore, Document
from offbus_sandbox.responder.health_event import HealthEvent
from offbus_sandbox.store.history import Change
from offbus_steps.nvsentinel import names
from offbus_steps.port import Conflict, Forbidden, Object, Ref
from tests.kits.responder.health_events import fault, gpu_node
from tests.kits.steps.timed_port import TimedPort, pod, put
from tests.kits.virtual_time import in_virtual_time, meanwhile

NODE = Ref("Node", "node-1")
NAMESPACE = "nvsentinel"
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
FATAL = fault("79")
HEALTHY = HealthEvent(isHealthy=True, nodeName="node-1")
SLOW = ResponderConfig(
    quarantine_delay_s=10, drain_delay_s=20, remediate_delay_s=30, janitor_delay_s=50, uncordon_delay_s=40
)


def utc() -> datetime:
    """The wall clock, which begins with virtual time."""
    return EPOCH + timedelta(seconds=anyio.current_time())


@asynccontextmanager
async def responding(folder: Path, config: ResponderConfig, *pods: Object) -> AsyncIterator[TimedPort]:
    """A controller on two GPU nodes, with its janitor for their folders."""
    port = TimedPort(folder)
    for name in ("node-1", "node-2"):
        (folder / "nodes" / name).mkdir(parents=True)
        put(port.store, gpu_node(name))
    for one in pods:
        put(port.store, one)
    async with anyio.create_task_group() as tasks:
        program = Controller(port, config, folder / "nodes", utc)
        tasks.start_soon(program.run, lambda: None)
        yield port
        tasks.cancel_scope.cancel()
    port.store.close()


def tell(port: TimedPort, event: HealthEvent, node: str = "node-1") -> None:
    """What a detector does."""
    document = Document.of(event, utc())
    ref = Datastore(port.objects, NAMESPACE).ref(node)
    data = {document.event.id: document.model_dump_json()}
    if port.store.find(ref):
        port.store.patch(ref, {"data": data})
        return
    key, value = LABEL
    metadata = {"name": ref.name, "namespace": ref.namespace, "labels": {key: value}}
    port.store.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data})


class States:
    """When a node came into each state."""

    def __init__(self, port: TimedPort, node: str = "node-1") -> None:
        self.seen: list[tuple[str, float]] = []
        self._node = node
        port.store.listen(self._look)

    def _look(self, change: Change) -> None:
        if change.object["kind"] == "Node" and change.object["metadata"]["name"] == self._node:
            state = (change.object["metadata"].get("labels") or {}).get(names.STATE_LABEL, "")
            if state != (self.seen[-1][0] if self.seen else ""):
                self.seen.append((state, anyio.current_time()))

    def at(self, state: str) -> float:
        return next(at for one, at in self.seen if one == state)


def moments(port: TimedPort, call: str) -> list[float]:
    """When something was asked for, however many changes of that moment were a reason to."""
    return sorted(set(port.objects.times(call)))


@pytest.mark.timer(
    "sandbox/offbus_sandbox/responder/controller/fault_quarantine.py",
    "sandbox/offbus_sandbox/responder/controller/fault_remediation.py",
    "sandbox/offbus_sandbox/responder/controller/node_drainer.py",
    "sandbox/offbus_sandbox/responder/janitor/janitor.py",
)
@in_virtual_time
async def test_each_transition_waits_for_its_own_delay(tmp_path: Path) -> None:
    async with responding(tmp_path, SLOW) as port:
        states = States(port)
        boot_id = tmp_path / "nodes/node-1/var/run/nvsentinel/boot_id"
        async with meanwhile((5, partial(tell, port, FATAL)), (200, partial(tell, port, HEALTHY))):
            await anyio.sleep(114.9)
            assert not boot_id.exists()
            await anyio.sleep(0.2)
            assert boot_id.exists(), "the janitor completes what was asked for at 65, after its 50 s"
            await anyio.sleep(1000)
        assert states.seen == [
            ("quarantined", 15),
            ("drain-succeeded", 35),
            ("remediating", 65),
            ("remediation-succeeded", 65),
            ("", 240),
        ]


@in_virtual_time
async def test_a_release_that_somebody_else_s_change_interrupts_is_finished(tmp_path: Path) -> None:
    """The annotation is `[]` then, and the node is still cordoned."""
    async with responding(tmp_path, ResponderConfig()) as port:
        patch, refused = port.objects.patch, []

        async def interrupted(ref: Ref, change: Any, *, status: bool = False) -> Object:
            if change.get("spec") == {"unschedulable": None} and not refused:
                refused.append(ref)
                raise Conflict("a kubelet's heartbeat")
            return await patch(ref, change, status=status)

        port.objects.patch = interrupted
        async with meanwhile((0, partial(tell, port, FATAL)), (20, partial(tell, port, HEALTHY))):
            await anyio.sleep(60)
        assert refused == [NODE]
        node = port.store.get(NODE)
        assert not node["spec"].get("unschedulable")
        assert not node["metadata"].get("annotations")


@pytest.mark.timer("sandbox/offbus_sandbox/responder/controller/fault_quarantine.py")
@in_virtual_time
async def test_events_are_taken_one_after_another_each_after_its_delay(tmp_path: Path) -> None:
    async with responding(tmp_path, SLOW) as port:
        states = States(port)
        async with meanwhile((5, partial(tell, port, FATAL)), (14.9, partial(tell, port, HEALTHY))):
            await anyio.sleep(1000)
        assert states.seen == [
            ("quarantined", 15),
            ("drain-succeeded", 35),
            ("", 55),
            # Healthy since, but its document was drained before: fault-remediation still acts on it.
            ("remediating", 65),
            ("remediation-succeeded", 65),
        ]


def guarded(store: Any) -> None:
    budget = {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "keep", "namespace": "drill"},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}},
    }
    store.create(budget)


@pytest.mark.timer("sandbox/offbus_sandbox/responder/controller/node_drainer.py")
@in_virtual_time
async def test_an_eviction_that_a_budget_refuses_is_asked_for_again_after_a_pause(tmp_path: Path) -> None:
    async with responding(tmp_path, SLOW, pod("web-1", "web", "node-1")) as port:
        guarded(port.store)
        budget = Ref("PodDisruptionBudget", "keep", "drill")
        async with meanwhile((0, partial(tell, port, FATAL)), (31.8, partial(port.store.delete, budget))):
            await anyio.sleep(1000)
        again = SLOW.drain_retry_s
        assert moments(port, "evict Pod") == [30 + number * again for number in range(5)]


def by(mode: str, **settings: Any) -> ResponderConfig:
    return ResponderConfig.model_validate(
        {**SLOW.model_dump(mode="json"), "drain": [{"name": "*", "mode": mode}], **settings}
    )


@pytest.mark.timer("sandbox/offbus_sandbox/responder/controller/node_drainer.py")
@in_virtual_time
async def test_pods_are_deleted_when_their_time_after_the_quarantine_is_over(tmp_path: Path) -> None:
    config = by("DeleteAfterTimeout", delete_after_timeout_s=3600)
    async with responding(tmp_path, config, pod("web-1", "web", "node-1")) as port:
        states = States(port)
        async with meanwhile((5, partial(tell, port, FATAL))):
            await anyio.sleep(5000)
        assert port.objects.times("delete Pod") == [5 + 3600]
        assert states.at("drain-succeeded") == 5 + 3600 + config.drain_retry_s


@pytest.mark.timer("sandbox/offbus_sandbox/responder/controller/node_drainer.py")
@in_virtual_time
async def test_a_pod_that_stays_not_ready_is_waited_for_no_longer(tmp_path: Path) -> None:
    broken = pod("web-1", "web", "node-1")
    since = kube_time(EPOCH + timedelta(seconds=20))
    broken["status"]["conditions"] = [{"type": "Ready", "status": "False", "lastTransitionTime": since}]
    async with responding(tmp_path, by("AllowCompletion", not_ready_timeout_s=300), broken) as port:
        states = States(port)
        async with meanwhile((5, partial(tell, port, FATAL))):
            await anyio.sleep(1000)
        assert states.at("draining") == 35
        assert states.at("drain-succeeded") == 20 + 300


@pytest.mark.timer("sandbox/offbus_sandbox/responder/controller/fault_quarantine.py")
@pytest.mark.parametrize(("second_at", "trips"), [(289, True), (301, False)])
@in_virtual_time
async def test_the_breaker_counts_the_cordons_of_its_window(
    tmp_path: Path, second_at: float, trips: bool
) -> None:
    breaker = Breaker(enabled=True, percentage=50, duration_s=300)
    async with responding(tmp_path, SLOW.model_copy(update={"circuit_breaker": breaker})) as port:
        other = fault("79").model_copy(update={"nodeName": "node-2"})
        async with meanwhile(
            (0, partial(tell, port, FATAL)), (second_at, partial(tell, port, other, "node-2"))
        ):
            await anyio.sleep(1000)
        assert (port.store.find(Ref("ConfigMap", names.BREAKER, NAMESPACE)) is not None) is trips


@pytest.mark.timer("sandbox/offbus_sandbox/responder/controller/fault_quarantine.py")
@in_virtual_time
async def test_a_tripped_breaker_stops_every_node_even_after_it_was_reset(tmp_path: Path) -> None:
    config = SLOW.model_copy(update={"circuit_breaker": Breaker(enabled=True), "quarantine_delay_s": 0})
    async with responding(tmp_path, config) as port:
        ref = Ref("ConfigMap", names.BREAKER, NAMESPACE)
        metadata = {"name": ref.name, "namespace": ref.namespace}
        port.store.create(
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"status": "TRIPPED"}}
        )
        states, others = States(port), States(port, "node-2")
        other = fault("79").model_copy(update={"nodeName": "node-2"})
        reset = partial(port.store.patch, ref, {"data": {"status": "CLOSED"}})
        async with meanwhile(
            (0, partial(tell, port, FATAL)), (42, reset), (50, partial(tell, port, other, "node-2"))
        ):
            await anyio.sleep(1000)
        assert (states.seen, others.seen) == ([], [])


@pytest.mark.timer("sandbox/offbus_sandbox/responder/controller/controller.py")
@in_virtual_time
async def test_a_node_is_looked_at_again_while_the_api_cannot_be_reached(tmp_path: Path) -> None:
    async with responding(tmp_path, SLOW) as port:
        async with meanwhile(
            (0, partial(tell, port, FATAL)), (9, port.objects.leave), (12, port.objects.come_back)
        ):
            await anyio.sleep(20)
        looks = [at for at in moments(port, "get ConfigMap") if 10 <= at <= 12]
        assert looks == [10 + number * controller._RETRY_S for number in range(5)]


@pytest.mark.timer("sandbox/offbus_sandbox/responder/controller/controller.py")
@in_virtual_time
async def test_a_refused_change_is_tried_again_after_a_longer_pause(tmp_path: Path) -> None:
    async with responding(tmp_path, SLOW.model_copy(update={"quarantine_delay_s": 0})) as port:
        port.objects.refusals["patch Node"] = Forbidden("no")
        async with meanwhile((0, partial(tell, port, FATAL)), (12, port.objects.refusals.clear)):
            await anyio.sleep(19)
        assert moments(port, "patch Node") == [number * controller._REFUSED_S for number in range(4)]
