"""The supervisor's life: alone on its folder, outliving its clients, leaving nothing behind."""

import json
import os
import signal
import socket
import stat
import tempfile
from pathlib import Path

import anyio
import pytest

from offbus.errors import CouldNotRun
from offbus_agent.faults.hidden import OwnLooks
from offbus_agent.faults.monitors import knowledge_of
from offbus_sandbox.adapter.port import LocalPort
from offbus_sandbox.config import SandboxConfig
from offbus_sandbox.layout import LONGEST, Layout
from offbus_sandbox.local.launch import is_running, start, stop
from offbus_sandbox.nodes.gpus import gpus_of
from offbus_sandbox.processes.ending import wait_gone
from offbus_sandbox.processes.survey import leftovers
from offbus_sandbox.processes.table import ProcessId
from offbus_sandbox.responder.config import ResponderConfig
from offbus_steps.port import Object, Ref, Unavailable
from offbus_steps.testing.conformance.waiting import until
from offbus_steps.workloads.workload_kinds import workload_of
from tests.kits.sandbox.local_cluster import QUICK, SLEEP, deployment
from tests.kits.watching import watch_until

pytestmark = pytest.mark.anyio

WEB = Ref("Deployment", "web", "test")
WITH_AGENTS = QUICK.model_copy(update={"nodes": 1, "agents": True})


def settled(obj: Object) -> bool:
    """As drills judge it."""
    return workload_of(obj).rolled_out


async def supervisor_of(layout: Layout) -> ProcessId:
    """The supervisor's process."""
    async with LocalPort(layout.api) as port:
        found = ProcessId.of((await port.sandbox())["pid"])
    assert found is not None
    return found


async def kill(layout: Layout) -> None:
    """SIGKILL to the supervisor, and wait for its end."""
    supervisor = await supervisor_of(layout)
    os.kill(supervisor.pid, signal.SIGKILL)
    with anyio.fail_after(60):
        await wait_gone(supervisor)


async def test_its_files_are_its_owners_alone(layout: Layout) -> None:
    await start(layout, WITH_AGENTS)
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in (layout.real, layout.api, layout.internal)}
    assert set(modes.values()) == {0o700}
    assert stat.S_IMODE(layout.token.stat().st_mode) == 0o600


@pytest.mark.timer("sandbox/offbus_sandbox/supervisor/cluster.py")
@pytest.mark.parametrize(
    "start_again", range(5)
)  # it is a matter of milliseconds: each is another chance to fail
async def test_the_responder_s_monitor_is_known_to_know_its_gpus(layout: Layout, start_again: int) -> None:
    await start(layout, WITH_AGENTS.model_copy(update={"responder": ResponderConfig()}))
    (node,) = WITH_AGENTS.node_names
    (gpu, *_) = gpus_of(node, 0, WITH_AGENTS.gpus_per_node)
    assert knowledge_of(layout.node(node), OwnLooks(Path("/")), of_machine=False).why_not(gpu.uuid) == ""


async def test_two_supervisors_exclude_each_other(layout: Layout) -> None:
    await start(layout, QUICK)
    first = await supervisor_of(layout)
    with pytest.raises(CouldNotRun, match=f"held by process {first.pid}"):
        await start(layout, QUICK)
    assert await supervisor_of(layout) == first


async def test_stopping_leaves_no_process_and_keeps_the_objects(layout: Layout) -> None:
    await start(layout, WITH_AGENTS)
    async with LocalPort(layout.api) as port:
        await port.objects.create(deployment("web", 2, SLEEP))
        await until(port, WEB, settled)
    assert len(leftovers(layout)) >= 4
    await stop(layout)
    assert leftovers(layout) == []
    assert not is_running(layout)
    await start(layout, WITH_AGENTS)
    async with LocalPort(layout.api) as port:
        await until(port, WEB, settled)


