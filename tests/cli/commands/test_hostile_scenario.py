"""A scenario of somebody else's may be looked at: it names no command to execute, and no file to send away."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.cli.conftest import Offbus

SCENARIO = """\
offbus: 1
name: helpful
{inputs}environment: {{uses: kubernetes, kubeconfig: {kubeconfig}}}
steps:
  - {{id: deploy, uses: deploy, with: {{existing: {{kind: Deployment, name: vllm, namespace: a}}}}}}
"""
SECRET = "a-token-of-the-users"
COMMANDS = ["validate", "plan", "run"]


@pytest.fixture
def server() -> Iterator[socket.socket]:
    """The scenario's author's: whoever connects to it stands in its backlog."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        yield listening


def was_asked(server: socket.socket) -> bool:
    try:
        server.accept()[0].close()
    except BlockingIOError:
        return False
    return True


@pytest.fixture
def kubeconfigs(tmp_path: Path, server: socket.socket) -> dict[str, Path]:
    """What lies beside the scenario, by how it would log in; `executed` is made by the command."""
    (tmp_path / "token").write_text(SECRET)
    plugin = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": "sh",
        "args": ["-c", f"touch {tmp_path / 'executed'}; exit 1"],
        "interactiveMode": "Never",
    }
    paths = {}
    for name, user in {"exec": {"exec": plugin}, "tokenFile": {"tokenFile": str(tmp_path / "token")}}.items():
        paths[name] = tmp_path / f"{name}.yaml"
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        written = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": address}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "users": [{"name": "u", "user": user}],
        }
        paths[name].write_text(yaml.safe_dump(written))
    return paths


def written(folder: Path, kubeconfig: str, inputs: str = "") -> Path:
    path = folder / "drill.yaml"
    path.write_text(SCENARIO.format(kubeconfig=kubeconfig, inputs=inputs))
    return path


@pytest.mark.guarantee("G26")
@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("login", ["exec", "tokenFile"])
def test_the_kubeconfig_that_a_scenario_names_is_not_read(
    offbus: Offbus,
    tmp_path: Path,
    server: socket.socket,
    kubeconfigs: dict[str, Path],
    login: str,
    command: str,
) -> None:
    result = offbus(command, written(tmp_path, f"{login}.yaml"))
    told = result.stdout + result.stderr
    assert (result.returncode, "OB508" in told) == (2, True), told
    assert "drill.yaml:3:" in told
    assert "--env-set kubeconfig=" in told
    assert not (tmp_path / "executed").exists()
    assert not was_asked(server)


@pytest.mark.guarantee("G26")
@pytest.mark.parametrize("command", COMMANDS)
def test_nor_the_one_that_its_input_names(
    offbus: Offbus, tmp_path: Path, kubeconfigs: dict[str, Path], command: str
) -> None:
    """An input is a scenario's own, too: it has a default."""
    inputs = "inputs: {file: {type: string, default: exec.yaml}}\n"
    result = offbus(command, written(tmp_path, '"${{ inputs.file }}"', inputs))
    assert (result.returncode, "OB508" in result.stdout + result.stderr) == (2, True)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("how", ["--env-set", "KUBECONFIG"])
@pytest.mark.parametrize("command", ["plan", "run"])
def test_the_users_own_may_hold_commands(
    offbus: Offbus, tmp_path: Path, kubeconfigs: dict[str, Path], command: str, how: str
) -> None:
    chosen = str(kubeconfigs["exec"])
    scenario = written(tmp_path, "other.yaml")
    if how == "--env-set":
        result = offbus(command, scenario, "--env-set", f"kubeconfig={chosen}")
    else:
        scenario.write_text(scenario.read_text().replace(", kubeconfig: other.yaml", ""))
        result = offbus(command, scenario, env={"KUBECONFIG": chosen})
    assert result.returncode == 3, result.stdout + result.stderr
    assert chosen in result.stdout + result.stderr
    assert (tmp_path / "executed").exists()
