"""What an agent refuses over HTTP: each with the reason, and nothing done."""

import pytest

from tests.kits.agent.node_world import GPU0, request

KERNEL = ["kernel"]


@pytest.mark.parametrize(
    ("change", "status", "code", "words"),
    [
        pytest.param({"xid": 790}, 422, "unknown_xid", "did you mean 79?", id="xid"),
        pytest.param({"gpus": ["GPU-nope"]}, 422, "unknown_gpu", "no GPU GPU-nope", id="gpu"),
        pytest.param({"gpus": [GPU0, GPU0]}, 422, "unknown_gpu", "listed twice", id="gpu-twice"),
        pytest.param(
            {"cuda_code": 12345}, 422, "unknown_code", "not among the CUDA driver results", id="code"
        ),
        pytest.param({"xid": 63}, 422, "nothing_to_show", "XID 63 has no cuda code", id="nothing-to-show"),
        pytest.param({"xid": 94}, 422, "nothing_to_show", "XID 94 has no nvml code", id="nothing-for-nvml"),
        pytest.param(
            {"planes": ["kernel"], "cuda_code": 719},
            422,
            "code_without_plane",
            "cuda_code",
            id="code-without-plane",
        ),
        pytest.param({"mode": "delay"}, 422, "mode_without_delay", "delay_ms", id="delay-of-nothing"),
        pytest.param({"id": "a\nb"}, 422, "invalid_body", "id:", id="second-line-in-id"),
        pytest.param({"id": "a" * 40}, 422, "invalid_body", "id:", id="id-too-long"),
        pytest.param({"planes": ["disk"]}, 422, "invalid_body", "planes.0", id="plane"),
        pytest.param({"planes": []}, 422, "invalid_body", "planes", id="no-plane"),
        pytest.param({"ttl_s": 0}, 422, "invalid_body", "ttl_s", id="no-time"),
        pytest.param({"ttl_s": 1e9}, 422, "invalid_body", "ttl_s", id="for-ever"),
        pytest.param({"epoch": -1}, 422, "invalid_body", "epoch", id="epoch"),
        pytest.param({"dialect": "latin"}, 422, "invalid_body", "dialect", id="dialect"),
        pytest.param({"tll_s": 5}, 422, "invalid_body", "tll_s", id="unknown-key"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused_with_the_reason(agent, node, change, status, code, words):
    answer, error = agent.refused("/faults", request(**change))
    assert (answer, error["code"]) == (status, code)
    assert words in error["detail"]
    assert error["hint"] or code in ("unknown_xid", "unknown_code", "code_without_plane")
    assert node.lines() == []
    assert agent.get("/faults")["faults"] == []


@pytest.mark.parametrize(
    ("body", "status"),
    [
        pytest.param(b"{", 422, id="broken"),
        pytest.param(b"[]", 422, id="list"),
        pytest.param(b"", 422, id="empty"),
        pytest.param(b'"' + b"a" * 100_000 + b'"', 413, id="huge"),
    ],
)
def test_a_body_that_is_no_request_is_refused(agent, body, status):
    assert agent.client.post("/faults", content=body).status_code == status


def test_unknown_paths_and_methods_say_what_is_known(agent):
    missing = agent.client.get("/nope")
    assert (missing.status_code, missing.json()["code"]) == (404, "no_such_path")
    assert "POST /faults" in missing.json()["hint"]
    wrong = agent.client.delete("/faults")
    assert (wrong.status_code, wrong.json()["code"]) == (405, "method_not_allowed")


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
@pytest.mark.parametrize("path", ["/faults/", "/health/", "/faults//", "/openapi.json/"])
def test_a_path_with_a_slash_too_many_is_unknown_and_leads_nowhere_else(agent, method, path):
    reply = agent.client.request(method, path, headers={"host": "elsewhere.example"}, follow_redirects=False)
    assert (reply.status_code, reply.json()["code"]) == (404, "no_such_path")


@pytest.mark.parametrize("query", ["since=x", "wait_s=-1", "wait_s=nan"])
def test_a_query_that_is_no_number_is_refused(agent, query):
    agent.post("/faults", request(planes=KERNEL), expect=201)
    reply = agent.client.get(f"/faults/f1/events?{query}")
    assert (reply.status_code, reply.json()["code"]) == (422, "invalid_query")