async def test_a_supervisor_after_a_killed_one_ends_what_it_left_and_goes_on(layout: Layout) -> None:
    await start(layout, WITH_AGENTS)
    async with LocalPort(layout.api) as port:
        await port.objects.create(deployment("web", 1, SLEEP))
        await until(port, WEB, settled)
        (before,) = (await port.objects.list("Pod")).items
        await port.objects.patch(Ref("Node", "node-1"), {"spec": {"unschedulable": True}})
    await kill(layout)
    orphans = {process.id for process in leftovers(layout)}
    assert len(orphans) >= 2
    async with LocalPort(layout.api) as port:
        with pytest.raises(Unavailable):
            await port.objects.list("Pod")

    await start(layout, WITH_AGENTS)
    assert not any(process.alive for process in orphans)
    async with LocalPort(layout.api) as port:
        assert (await port.objects.get(Ref("Node", "node-1")))["spec"]["unschedulable"]
        again = await until(port, Ref.of(before), restarted)
        assert again["metadata"]["uid"] == before["metadata"]["uid"]
        ended = again["status"]["containerStatuses"][0]["lastState"]["terminated"]
        assert ended["reason"] == "ContainerStatusUnknown"
        assert await port.strays() == []


def restarted(pod: Object) -> bool:
    """The pod's container was started once more, and runs."""
    (status,) = pod["status"]["containerStatuses"]
    return status["restartCount"] == 1 and "running" in status["state"]


async def test_what_a_killed_supervisor_left_can_be_ended_without_another(layout: Layout) -> None:
    await start(layout, WITH_AGENTS)
    await kill(layout)
    assert leftovers(layout)
    await stop(layout)
    assert leftovers(layout) == []


async def test_it_ends_by_itself_when_no_client_comes(layout: Layout) -> None:
    """How long that takes, and what counts as a client: test_sandbox_in_time.py."""
    await start(layout, WITH_AGENTS.model_copy(update={"idle_s": 1.0}))
    supervisor = ProcessId.of(json.loads(layout.lock.read_text())["pid"])
    with anyio.fail_after(60):
        if supervisor is not None:  # it may have ended already
            await wait_gone(supervisor)
    assert leftovers(layout) == []
    assert "no client for a while" in (layout.logs / "supervisor.log").read_text()


async def test_a_dead_agent_is_started_again(layout: Layout) -> None:
    await start(layout, WITH_AGENTS)
    log = layout.node("node-1") / "log" / "agent.log"
    async with LocalPort(layout.api) as port:
        (agent,) = (await port.sandbox())["services"]
        dead = ProcessId.of(agent["pid"])
        assert dead is not None
        os.kill(dead.pid, signal.SIGKILL)
        await watch_until(log.parent, lambda: log.read_text().count("ready on") == 2)
        health = (await port.agents.request("node-1", "GET", "/health")).json()
    assert not dead.alive
    assert health["node"] == "node-1"


async def test_a_start_that_fails_says_why_and_leaves_nothing(layout: Layout) -> None:
    layout.make()
    node = layout.node("node-1")
    node.mkdir(parents=True)
    (node / "agent.sock").write_text("in the way")
    with pytest.raises(CouldNotRun, match="agent node-1 did not start"):
        await start(layout, WITH_AGENTS)
    assert leftovers(layout) == []
    assert not is_running(layout)


async def test_faults_are_disarmed_when_it_ends(layout: Layout) -> None:
    await start(layout, WITH_AGENTS)
    async with LocalPort(layout.api) as port:
        gpu = (await port.agents.request("node-1", "GET", "/health")).json()["gpus"][0]["uuid"]
        fault = {
            "id": "f1",
            "run": "r1",
            "epoch": 1,
            "xid": 79,
            "gpus": [gpu],
            "planes": ["cuda"],
            "ttl_s": 600,
        }
        made = await port.agents.request("node-1", "POST", "/faults", json={**fault, "armed": True})
        assert made.status == 201, made.body
    await stop(layout)
    await start(layout, WITH_AGENTS)
    async with LocalPort(layout.api) as port:
        (after,) = (await port.agents.request("node-1", "GET", "/faults")).json()["faults"]
    assert (after["id"], after["state"]) == ("f1", "disarmed")


