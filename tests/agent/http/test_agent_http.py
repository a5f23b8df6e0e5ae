"""The agent over HTTP: a real process, a real Unix socket, a real record file."""

import json
from datetime import datetime, timedelta

import pytest

from offbus_agent.page.control import ControlPage
from tests.kits.agent.node_world import GPU0, GPU1, LEASE, OWNER, request

KERNEL = ["kernel"]


def test_health_shows_node_clock_gpus_and_planes(agent, node):
    health = agent.get("/health")
    assert health["node"] == "node-1"
    assert health["now_ns"] > 0
    assert len(health["boot_id"]) == 36
    assert [(gpu["index"], gpu["uuid"], gpu["pci"]) for gpu in health["gpus"]] == [
        (0, GPU0, "0000:3b:00"),
        (1, GPU1, "0000:3c:00"),
    ]
    assert health["planes"]["kernel"] == {"ok": True, "path": str(node.kmsg), "why": "", "code": ""}
    assert (health["faults"], health["armed"]) == (0, 0)


def test_a_fault_on_all_planes_is_one_request(agent, node):
    before = agent.get("/health")["now_ns"]
    fault = agent.post("/faults", request(), expect=201)
    assert fault["state"] == "armed"
    assert fault["mnemonic"] == "ROBUST_CHANNEL_GPU_HAS_FALLEN_OFF_THE_BUS"
    assert before < fault["armed_ns"] < fault["expires_ns"] == fault["armed_ns"] + 60_000_000_000
    assert fault["generation"] > 0
    (entry,) = fault["kernel"]
    assert entry["line"] == node.lines()[0]
    assert entry["line"] == (
        "offbus=f1 ;NVRM: Xid (PCI:0000:3b:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus."
    )
    assert agent.get("/faults/f1") == fault
    assert agent.get("/faults")["faults"] == [fault]
    assert agent.get("/health")["armed"] == 1


def test_the_same_request_again_changes_nothing(agent, node):
    first = agent.post("/faults", request(), expect=201)
    assert agent.post("/faults", request(), expect=200) == first
    assert len(node.lines()) == 1


def test_another_request_with_the_same_id_is_refused(agent):
    agent.post("/faults", request(planes=KERNEL), expect=201)
    status, error = agent.refused("/faults", request(planes=KERNEL, xid=48))
    assert (status, error["code"]) == (409, "id_used")


def test_one_line_for_each_gpu(agent, node):
    fault = agent.post("/faults", request(gpus=[GPU0, GPU1], xid=119), expect=201)
    assert ["GPU0 GSP!" in node.lines()[0], "GPU1 GSP!" in node.lines()[1]] == [True, True]
    assert [entry["seq"] for entry in fault["kernel"]] == [0, 1]


def test_a_fault_made_disarmed_does_nothing_before_it_is_armed(agent, node):
    fault = agent.post("/faults", request(armed=False), expect=201)
    assert (fault["state"], fault["kernel"], node.lines()) == ("disarmed", [], [])
    armed = agent.post("/faults/f1/arm", LEASE)
    assert (armed["state"], len(node.lines())) == ("armed", 1)


def test_disarm_and_arm_again_is_a_new_arming(agent, node):
    first = agent.post("/faults", request(), expect=201)
    disarmed = agent.post("/faults/f1/disarm", OWNER)
    assert disarmed["state"] == "disarmed"
    again = agent.post("/faults/f1/arm", LEASE)
    assert again["generation"] > first["generation"]
    assert len(node.lines()) == 2


def test_recover_hands_the_fault_over_and_forgets_it(agent):
    agent.post("/faults", request(), expect=201)
    fault = agent.post("/faults/f1/recover", OWNER)
    assert fault["state"] == "disarmed"
    assert len(fault["kernel"]) == 1
    assert agent.get("/faults")["faults"] == []
    assert agent.client.get("/faults/f1").status_code == 404
    assert agent.post("/faults/f1/recover", OWNER) == fault
    assert agent.refused("/faults", request())[1]["code"] == "id_used"


def test_events_tell_what_happened_in_order(agent):
    agent.post("/faults", request(), expect=201)
    agent.post("/faults/f1/disarm", OWNER)
    answer = agent.get("/faults/f1/events")
    assert [event["kind"] for event in answer["events"]] == ["kernel_line", "armed", "disarmed"]
    assert [event["seq"] for event in answer["events"]] == [1, 2, 3]
    assert answer["next"] == 3
    assert agent.get("/faults/f1/events?since=3") == {"next": 3, "events": []}


def test_a_long_poll_is_answered_when_something_happens(agent, node):
    agent.post("/faults", request(planes=KERNEL, ttl_s=0.5), expect=201)
    expired = agent.get("/faults/f1/events?since=2&wait_s=30")
    assert [event["kind"] for event in expired["events"]] == ["expired"]


def test_inject_xid_takes_the_published_guides_request(agent, node):
    answer = agent.post("/inject-xid", {"fault_id": "test-001", "xid_type": 79, "gpu_id": 1})
    assert (answer["fault_id"], answer["status"]) == ("test-001", "injected")
    assert (answer["fault_type"], answer["target"]) == ("gpu_xid_79", "node-1/gpu1")
    assert (answer["node"], answer["xid_type"], answer["gpu_id"]) == ("node-1", 79, 1)
    assert node.lines()[0] in answer["message"]
    assert "offbus=test-001 ;NVRM: Xid (PCI:0000:3c:00): 79, " in node.lines()[0]
    fault = agent.get("/faults/test-001")
    assert (fault["planes"], fault["gpus"]) == (["kernel"], [GPU1])
    assert lasts_s(answer) == 300


