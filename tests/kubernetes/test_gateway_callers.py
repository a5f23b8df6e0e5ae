"""Who may call the gateway of a cluster: its API server says whose a token is, and what they may, on its own RBAC."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import yaml

from offbus_steps.gateway.callers import GROUP, RESOURCE
from offbus_steps.kubernetes.port import KubernetesPort
from offbus_steps.kubernetes.rest.api import Call
from tests.kits import REPOSITORY
from tests.kits.drill.playing import Offbus
from tests.kits.gateway import API, RunningGateway
from tests.kits.kubernetes.kubernetes_world import RBAC, Users
from tests.kits.kubernetes.lone_server import LoneServer

pytestmark = pytest.mark.anyio

(CALLERS,) = yaml.safe_load_all((REPOSITORY / "deploy/gateway/callers.yaml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def gateway(server: LoneServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    home = tmp_path_factory.mktemp("gateway")
    config = home / "gateway.yaml"
    config.write_text('guards: {namespaces: ["drill-*"]}\nper_minute: 6000\n')
    options = ["--env", "kubernetes", "--env-set", f"kubeconfig={server.kubeconfig('admin')}"]
    more = [*options, "--config", str(config), "--kubernetes-auth"]
    found = RunningGateway(Offbus(home), *more, token=None)
    yield found
    found.stop()


async def allow(port: KubernetesPort, user: str, verbs: list[str], nodes: list[str]) -> None:
    rule: dict[str, Any] = {"apiGroups": [GROUP], "resources": [RESOURCE], "verbs": verbs}
    meta = {"name": f"faults-{user}"}
    of = {"apiGroup": "rbac.authorization.k8s.io"}
    role = {"metadata": meta, "rules": [rule | ({"resourceNames": nodes} if nodes else {})]}
    binding = {
        "metadata": meta,
        "roleRef": {**of, "kind": "ClusterRole", "name": meta["name"]},
        "subjects": [{**of, "kind": "User", "name": user}],
    }
    await port.api.json(Call("POST", f"{RBAC}/clusterroles", body=role))
    await port.api.json(Call("POST", f"{RBAC}/clusterrolebindings", body=binding))


def got(gateway: RunningGateway, path: str, token: str) -> httpx.Response:
    return httpx.get(gateway.url + path, headers={"Authorization": f"Bearer {token}"}, timeout=60)


def asked(gateway: RunningGateway, token: str, node: str = "gpu-1") -> tuple[int, str, str]:
    reply = httpx.post(
        f"{gateway.url}{API}/gpu/inject/xid-79",
        json={"node_name": node},
        headers={"Authorization": f"Bearer {token}"},
        timeout=60,
    )
    return reply.status_code, reply.json()["code"], reply.json()["detail"]


async def test_only_who_has_the_right_for_that_node_gets_as_far_as_the_node(
    server: LoneServer, port: KubernetesPort, gateway: RunningGateway
) -> None:
    assert asked(gateway, "guessed")[:2] == (401, "unauthorized")
    status, code, why = asked(gateway, server.tokens[Users.NOBODY])
    assert (status, code) == (403, "forbidden")
    assert why == "nobody may not create faults.offbus.dev for node gpu-1"
    await allow(port, Users.OBSERVER, ["create"], ["gpu-1"])
    token = server.tokens[Users.OBSERVER]
    assert asked(gateway, token)[:2] == (404, "unknown_node")  # a lone API server has no nodes
    assert asked(gateway, token, "gpu-2")[:2] == (403, "forbidden")
    listed = got(gateway, API, token)
    assert (listed.status_code, listed.json()["code"]) == (403, "forbidden")
    assert got(gateway, API, "guessed").status_code == 401


async def test_the_role_of_deploy_is_enough(
    server: LoneServer, port: KubernetesPort, gateway: RunningGateway
) -> None:
    (rule,) = CALLERS["rules"]
    assert (rule["apiGroups"], rule["resources"]) == ([GROUP], [RESOURCE])
    await allow(port, Users.EDITOR, rule["verbs"], [])
    token = server.tokens[Users.EDITOR]
    assert asked(gateway, token)[:2] == (404, "unknown_node")
    for path, status in ((API, 200), (f"{API}/gpu/xid-types", 200), (f"{API}/x", 404)):
        reply = got(gateway, path, token)
        assert reply.status_code == status, reply.text
    (line,) = [one for one in gateway.audited() if one.get("caller") == Users.EDITOR]
    assert (line["status"], line["node"], line["xid"]) == (404, "gpu-1", 79)
