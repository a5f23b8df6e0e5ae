"""What passes is outlived: a killed API server, expired credentials, a server that protects itself."""

import json
import stat
import sys
from contextlib import ExitStack, aclosing
from pathlib import Path
from typing import Any

import anyio
import pytest

from offbus.errors import CouldNotRun
from offbus_steps.kubernetes import objects
from offbus_steps.kubernetes.port import KubernetesPort, open_port
from offbus_steps.kubernetes.rest import api as api_module
from offbus_steps.kubernetes.rest.api import Call
from offbus_steps.kubernetes.rest.connection import Login
from offbus_steps.port import Forbidden, Ref, Unavailable, WatchEvent, WatchType
from tests.kits.kubernetes.kubernetes_world import PortFor, Users
from tests.kits.kubernetes.lone_server import LoneServer

pytestmark = pytest.mark.anyio

WATCHDOG_S = 120


def config_map(namespace: str, name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace}}


async def named(events: Any, name: str) -> WatchEvent:
    async for event in events:
        if event.type is not WatchType.BOOKMARK and event.object["metadata"]["name"] == name:
            return event
    raise AssertionError("a watch ended by itself")


async def test_a_watch_outlives_a_killed_api_server_and_misses_nothing(
    server: LoneServer, port: KubernetesPort, namespace: str
) -> None:
    version = (await port.objects.list("ConfigMap", namespace=namespace)).resource_version
    events = port.objects.watch("ConfigMap", namespace=namespace, resource_version=version)
    seen: list[str] = []
    with anyio.fail_after(WATCHDOG_S):
        async with aclosing(events) as watch:
            await port.objects.create(config_map(namespace, "before"))
            seen.append((await named(watch, "before")).type)
            server.kill_api()
            await anyio.to_thread.run_sync(server.start_api)
            await port.objects.create(config_map(namespace, "while-it-was-away"))
            await port.objects.create(config_map(namespace, "after"))
            async for event in watch:
                if event.type is not WatchType.BOOKMARK:
                    seen.append(event.object["metadata"]["name"])
                if seen[-1] == "after":
                    break
    assert seen == ["ADDED", "while-it-was-away", "after"]


async def test_a_watch_that_is_given_up_leaves_no_connection_though_the_server_is_silent(
    server: LoneServer, namespace: str
) -> None:
    before = connections_to(server)
    with ExitStack() as silence:
        async with open_port(Login(str(server.kubeconfig("admin")))) as port:
            version = (await port.objects.list("ConfigMap", namespace=namespace)).resource_version
            events = port.objects.watch("ConfigMap", namespace=namespace, resource_version=version)
            await port.objects.create(config_map(namespace, "first"))
            async with aclosing(events) as watch:
                await named(watch, "first")
                assert connections_to(server) > before
                silence.enter_context(server.suspended())
        assert connections_to(server) == before


def connections_to(server: LoneServer) -> int:
    """Open TCP connections of this process to the API server, from /proc (proc(5): net/tcp)."""
    own = {str(fd.readlink()) for fd in Path("/proc/self/fd").iterdir() if fd.is_symlink() and fd.exists()}
    rows = [row.split() for row in Path("/proc/self/net/tcp").read_text().splitlines()[1:]]
    return sum(row[2].endswith(f":{server.port:04X}") and f"socket:[{row[9]}]" in own for row in rows)


async def test_calls_wait_for_an_api_server_that_restarts(
    server: LoneServer, port: KubernetesPort, namespace: str
) -> None:
    made = await port.objects.create(config_map(namespace, "kept"))
    server.kill_api()
    server.launch_api()  # not ready yet, and its authorizer knows nobody for a moment
    with anyio.fail_after(WATCHDOG_S):
        read = await port.objects.get(Ref("ConfigMap", "kept", namespace))
        patched = await port.objects.patch(Ref("ConfigMap", "kept", namespace), {"data": {"a": "1"}})
    assert read["metadata"]["uid"] == made["metadata"]["uid"]
    assert patched["data"] == {"a": "1"}


async def test_a_server_that_stays_away_is_unavailable(
    server: LoneServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_module, "PATIENCE_S", 0.5)
    away = LoneServer(tmp_path, {})
    away.tokens = {"admin": "none"}
    kubeconfig = away.kubeconfig("admin")
    text = kubeconfig.read_text().replace(str(tmp_path / "certs"), str(server.folder / "certs"))
    kubeconfig.write_text(text)
    async with open_port(Login(str(kubeconfig))) as port:
        with pytest.raises(Unavailable, match="cannot connect to the API server"):
            await port.objects.list("Node")


async def test_credentials_that_expired_are_read_again(server: LoneServer, tmp_path: Path) -> None:
    token = tmp_path / "token"
    plugin = tmp_path / "plugin"
    plugin.write_text(
        f"#!{sys.executable}\n"
        "import json, pathlib\n"
        f"token = pathlib.Path({str(token)!r}).read_text()\n"
        'answer = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential"}\n'
        'print(json.dumps({**answer, "status": {"token": token}}))\n'
    )
    plugin.chmod(stat.S_IRWXU)
    login = {
        "exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": str(plugin), "args": ["login"]}
    }
    kubeconfig = server.write_kubeconfig(tmp_path / "exec.kubeconfig", login)
    token.write_text("expired")
    async with open_port(Login(str(kubeconfig))) as port:
        with pytest.raises(Forbidden):
            await port.objects.list("Namespace")
        token.write_text(server.tokens["admin"])
        assert (await port.objects.list("Namespace")).items
        version = (await port.objects.list("ConfigMap")).resource_version
        token.write_text("expired")
        async with aclosing(port.objects.watch("ConfigMap", resource_version=version)) as watch:
            await port.objects.create(config_map("default", "seen-with-an-older-token"))
            with anyio.fail_after(WATCHDOG_S):
                await named(watch, "seen-with-an-older-token")
        await port.objects.delete(Ref("ConfigMap", "seen-with-an-older-token", "default"))


