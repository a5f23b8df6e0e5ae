"""`deploy` into a namespace of the run's own, with settings, and what it leaves in the run's folder."""

import json
import re
from pathlib import Path
from typing import Any

import anyio
import pytest
import yaml
from pydantic import ValidationError

from offbus.errors import GuardRefused
from offbus.runner.fingerprint_diff import differences
from offbus.undo import Phase
from offbus_sandbox.config import SandboxConfig
from offbus_sandbox.layout import Layout
from offbus_steps.deploy.redaction import LEFT_OUT
from offbus_steps.deploy.step_types import DEPLOY, DeployParams
from offbus_steps.port import NotFound, Ref
from offbus_steps.safety.guards import ClusterGuards
from tests.kits.steps.bench import bench, pods_of

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

SANDBOX = SandboxConfig(nodes=1, gpus_per_node=2, responder=None)
"""One node with two GPUs, a real agent, and no responder."""

SAY = ["python3", "-c", "import signal; print('hello from the pod', flush=True); signal.pause()"]
TELL = [
    "python3",
    "-c",
    (
        "import os, signal, socket; print('hello, my key is', os.environ['OPENAI_KEY'], flush=True); "
        "told = socket.create_server((os.environ['POD_IP'], 8000)); signal.pause()"
    ),
]
"""Serves once it has printed."""
SECRETS = {
    "HF_TOKEN": "hf_very_secret",
    "OPENAI_KEY": "sk-very-secret",
    "DSN": "postgres://u:very_secret@db/x",
}


@pytest.fixture
def anyio_backend() -> str:
    """Environments run on asyncio (design.md, section 4)."""
    return "asyncio"


def talking(folder: Path, command: list[str] | None = None) -> dict[str, Any]:
    """A manifest of a pod that prints, whose environment holds what should not be told."""
    obj = pods_of("talker", 1)
    container = obj["spec"]["template"]["spec"]["containers"][0]
    container |= {
        "command": command or SAY,
        "env": [{"name": name, "value": value} for name, value in SECRETS.items()],
        "livenessProbe": {
            "initialDelaySeconds": 600,
            "httpGet": {
                "port": 8000,
                "path": "/",
                "httpHeaders": [{"name": "X-Key", "value": "very-secret-header"}],
            },
        },
    }
    obj["spec"]["template"]["metadata"]["annotations"] = {"example.com/pull": "very-secret-note"}
    (folder / "target.yaml").write_text(json.dumps(obj))
    return obj


async def test_an_ephemeral_namespace_is_made_for_the_run_and_goes_with_it(
    sandbox: Layout, tmp_path: Path
) -> None:
    talking(tmp_path)
    async with bench(sandbox, tmp_path) as one:
        before = await one.cluster.fingerprint()
        params = {"namespace": "drill", "ephemeral": True, "set": {"env": {"A": "1"}}}
        out = await one.run(DEPLOY, manifest="target.yaml", port=8000, **params)
        assert out.target.namespace == "drill-testrun1"
        assert out.created == ["Namespace/drill-testrun1", "Deployment/drill-testrun1/talker"]
        container = (await one.objects.get(out.target.ref))["spec"]["template"]["spec"]["containers"][0]
        assert {"name": "A", "value": "1"} in container["env"]
        await one.undo_all()
        with pytest.raises(NotFound):
            await one.objects.get(Ref("Namespace", "drill-testrun1"))
        assert differences(before, await one.cluster.fingerprint()) == []


async def test_the_guard_of_namespaces_holds_for_the_new_one(sandbox: Layout, tmp_path: Path) -> None:
    talking(tmp_path)
    async with bench(sandbox, tmp_path, ClusterGuards(namespaces=("drill-a",))) as one:
        with pytest.raises(GuardRefused, match="guard namespaces: 'drill-testrun1'"):
            await one.run(DEPLOY, manifest="target.yaml", namespace="drill", ephemeral=True)
        assert one.undos == []


async def test_logs_events_and_manifests_are_kept_without_secrets(sandbox: Layout, tmp_path: Path) -> None:
    obj = talking(tmp_path, TELL)
    container = obj["spec"]["template"]["spec"]["containers"][0]
    container["readinessProbe"] = {"tcpSocket": {"port": 8000}}
    (tmp_path / "target.yaml").write_text(json.dumps(obj))
    async with bench(sandbox, tmp_path) as one:
        out = await one.run(DEPLOY, manifest="target.yaml", port=8000)
        collector = next(undo for undo in one.undos if undo.describe().startswith("collect"))
        result = await one.undo(collector)
        assert (result.result, result.evidence["missing"]) == ("nothing", [])
        folder = tmp_path / "collected" / "drill-a" / "talker"
        (pod,) = (pod.ref.name for pod in one.cluster.log.world.pods(out.target.namespace))
        assert set(result.evidence["files"]) == {"workload.yaml", "events.yaml", f"{pod}.yaml", f"{pod}.log"}
        assert (folder / f"{pod}.log").read_text() == f"hello, my key is {LEFT_OUT}\n"
        assert yaml.safe_load((folder / f"{pod}.yaml").read_text())["metadata"]["name"] == pod
        for file in folder.iterdir():
            assert file.stat().st_mode & 0o777 == 0o600
            assert not re.search("very.secret", file.read_text())
        assert LEFT_OUT in (folder / "workload.yaml").read_text()
        await one.undo_all()


