"""The agents' token is made once, in the cluster alone."""

import subprocess
import sys

import anyio
import pytest

from offbus_steps.kubernetes.agents import TOKEN_SECRET
from offbus_steps.kubernetes.port import KubernetesPort
from offbus_steps.kubernetes.token import make_token
from offbus_steps.port import Unavailable
from tests.kits.kubernetes.lone_server import LoneServer

pytestmark = pytest.mark.anyio


async def test_a_token_is_made_once_and_renewed_when_asked(port: KubernetesPort, namespace: str) -> None:
    port.agents._namespace = namespace
    with pytest.raises(Unavailable, match=f'secrets "{TOKEN_SECRET}" not found'):
        await port.agents.token()
    assert await make_token(port, namespace, renew=False)
    first = await port.agents._read_token()
    assert len(first) >= 43
    assert not await make_token(port, namespace, renew=False)
    assert await port.agents._read_token() == first
    assert await make_token(port, namespace, renew=True)
    assert await port.agents._read_token() != first


async def test_the_command_never_shows_the_token(
    server: LoneServer, port: KubernetesPort, namespace: str
) -> None:
    command = [sys.executable, "-m", "offbus_steps.kubernetes.token", "--namespace", namespace]
    command += ["--kubeconfig", str(server.kubeconfig("admin"))]
    with anyio.fail_after(60):
        done = await anyio.run_process(command, check=False)
    shown = (done.stdout + done.stderr).decode()
    assert done.returncode == 0, shown
    port.agents._namespace = namespace
    assert await port.agents.token() not in shown
    assert "a new token" in shown


def test_a_cluster_that_refuses_is_exit_3(server: LoneServer) -> None:
    command = [sys.executable, "-m", "offbus_steps.kubernetes.token", "--namespace", "no-such-namespace"]
    command += ["--kubeconfig", str(server.kubeconfig("admin"))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 3
    assert 'namespaces "no-such-namespace" not found' in done.stderr