def test_a_node_looks_as_its_programs_expect(layout: Layout) -> None:
    anyio.run(start, layout, QUICK)
    root = layout.node("node-1")
    metadata = json.loads((root / "var/lib/nvsentinel/gpu_metadata.json").read_text())
    gpus = json.loads((root / "gpus.json").read_text())["gpus"]
    assert metadata["node_name"] == "node-1"
    assert [(g["uuid"], g["pci_address"]) for g in metadata["gpus"]] == [(g["uuid"], g["pci"]) for g in gpus]
    (gpu,) = gpus
    assert (
        root / "gpus.txt"
    ).read_text() == f"{gpu['uuid']} {gpu['pci']} {gpu['memory_bytes']} {gpu['name']}\n"
    assert (root / "kmsg").read_text().startswith("6,1,")


class TestPaths:
    def test_a_long_folder_gets_a_short_name_that_leads_to_it(self, tmp_path: Path) -> None:
        folder = tmp_path / ("x" * LONGEST)
        layout = Layout.of(folder)
        assert not layout.root.is_symlink()
        layout.make()
        assert len(str(layout.agent("node-64"))) < 107
        assert layout.root.resolve() == folder
        assert Layout.of(folder) == layout
        assert Layout.of(layout.root) == layout
        layout.forget_alias()
        assert not layout.root.exists()

    def test_a_short_name_that_leads_elsewhere_is_refused(self, tmp_path: Path) -> None:
        folder = tmp_path / ("y" * LONGEST)
        layout = Layout.of(folder)
        layout.root.parent.mkdir(mode=0o700, exist_ok=True)
        layout.root.symlink_to(tmp_path)
        with pytest.raises(CouldNotRun, match="does not point to"):
            layout.make()
        layout.forget_alias()

    def test_somebody_elses_folder_of_short_names_is_refused(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with tempfile.TemporaryDirectory(
            prefix="obs-", dir="/tmp"
        ) as short:  # a longer one would be passed over
            monkeypatch.setattr("tempfile.tempdir", short)
            home = Path(short, f"offbus-{os.getuid()}")
            home.mkdir()
            home.chmod(0o755)
            with pytest.raises(CouldNotRun, match="mode 0700"):
                Layout.of(tmp_path / ("z" * LONGEST))


async def test_a_client_that_sends_nonsense_gets_an_answer(layout: Layout) -> None:
    await start(layout, QUICK)
    for raw, code in [
        (b"POST /api/v1/namespaces/test/pods HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\n[1]\n", b"422"),
        (b"PATCH /api/v1/nodes/node-1 HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{{", b"422"),
        (
            b"PATCH /api/v1/nodes/node-1 HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\n"
            + b"[" * 100_000,
            b"422",
        ),
        (b"GET /api/v1/pods?watch=1&resourceVersion=x HTTP/1.1\r\nhost: x\r\n\r\n", b"422"),
        (b"GET /api/v1/pods?labelSelector=a%20in%20b HTTP/1.1\r\nhost: x\r\n\r\n", b"422"),
        (b"GET /api/v1/nodes/..%2f..%2fx/proxy/agent/health HTTP/1.1\r\nhost: x\r\n\r\n", b"404"),
        (b"\x00\x01\r\n\r\n", b"400"),
    ]:
        assert code in await first_line(layout.api, raw)


async def first_line(api: Path, raw: bytes) -> bytes:
    """The first line of the answer to raw bytes."""
    with anyio.fail_after(60), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(api))
        client.sendall(raw)
        await anyio.wait_readable(client)
        return client.recv(4096).split(b"\r\n")[0]


def test_the_configuration_survives_its_file(tmp_path: Path) -> None:
    SandboxConfig(nodes=5, responder=None).save(tmp_path / "c.json")
    assert SandboxConfig.load(tmp_path / "c.json") == SandboxConfig(nodes=5, responder=None)