def says(name: str, port: int, **more: Any) -> dict[str, Any]:
    """A container that is ready once it has printed its name."""
    serve = f"served = socket.create_server((os.environ['POD_IP'], {port})); signal.pause()"
    command = ["python3", "-c", f"import os, signal, socket; print({name!r}, flush=True); {serve}"]
    return {"name": name, "command": command, "readinessProbe": {"tcpSocket": {"port": port}}, **more}


@pytest.mark.parametrize("field", ["containers", "initContainers"])
async def test_the_log_is_that_of_the_container_with_gpus(
    sandbox: Layout, tmp_path: Path, field: str
) -> None:
    """A proxy comes first, or the engine is a native sidecar: public charts have both."""
    obj = pods_of("talker", 1)
    spec = obj["spec"]["template"]["spec"]
    spec["containers"] = [says("proxy", 8081)]
    sidecar = {"restartPolicy": "Always"} if field == "initContainers" else {}
    engine = says("engine", 8082, resources={"limits": {"nvidia.com/gpu": "1"}}, **sidecar)
    spec.setdefault(field, []).append(engine)
    (tmp_path / "target.yaml").write_text(json.dumps(obj))
    async with bench(sandbox, tmp_path) as one:
        await one.run(DEPLOY, manifest="target.yaml", port=8000)
        await one.undo(next(undo for undo in one.undos if undo.describe().startswith("collect")))
        (log,) = (tmp_path / "collected" / "drill-a" / "talker").glob("*.log")
        assert log.read_text() == "engine\n"
        (pod,) = one.cluster.log.world.pods("drill-a")
        assert await one.objects.logs(pod.ref, container="proxy") == "proxy\n"
        await one.undo_all()


async def test_what_never_became_ready_is_collected_too(sandbox: Layout, tmp_path: Path) -> None:
    talking(tmp_path, ["python3", "-c", "raise SystemExit('I cannot start')"])
    async with bench(sandbox, tmp_path) as one:
        with anyio.move_on_after(60) as scope:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_deploy, one)
                await one.cluster.log.until(lambda world: _restarted(world) or None)
                tasks.cancel_scope.cancel()
        assert not scope.cancelled_caught
        collector = next(undo for undo in one.undos if undo.describe().startswith("collect"))
        assert collector.phase is Phase.DISARM  # the engine plays it before pods are restarted and deleted
        await one.undo(collector)
        await one.undo_all()
        folder = tmp_path / "collected" / "drill-a" / "talker"
        (previous,) = folder.glob("*.previous.log")
        assert "I cannot start" in previous.read_text()


async def _deploy(one: Any) -> None:
    await one.run(DEPLOY, manifest="target.yaml", port=8000)


def _restarted(world: Any) -> bool:
    return any(pod.restarts for pod in world.pods("drill-a"))


async def test_on_another_machine_nothing_is_collected(sandbox: Layout, tmp_path: Path) -> None:
    talking(tmp_path)
    async with bench(sandbox, tmp_path) as one:
        await one.run(DEPLOY, manifest="target.yaml", port=8000)
        collector = next(undo for undo in one.undos if undo.describe().startswith("collect"))
        elsewhere = collector.model_copy(update={"folder": str(tmp_path / "nowhere")})
        assert (await one.undo(elsewhere)).detail == "the run's folder is on another machine, or was moved"
        await one.undo_all()


@pytest.mark.parametrize(
    ("params", "why"),
    [
        (
            {"existing": {"kind": "Deployment", "name": "a", "namespace": "b"}, "ephemeral": True},
            "is not changed",
        ),
        ({"manifest": "m", "ephemeral": True}, "ephemeral needs `namespace`"),
        ({"manifest": "m", "set": {"tensor_parallel": 0}}, "greater than or equal to 1"),
        ({"manifest": "m", "set": {"images": "x"}}, "Extra inputs"),
        ({"manifest": "m", "namespace": "Bad"}, "pattern"),
    ],
    ids=["existing", "ephemeral", "zero", "unknown", "name"],
)
def test_contradictions_are_found_before_the_run(params: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        DeployParams(**params)