async def test_a_right_that_is_missing_is_forbidden_and_named(port_for: PortFor) -> None:
    async with port_for(Users.NOBODY) as port:
        with pytest.raises(Forbidden, match=r"nobody.*cannot list resource.*nodes"):
            await port.objects.list("Node")


async def test_a_server_that_protects_itself_is_waited_for(port: KubernetesPort, port_for: PortFor) -> None:
    flows = "/apis/flowcontrol.apiserver.k8s.io/v1"
    for plural, obj in jail():
        await port.api.json(Call("POST", f"{flows}/{plural}", body=obj))
    async with port_for(Users.JAILED) as jailed:
        with anyio.fail_after(WATCHDOG_S):
            while not await rejections(port):
                await let_in(jailed)
    assert await rejections(port)


async def let_in(port: KubernetesPort) -> None:
    """Many calls at once where one at a time is served: each gets its answer in the end, a want of rights."""

    async def call() -> None:
        with pytest.raises(Forbidden):
            await port.objects.list("Node")

    async with anyio.create_task_group() as group:
        for _ in range(40):
            group.start_soon(call)


async def rejections(port: KubernetesPort) -> int:
    """How many requests of the flow the server has answered with 429, by its own count."""
    answer = await port.api.ask(Call("GET", "/metrics", headers={"Accept": "text/plain"}))
    name = "apiserver_flowcontrol_rejected_requests_total"
    lines = [one for one in answer.body.decode().splitlines() if one.startswith(name) and '"jail"' in one]
    return sum(int(one.rpartition(" ")[2]) for one in lines)


def jail() -> list[tuple[str, dict[str, Any]]]:
    """A flow for one user that serves one request at a time: the others are 429 with Retry-After."""
    version = "flowcontrol.apiserver.k8s.io/v1"
    limited = {"nominalConcurrencyShares": 0, "limitResponse": {"type": "Reject"}, "lendablePercent": 0}
    level = {"type": "Limited", "limited": limited | {"borrowingLimitPercent": 0}}
    rule = {
        "subjects": [{"kind": "User", "user": {"name": Users.JAILED}}],
        "resourceRules": [
            {
                "verbs": ["*"],
                "apiGroups": ["*"],
                "resources": ["*"],
                "clusterScope": True,
                "namespaces": ["*"],
            }
        ],
    }
    schema = {"matchingPrecedence": 2, "priorityLevelConfiguration": {"name": "jail"}, "rules": [rule]}
    meta = {"name": "jail"}
    return [
        ("prioritylevelconfigurations", _of("PriorityLevelConfiguration", version, meta, level)),
        ("flowschemas", _of("FlowSchema", version, meta, schema)),
    ]


def _of(kind: str, version: str, meta: dict[str, str], spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, "metadata": meta, "spec": spec}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, "not_there"),
        ("{", "config"),
        (
            json.dumps({"apiVersion": "v1", "kind": "Config", "clusters": [], "users": [], "contexts": []}),
            "config",
        ),
    ],
    ids=["missing", "not YAML", "empty"],
)
async def test_a_kubeconfig_that_cannot_be_used_is_named(tmp_path: Path, text: str | None, told: str) -> None:
    path = tmp_path / ("not_there" if text is None else "config")
    if text is not None:
        path.write_text(text)
    with pytest.raises(CouldNotRun, match=told):
        async with open_port(Login(str(path))):
            pytest.fail("it was opened")


async def test_an_unknown_context_is_named(server: LoneServer) -> None:
    with pytest.raises(CouldNotRun, match="'staging'"):
        async with open_port(Login(str(server.kubeconfig("admin")), "staging")):
            pytest.fail("it was opened")


async def test_a_list_of_many_pages_is_whole(
    port: KubernetesPort, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "PAGE", 3)
    for number in range(7):
        await port.objects.create(config_map(namespace, f"c{number}"))
    found = await port.objects.list("ConfigMap", namespace=namespace)
    names = [one["metadata"]["name"] for one in found.items]
    assert sorted(set(names) - {"kube-root-ca.crt"}) == [f"c{number}" for number in range(7)]


async def test_a_graph_is_spoken_to_in_the_version_that_it_is_made_with(
    port: KubernetesPort, namespace: str
) -> None:
    for version, spec in (
        ("v1alpha1", {"services": {"W": {}}}),
        ("v1beta1", {"components": [{"name": "w"}]}),
    ):
        meta = {"name": version, "namespace": namespace}
        made = await port.objects.create(
            {
                "apiVersion": f"nvidia.com/{version}",
                "kind": "DynamoGraphDeployment",
                "metadata": meta,
                "spec": spec,
            }
        )
        assert made["apiVersion"] == f"nvidia.com/{version}"
        assert made["spec"] == spec
    ref = Ref("DynamoGraphDeployment", "v1beta1", namespace)
    patched = await port.objects.patch(ref, {"status": {"state": "successful"}}, status=True)
    assert patched["status"] == {"state": "successful"}
