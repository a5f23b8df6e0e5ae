"""What a kubeconfig holds is in no file and no stream of a run against a cluster that answers, whether it is let in."""

import json
from collections.abc import Mapping
from pathlib import Path
from uuid import uuid4

import pytest
import yaml

from offbus_steps.kubernetes.rest.api import Call
from tests.kits.kubernetes.killed_runs import offbus_process
from tests.kits.kubernetes.kubernetes_world import PortFor, Users
from tests.kits.kubernetes.lone_server import LoneServer

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(300)]

UNKNOWN = "planted-token-that-nobody-has-77d1"


def by_token(token: str) -> dict[str, object]:
    return {"token": token}


def by_plugin(token: str) -> dict[str, object]:
    """A plugin that is given the token in its environment, as those of clouds are given a client's secret."""
    credential = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential"}
    answer = json.dumps(credential | {"status": {"token": "GIVEN"}}).replace("GIVEN", "'\"$GIVEN\"'")
    return {
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": "/bin/sh",
            "args": ["-c", f"echo '{answer}'"],
            "env": [{"name": "GIVEN", "value": token}],
            "interactiveMode": "Never",
        }
    }


def scenario(folder: Path, namespace: str) -> Path:
    """A Deployment whose pods nobody makes: the step runs out of time, and what it made is undone."""
    labels = {"app": "llm"}
    spec = {
        "selector": {"matchLabels": dict(labels)},
        "template": {
            "metadata": {"labels": labels},
            "spec": {"containers": [{"name": "main", "image": "none"}]},
        },
    }
    meta = {"name": "llm", "namespace": namespace}
    deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": spec}
    (folder / "llm.yaml").write_text(yaml.safe_dump(deployment))
    deploy = {
        "id": "deploy",
        "uses": "deploy",
        "timeout": "3s",
        "with": {"manifest": "llm.yaml", "port": 8000},
    }
    path = folder / "drill.yaml"
    drill = {
        "offbus": 1,
        "name": "planted",
        "environment": {"uses": "kubernetes", "agent_namespace": namespace},
        "guards": {"namespaces": [namespace]},
        "steps": [deploy],
    }
    path.write_text(yaml.safe_dump(drill))
    return path


@pytest.mark.parametrize("login", [by_token, by_plugin], ids=["token", "plugin"])
@pytest.mark.parametrize("user", ["admin", Users.NOBODY, None], ids=["let in", "without rights", "unknown"])
async def test_a_kubeconfigs_secret_is_found_nowhere(
    server: LoneServer, port_for: PortFor, tmp_path: Path, login: object, user: str | None
) -> None:
    assert callable(login)
    token = server.tokens[user] if user else UNKNOWN
    kubeconfig = server.write_kubeconfig(tmp_path / "config", login(token))
    namespace = f"planted-{uuid4().hex[:6]}"
    async with port_for("admin") as port:
        body: Mapping[str, object] = {"kind": "Namespace", "metadata": {"name": namespace}}
        await port.api.json(Call("POST", "/api/v1/namespaces", body=dict(body)))
    chosen = f"--env-set=kubeconfig={kubeconfig}"
    where = [f"--env-set=agent_namespace={namespace}", chosen]
    drill = str(scenario(tmp_path, namespace))
    run = offbus_process(tmp_path, "run", drill, "--view", "lines", chosen)
    assert await run.ended() == 3, run.said
    assert ("undone: delete Deployment" in run.said) is (user == "admin"), run.said
    for command in (["plan", drill, chosen], ["recover", "--env", "kubernetes", *where]):
        process = offbus_process(tmp_path, *command)
        await process.ended()
        assert "Traceback" not in process.said
    files = files_below(tmp_path)
    files.remove(kubeconfig)
    assert any(path.name == "recover.log" for path in files)
    assert any(path.name == "journal.jsonl" for path in files) is (user == "admin")
    assert [path for path in files if token.encode() in path.read_bytes()] == []


def files_below(folder: Path) -> list[Path]:
    """Of the run's folder, and the logs of the commands."""
    return [path for path in folder.rglob("*") if path.is_file()]
