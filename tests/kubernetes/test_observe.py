"""`offbus observe --env kubernetes` on a real API server, by a user who may list and watch, and do nothing else."""

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest

from offbus_steps.kubernetes.port import KubernetesPort
from offbus_steps.kubernetes.rest.api import Call
from offbus_steps.nvsentinel import names
from offbus_steps.port import Ref
from offbus_steps.recordings.format import read_recording
from tests.kits.kubernetes.kubernetes_world import Users, bind_role
from tests.kits.kubernetes.lone_server import LoneServer
from tests.kits.steps.observer_role import shown_role

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(300)]

LONG = 120
STATE, QUARANTINE = f"label {names.STATE_LABEL}", f"annotation {names.QUARANTINE_EVENTS}"


class Observing:
    """The command, for one node."""

    def __init__(self, server: LoneServer, user: str, node: str, path: Path) -> None:
        command = [sys.executable, "-m", "offbus", "observe", "--env", "kubernetes"]
        options = ["--env-set", f"kubeconfig={server.kubeconfig(user)}", "--node", node, "--out", str(path)]
        self.process = subprocess.Popen(
            [*command, *options],
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def until(self, said: str) -> None:
        """It says so on stderr."""
        assert self.process.stderr is not None
        lines = []
        for line in self.process.stderr:
            lines.append(line)
            if said in line:
                return
        raise AssertionError("".join(lines))

    def end(self) -> str:
        """Ctrl-C; its summary."""
        self.process.send_signal(signal.SIGINT)
        out, err = self.process.communicate(timeout=LONG)
        assert self.process.returncode == 0, err
        return out

    def kill(self) -> None:
        """Whatever became of it."""
        self.process.kill()
        self.process.communicate(timeout=LONG)


@pytest.fixture
async def node(port: KubernetesPort) -> AsyncIterator[str]:
    """A node of the test's own: nodes are seen by all tests of the server."""
    name = f"observed-{uuid4().hex[:6]}"
    await port.objects.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}})
    yield name
    await port.objects.delete(Ref("Node", name))


@pytest.fixture
async def observing(
    server: LoneServer, port: KubernetesPort, node: str, tmp_path: Path
) -> AsyncIterator[Observing]:
    """A recorder that has begun, with the rights of the page and no other."""
    await bind_role(port, shown_role(), Users.OBSERVER, "")
    one = Observing(server, Users.OBSERVER, node, tmp_path / "drill.jsonl")
    one.until("recording 1 node")
    yield one
    one.kill()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "drill.jsonl"


async def test_what_a_responder_does_is_recorded_by_who_may_only_look(
    port: KubernetesPort, node: str, observing: Observing, path: Path
) -> None:
    marks = {"annotations": {names.QUARANTINE_EVENTS: "[]"}, "labels": {names.STATE_LABEL: "draining"}}
    await port.objects.patch(Ref("Node", node), {"spec": {"unschedulable": True}, "metadata": marks})
    reported = {"type": "SysLogsXIDError", "status": "True", "reason": "SysLogsXIDErrorIsNotHealthy"}
    await port.api.json(
        Call(
            "PATCH",
            f"/api/v1/nodes/{node}/status",
            body={"status": {"conditions": [reported]}},
            content_type="application/strategic-merge-patch+json",
        )
    )
    observing.until("condition SysLogsXIDError")
    meta = {"name": f"maintenance-{node}-1", "labels": dict([names.MANAGED_BY])}
    await port.objects.create({"kind": "RebootNode", "metadata": meta, "spec": {"nodeName": node}})
    done = {
        "status": {
            "conditions": [
                {
                    "type": "NodeReady",
                    "status": "True",
                    "reason": "Succeeded",
                    "message": "",
                    "lastTransitionTime": "2026-01-01T00:00:00Z",
                }
            ]
        }
    }
    await port.objects.patch(Ref("RebootNode", meta["name"]), done, status=True)
    observing.until("condition NodeReady")
    await port.objects.delete(Ref("RebootNode", meta["name"]))
    observing.until("exists: nvsentinel → none")
    assert "recorded " in observing.end()
    found = read_recording(path)
    told = [(one.subject, one.field, one.to) for _, one in found.changes]
    for expected in (
        ("Node/node-1", "cordoned", True),
        ("Node/node-1", QUARANTINE, ""),
        ("Node/node-1", STATE, "draining"),
        ("Node/node-1", "condition SysLogsXIDError", "True SysLogsXIDErrorIsNotHealthy"),
        ("RebootNode/rebootnode-1", "exists", "nvsentinel"),
        ("RebootNode/rebootnode-1", "condition NodeReady", "True Succeeded"),
        ("RebootNode/rebootnode-1", "exists", None),
    ):
        assert expected in told
    assert found.header.serves.startswith("Kubernetes v1.")
    assert found.header.unwatched == {"TerminateNode": "not served"}
    assert node not in "".join(map(repr, (found.header, *found.lines)))


async def test_who_may_not_look_is_told_what_it_takes(server: LoneServer, node: str, path: Path) -> None:
    folder = path.parent
    one = Observing(server, Users.NOBODY, node, path)
    out, err = one.process.communicate(timeout=LONG)
    assert (one.process.returncode, out) == (3, "")
    assert "the nodes may not be watched" in err
    assert "docs/observe.md has the role" in err
    assert list(folder.iterdir()) == []