def test_inject_xid_lasts_as_long_as_it_is_asked_to(agent):
    body = {"fault_id": "short", "xid_type": 94, "duration": 1}
    assert lasts_s(agent.post("/inject-xid", body)) == 1
    agent.wait_for("short", "expired")
    assert agent.post("/inject-xid", body)["status"] == "recovered"
    assert (
        agent.refused("/inject-xid", {**body, "fault_id": "never", "duration": 0})[1]["code"]
        == "invalid_body"
    )


def lasts_s(answer):
    """The time that a fault of the guides' form lives."""
    injected, expires = (datetime.fromisoformat(answer[name]) for name in ("injected_at", "expires_at"))
    assert injected.utcoffset() == timedelta(0)
    return round((expires - injected).total_seconds(), 2)


def test_a_fault_of_the_guides_is_deleted_by_its_id(agent):
    agent.post("/inject-xid", {"fault_id": "test-001", "xid_type": 79})
    deleted = agent.client.delete("/faults/test-001")
    assert (deleted.status_code, deleted.json()["state"]) == (200, "disarmed")
    assert agent.get("/faults")["faults"] == []
    assert agent.client.delete("/faults/test-001").json() == deleted.json()
    assert agent.client.delete("/faults/other").status_code == 404


def test_the_fault_of_a_run_is_deleted_by_who_names_the_run(agent):
    agent.post("/faults", request(), expect=201)
    refused = agent.client.delete("/faults/f1")
    assert (refused.status_code, refused.json()["code"]) == (409, "other_run")
    assert agent.get("/faults/f1")["state"] == "armed"
    assert agent.client.delete("/faults/f1?run=run-1&epoch=x").json()["code"] == "invalid_query"
    assert agent.client.delete("/faults/f1?run=run-1&epoch=1").json()["state"] == "disarmed"


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        pytest.param({}, (719, 15, 1_000_000, 0), id="driver"),
        pytest.param({"codes": "guide"}, (100, 15, 1_000_000, 0), id="guide"),
        pytest.param({"cuda_code": 999, "nvml_code": 16}, (999, 16, 1_000_000, 0), id="given"),
        pytest.param({"planes": ["cuda"]}, (719, 0, 1_000_000, 0), id="cuda-alone"),
        pytest.param({"probability": 0.25, "after_calls": 7}, (719, 15, 250_000, 7), id="now-and-then"),
    ],
)
def test_the_page_says_what_was_asked_for(agent, node, change, shown):
    fault = agent.post("/faults", request(**change), expect=201)
    (slot,) = ControlPage.create(node.ctl).read().slots
    assert (slot.cuda_err, slot.nvml_err, slot.ppm, slot.after_calls) == shown
    assert (slot.gpu, slot.generation, slot.expires_ns) == (GPU0, fault["generation"], fault["expires_ns"])
    assert slot.new_procs


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        pytest.param({"xid": 48}, (48, 0x2, 0, 0, 1), id="double-bit-error"),
        pytest.param({"xid": 95}, (95, 0x8000, 1, 0, 0), id="uncontained"),
        pytest.param({"xid": 63, "cuda_code": 214, "nvml_code": 16}, (63, 0x400, 0, 1, 0), id="remapped-row"),
        pytest.param({"xid": 48, "planes": ["cuda"]}, (0, 0, 0, 0, 0), id="cuda-alone"),
    ],
)
def test_the_page_says_what_nvml_shows_besides_its_code(agent, node, change, shown):
    agent.post("/faults", request(**change), expect=201)
    (slot,) = ControlPage.create(node.ctl).read().slots
    assert (
        slot.xid,
        slot.nvml_events,
        slot.recovery_action,
        slot.remap_pending,
        slot.ecc_uncorrected,
    ) == shown


def test_the_openapi_document_describes_every_operation(agent):
    document = agent.get("/openapi.json")
    assert document["openapi"] == "3.1.0"
    operations = {(method, path) for path, item in document["paths"].items() for method in item}
    assert operations == {
        ("get", "/health"),
        ("get", "/readyz"),
        ("get", "/events"),
        ("delete", "/faults/{id}"),
        ("get", "/faults"),
        ("post", "/faults"),
        ("get", "/faults/{id}"),
        ("get", "/faults/{id}/events"),
        ("post", "/faults/{id}/arm"),
        ("post", "/faults/{id}/renew"),
        ("post", "/faults/{id}/disarm"),
        ("post", "/faults/{id}/recover"),
        ("post", "/faults/{id}/clear"),
        ("post", "/inject-xid"),
        ("get", "/pods/{id}/preload"),
    }
    for path, item in document["paths"].items():
        for operation in item.values():
            assert ("security" in operation) == (path not in {"/health", "/readyz"}), path
            assert "default" not in operation["responses"]
    text = json.dumps(document)
    names = {ref.split('"')[0] for ref in text.split("#/components/schemas/")[1:]}
    assert names <= set(document["components"]["schemas"])


def test_answers_match_the_published_schemas(agent):
    import jsonschema

    agent.post("/faults", request(), expect=201)
    document = agent.get("/openapi.json")
    for path, model in (
        ("/health", "Health"),
        ("/readyz", "Ready"),
        ("/faults", "FaultList"),
        ("/faults/f1", "Fault"),
    ):
        schema = {"$ref": f"#/components/schemas/{model}", "components": document["components"]}
        jsonschema.Draft202012Validator(schema).validate(agent.get(path))
