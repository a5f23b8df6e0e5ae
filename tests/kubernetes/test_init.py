"""`offbus init --from` on a real API server: it reads a workload, and copies nothing of it."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from offbus.language.load import load_scenario
from offbus_steps.kubernetes.port import KubernetesPort
from offbus_steps.port import Object
from tests.kits.kubernetes.kubernetes_world import Users, bind_role
from tests.kits.kubernetes.lone_server import LoneServer
from tests.kits.steps.manifests import agg, beta_agg, deployment, leader_worker_set, stateful_set

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(300)]

SECRET = "hf_planted_with_init_4711"
READER = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "Role",
    "metadata": {"name": "init-reader"},
    "rules": [{"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get"]}],
}
"""All that it takes."""


def planted(obj: Object) -> Object:
    """With a secret in every container, and where else people put one."""

    def walk(value: Any) -> Any:
        if isinstance(value, list):
            return [walk(one) for one in value]
        if not isinstance(value, dict):
            return value
        found = {key: walk(one) for key, one in value.items()}
        if "image" in found:
            found["env"] = [*(found.get("env") or []), {"name": "HF_TOKEN", "value": SECRET}]
            found["args"] = ["--token", SECRET]
        return found

    made: Object = walk(obj)
    return {**made, "metadata": {"annotations": {"token": SECRET}}}


def init(
    server: LoneServer, folder: Path, *words: str, user: str = "admin", env: str = ""
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "offbus", "init", str(folder), *words],
        env=os.environ | {"KUBECONFIG": env or str(server.kubeconfig(user))},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )


def with_namespace(kubeconfig: Path, namespace: str) -> str:
    found = yaml.safe_load(kubeconfig.read_text())
    found["contexts"][0]["context"]["namespace"] = namespace
    text: str = yaml.safe_dump(found)
    return text


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    ("obj", "kind", "more"),
    [
        (deployment(), "deploy", []),
        (stateful_set(), "statefulset", []),
        (agg(), "dgd", []),
        (beta_agg(), "DynamoGraphDeployment", []),
        (leader_worker_set(), "lws", ["--port", "8080"]),
    ],
    ids=["Deployment", "StatefulSet", "graph v1alpha1", "graph v1beta1", "groups"],
)
async def test_it_names_the_workload_and_copies_nothing_of_it(
    server: LoneServer,
    port: KubernetesPort,
    namespace: str,
    tmp_path: Path,
    obj: Object,
    kind: str,
    more: list[str],
) -> None:
    made = planted(obj)
    made["metadata"] |= {"name": "llm", "namespace": namespace}
    await port.objects.create(made)
    done = init(server, tmp_path / "drills", "--from", f"{kind}/llm", "-n", namespace, *more)
    assert done.returncode == 0, done.stderr
    assert files(tmp_path / "drills") == ["scenario.schema.json", "xid79.yaml"]
    scenario = load_scenario(tmp_path / "drills/xid79.yaml", environ={})
    assert (scenario.env_name, scenario.warnings) == ("kubernetes", ())
    text = (tmp_path / "drills/xid79.yaml").read_text()
    assert f"existing: {{kind: {obj['kind']}, name: llm, namespace: {namespace}}}" in text
    assert ("port: 8080" in text) is bool(more)
    for name in files(tmp_path / "drills"):
        assert SECRET not in (tmp_path / "drills" / name).read_text()
        assert "HF_TOKEN" not in (tmp_path / "drills" / name).read_text()
    assert SECRET not in done.stdout + done.stderr


async def test_it_takes_the_right_to_get_it_and_no_other(
    server: LoneServer, port: KubernetesPort, namespace: str, tmp_path: Path
) -> None:
    await port.objects.create({**deployment(), "metadata": {"name": "llm", "namespace": namespace}})
    words = ("--from", "deployment/llm", "-n", namespace)
    refused = init(server, tmp_path, *words, user=Users.NOBODY)
    assert (refused.returncode, refused.stdout) == (3, "")
    assert "deployments" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert files(tmp_path) == []
    role = {**READER, "metadata": {"name": "init-reader", "namespace": namespace}}
    await bind_role(port, role, Users.NOBODY, "")
    done = init(server, tmp_path, *words, user=Users.NOBODY)
    assert done.returncode == 0, done.stderr


async def test_what_is_not_there_is_told_with_what_is(
    server: LoneServer, port: KubernetesPort, namespace: str, tmp_path: Path
) -> None:
    for name in ("llm-large", "embedder"):
        await port.objects.create({**deployment(), "metadata": {"name": name, "namespace": namespace}})
    near = init(server, tmp_path, "--from", "deployment/llm-larg", "-n", namespace)
    assert (near.returncode, near.stdout) == (2, "")
    assert f"there is no Deployment/{namespace}/llm-larg" in near.stderr
    assert "did you mean 'llm-large'?" in near.stderr
    far = init(server, tmp_path, "--from", "deployment/x", "-n", namespace)
    assert "there: embedder, llm-large; --namespace names another namespace" in far.stderr
    none = init(server, tmp_path, "--from", "sts/x", "-n", namespace)
    assert f"none is in {namespace}" in none.stderr
    assert files(tmp_path) == []


async def test_what_cannot_be_a_target_is_refused_with_the_reason(
    server: LoneServer, port: KubernetesPort, namespace: str, tmp_path: Path
) -> None:
    silent, idle = deployment(), deployment()
    del silent["spec"]["template"]["spec"]["containers"][1]["ports"]
    del idle["spec"]["template"]["spec"]["containers"][1]["resources"]
    for name, obj in (("silent", silent), ("idle", idle)):
        await port.objects.create({**obj, "metadata": {"name": name, "namespace": namespace}})
    done = init(server, tmp_path, "--from", "deploy/idle", "-n", namespace)
    assert (done.returncode, done.stdout) == (2, "")
    assert "requests no GPUs" in done.stderr
    done = init(server, tmp_path, "--from", "deploy/silent", "-n", namespace)
    assert (done.returncode, done.stdout) == (2, "")
    assert "does not declare which port serves HTTP\n  say it: --port 8000" in done.stderr
    assert files(tmp_path) == []


async def test_the_namespace_is_the_contexts_as_kubectl_takes_it(
    server: LoneServer, port: KubernetesPort, namespace: str, tmp_path: Path
) -> None:
    await port.objects.create({**deployment(), "metadata": {"name": "llm", "namespace": namespace}})
    config = tmp_path / "config"
    config.write_text(with_namespace(server.kubeconfig("admin"), namespace))
    done = init(server, tmp_path / "drills", "--from", "deploy/llm", env=str(config))
    assert done.returncode == 0, done.stderr
    assert f"namespace: {namespace}" in (tmp_path / "drills/xid79.yaml").read_text()


def test_a_server_that_is_not_there_is_no_usage_error(server: LoneServer, tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text(server.kubeconfig("admin").read_text().replace(server.url, "https://127.0.0.1:9"))
    done = init(server, tmp_path / "drills", "--from", "deploy/llm", env=str(config))
    assert (done.returncode, done.stdout) == (3, "")
    assert "cannot be used" in done.stderr
    assert not (tmp_path / "drills").exists()
