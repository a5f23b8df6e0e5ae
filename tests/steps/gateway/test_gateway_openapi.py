"""The gateway answers as its published document says, whatever it is asked: no 5xx but the promised 501."""

import json
from collections.abc import Iterator

import pytest

from offbus_steps.gateway.not_here import ROUTES
from offbus_steps.gateway.openapi import gateway_document
from tests.kits import REPOSITORY
from tests.kits.gateway import API, TOKEN, RunningGateway, gateway_on, kept_sandbox
from tests.kits.openapi import check_operation, labels

DOCUMENT = gateway_document()


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    home = tmp_path_factory.mktemp("openapi")
    (home / "gateway.yaml").write_text("per_minute: 6000\nburst: 1000\n")
    with (
        kept_sandbox(home) as offbus,
        gateway_on(offbus, "--config", str(home / "gateway.yaml")) as found,
    ):
        yield found


@pytest.mark.slow
def test_the_committed_document_is_the_served_one(gateway: RunningGateway) -> None:
    committed = json.loads((REPOSITORY / "schemas/gateway.openapi.json").read_text(encoding="utf-8"))
    assert gateway.client.get("/openapi.json").json() == committed == DOCUMENT


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("label", labels(DOCUMENT))
def test_every_answer_is_as_documented(gateway: RunningGateway, label: str) -> None:
    given_path = None
    if "{id}" in label:
        known = gateway.client.get(API).json()["faults"]
        live = [one["id"] for one in known if one["status"] == "injected"]
        given_path = {"id": (live or [one["id"] for one in known] or [injected(gateway)])[0]}
    if "{xid}" in label:
        given_path = {"xid": 94}
    check_operation(DOCUMENT, label, gateway.url, {"Authorization": f"Bearer {TOKEN}"}, given_path=given_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    "label", [f"GET {API}", f"POST {API}/gpu/inject/xid-{{xid}}", f"DELETE {API}/{{id}}"]
)
def test_so_is_every_answer_to_a_stranger(gateway: RunningGateway, label: str) -> None:
    check_operation(DOCUMENT, label, gateway.url, {"Authorization": "Bearer guessed"})


@pytest.mark.slow
def test_what_is_done_elsewhere_says_where(gateway: RunningGateway) -> None:
    for (method, path), instead in ROUTES.items():
        reply = gateway.client.request(method, path)
        assert (reply.status_code, reply.json()["hint"]) == (501, instead)


def injected(gateway: RunningGateway) -> str:
    """A fault that is live, on whichever node has a workload."""
    for node in ("node-1", "node-2", "node-3"):
        reply = gateway.client.post(f"{API}/gpu/inject/xid-94", json={"node_name": node})
        if reply.status_code == 200:
            return str(reply.json()["fault_id"])
    raise AssertionError(reply.text)
