"""What a real API server lets a node's kubelet do (Node authorizer, NodeRestriction), and what it gains by it."""

from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import pytest

from offbus.journal.writer import JournalWriter
from offbus.runner.clock import SystemClock
from offbus.runner.recorder import RunRecorder
from offbus.undo import UndoContext
from offbus_steps.cluster.cluster import open_cluster
from offbus_steps.cluster.wait import target_objects
from offbus_steps.deploy.undo_delete import DeleteObject
from offbus_steps.kubernetes.agents import AGENT_LABELS
from offbus_steps.kubernetes.port import AGENT_NAMESPACE, KubernetesPort, open_port
from offbus_steps.kubernetes.rest.api import Call
from offbus_steps.kubernetes.rest.connection import Login
from offbus_steps.observe.await_recovery import _complete
from offbus_steps.port import Conflict, Forbidden, Invalid, Object, PortError, Ref, Unavailable
from offbus_steps.residue.fingerprint import RUN_LABEL
from offbus_steps.safety.guards import ClusterGuards
from offbus_steps.watch.consequences import Detection
from offbus_steps.watch.target_pods import target_pods
from offbus_steps.watch.transitions import What
from offbus_steps.workloads.pods import MIRROR
from offbus_steps.workloads.target import Target
from offbus_steps.workloads.workload_kinds import workload_of
from tests.kits.kubernetes.deployments import deployment
from tests.kits.kubernetes.kubernetes_world import port_to, server_of_its_own
from tests.kits.kubernetes.lone_server import ADMIN, LoneServer
from tests.kits.steps.faults import FAULT
from tests.kits.steps.responder_marks import finding, reported

pytestmark = pytest.mark.anyio

KUBELET = "system:node:evil"
RUN = "abcd1234"
PATCH = "application/merge-patch+json"


@pytest.fixture(scope="module")
def restricted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoneServer]:
    """An API server that treats kubelets as real ones do."""
    flags = ("--authorization-mode=Node", "--enable-admission-plugins=NodeRestriction")
    users = {**ADMIN, KUBELET: "system:nodes"}
    with server_of_its_own(tmp_path_factory.mktemp("restricted"), users, flags) as server:
        yield server


@pytest.fixture
async def admin(restricted: LoneServer) -> AsyncIterator[KubernetesPort]:
    async with port_to(restricted) as port:
        yield port


class Kubelet:
    """Of a node without GPUs, in the hands of somebody else."""

    def __init__(self, port: KubernetesPort) -> None:
        self.port = port
        self.owner: dict[str, Any] = {}

    async def join(self) -> None:
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "evil"}}
        with suppress(Conflict):  # another test's
            await self.port.api.json(Call("POST", "/api/v1/nodes", body=node))
        found = await self.port.api.json(Call("GET", "/api/v1/nodes/evil"))
        uid = found["metadata"]["uid"]
        self.owner = {"apiVersion": "v1", "kind": "Node", "name": "evil", "uid": uid, "controller": True}

    async def create(self, namespace: str, name: str, labels: dict[str, str], **meta: Any) -> Object:
        """A pod that it runs itself, as it may: a mirror pod."""
        marks = {"annotations": {MIRROR: "x"}, "ownerReferences": [self.owner], **meta}
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": namespace, "labels": labels, **marks},
            "spec": {"nodeName": "evil", "containers": [{"name": "main", "image": "none"}]},
        }
        path = f"/api/v1/namespaces/{namespace}/pods"
        made: Object = await self.port.api.json(Call("POST", path, body=pod))
        status = {
            "phase": "Running",
            "podIP": "10.1.2.3",
            "conditions": [{"type": "Ready", "status": "True"}],
        }
        await self.patch(f"{path}/{name}/status", {"status": status})
        return made

    async def patch(self, path: str, body: dict[str, Any]) -> None:
        await self.port.api.json(Call("PATCH", path, body=body, content_type=PATCH))


@pytest.fixture
async def kubelet(restricted: LoneServer) -> AsyncIterator[Kubelet]:
    path = restricted.folder / "kubelet.kubeconfig"  # its name has colons, which separate kubeconfigs
    restricted.write_kubeconfig(path, {"token": restricted.tokens[KUBELET]})
    async with open_port(Login(str(path))) as port:
        made = Kubelet(port)
        await made.join()
        yield made


async def namespace_of(port: KubernetesPort, name: str) -> str:
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    with suppress(Conflict):
        await port.objects.create(body)
    return name


async def test_a_kubelet_cannot_leave_out_by_what_its_pods_are_told(
    admin: KubernetesPort, kubelet: Kubelet
) -> None:
    space = await namespace_of(admin, "told")
    daemons = {**kubelet.owner, "apiVersion": "apps/v1", "kind": "DaemonSet", "name": "offbus-agent"}
    with pytest.raises(Forbidden, match="mirror pod"):
        await kubelet.create(space, "no-mirror", {}, annotations={})
    with pytest.raises(Forbidden, match="owner reference set to itself"):
        await kubelet.create(space, "of-daemons", {}, ownerReferences=[daemons])
    await kubelet.create(space, "told", {})
    for meta in ({"annotations": {MIRROR: None}}, {"ownerReferences": None}):
        with pytest.raises(PortError):
            await kubelet.patch(f"/api/v1/namespaces/{space}/pods/told", {"metadata": meta})
    with pytest.raises(Invalid, match="mirror pod annotation"):
        await kubelet.patch(
            f"/api/v1/namespaces/{space}/pods/told/status", {"metadata": {"annotations": {MIRROR: None}}}
        )


async def test_it_is_no_agent(admin: KubernetesPort, kubelet: Kubelet) -> None:
    space = await namespace_of(admin, AGENT_NAMESPACE)
    await kubelet.create(space, "offbus-agent-evil", dict([AGENT_LABELS.split("=")]))
    assert not await admin.agents.ready(["evil"])
    assert await admin.agents.by_node() == {}
    for method in ("GET", "POST"):
        with pytest.raises(Unavailable, match="node evil has no running agent"):
            await admin.agents.request("evil", method, "/faults")


async def test_it_makes_no_target_whole_and_holds_no_undo(
    admin: KubernetesPort, kubelet: Kubelet, tmp_path: Path
) -> None:
    space = await namespace_of(admin, "drill-a")
    made = deployment("web", space)
    made["metadata"]["labels"] = {RUN_LABEL: RUN}
    await admin.objects.create(made)
    for number in (1, 2):
        await kubelet.create(space, f"web-{number}", {"app": "web"})
    target = Target.of(workload_of(await admin.objects.get(Ref("Deployment", "web", space))), port=8000)
    journal = JournalWriter(tmp_path / "journal.jsonl", RUN, SystemClock())
    run = RunRecorder(
        journal, 1, {}, environment="kubernetes", abort=pytest.fail, progress=lambda _step, _text: None
    )
    async with open_cluster(admin, run, ClusterGuards()) as cluster:
        await cluster.observer.watch_target(target)
        assert target_pods(cluster.log.world, target) == []
        assert await target_objects(cluster, target) == []
        assert not _complete(target, set())(cluster.log.world)
        with pytest.raises(PortError, match="has no ready frontend pod"):
            async with admin.traffic.stream(target.ref, "GET", "/", port=8000, timeout=30):
                pytest.fail("it was asked")
        undo = DeleteObject(kind="Deployment", name="web", namespace=space)
        with anyio.fail_after(60):
            undone = await undo.undo(UndoContext(run=RUN, step="deploy", environment=cluster, recorder=run))
        assert undone.result == "restored"
    journal.close()


@pytest.mark.guarantee("G32")
async def test_its_event_about_another_node_is_no_detection(
    admin: KubernetesPort, kubelet: Kubelet, tmp_path: Path
) -> None:
    """The API server lets it write one about any node, and asks for no source; the responder's has the fault's line."""
    with suppress(Conflict):
        await admin.objects.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-1"}})
    fault = FAULT.model_copy(update={"id": f"{RUN}-inject-0123456789", "xid": 94, "actions": ["NONE"]})
    said = "MESSAGE=offbus={} .NVRM: Xid (PCI:0000:3b:00): 94, said"
    journal = JournalWriter(tmp_path / "journal.jsonl", RUN, SystemClock())
    run = RunRecorder(
        journal, 1, {}, environment="kubernetes", abort=pytest.fail, progress=lambda _step, _text: None
    )
    async with open_cluster(admin, run, ClusterGuards()) as cluster:
        await cluster.observer.watch_responses()
        looked = Detection(fault.node, fault.cause, fault.fatal, fault.id)
        for number, (id_, port) in enumerate(((f"{RUN}-inject-0000000000", kubelet.port), (fault.id, admin))):
            entry = finding("94", action="NONE", said=said.format(id_))
            source = {"source": {"component": "syslog-health-monitor", "host": fault.node}}
            made = reported(entry, name=f"{fault.node}.{number}") | source
            await port.api.json(Call("POST", "/api/v1/namespaces/default/events", body=made))
        with anyio.fail_after(60):
            found = await cluster.log.scan(looked, after=0)
        first = next(one for one in cluster.log.since(0) if one.what is What.NODE_REPORTED)
    assert (first.ref.name, found.ref.name) == ("node-1.0", "node-1.1")
    journal.close()
