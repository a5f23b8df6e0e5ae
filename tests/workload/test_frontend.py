"""The frontend: routing by readiness, and what becomes of requests whose worker dies."""

import json

import pytest

from offbus_agent.page.control import CallClass
from tests.kits.workload.workload_world import GPU, MODEL, Node, Program, chat, events_of, text_of

ECC_UNCORRECTABLE = 214


@pytest.fixture
def workers(node: Node) -> list[Program]:
    started = [node.worker() for _ in range(2)]
    return [worker.serving() for worker in started]


def served(worker: Program) -> int:
    total: int = worker.client.get("/metrics.json").json()["requests"]["total"]
    return total


def test_requests_go_round_the_ready_workers(node: Node, workers: list[Program]) -> None:
    node.announce(worker=workers)
    frontend = node.frontend().serving()
    assert [frontend.chat(2).status_code for _ in range(6)] == [200] * 6
    assert [served(worker) for worker in workers] == [3, 3]


def test_health_follows_readiness(node: Node, workers: list[Program]) -> None:
    frontend = node.frontend().serving()
    states = []
    for ready in ([], workers[:1], workers, []):
        node.announce(worker=ready)
        answer = frontend.client.get("/health")
        states.append((answer.status_code, len(answer.json()["instances"])))
    assert states == [(503, 0), (200, 1), (200, 2), (503, 0)]


def test_frontends_and_the_own_component_are_no_workers(node: Node, workers: list[Program]) -> None:
    node.announce(Frontend=workers[:1], decode=workers[1:])
    frontend = node.frontend().serving()
    assert [w["pod"] for w in frontend.client.get("/health").json()["instances"]] == [workers[1].name]


def test_components_can_be_named(node: Node, workers: list[Program]) -> None:
    node.announce(prefill=workers[:1], decode=workers[1:])
    frontend = node.frontend("--workers", "prefill").serving()
    assert [w["pod"] for w in frontend.client.get("/health").json()["instances"]] == [workers[0].name]


def test_a_broken_endpoints_file_leaves_the_last_good_one(node: Node, workers: list[Program]) -> None:
    node.announce(worker=workers)
    frontend = node.frontend().serving()
    assert frontend.chat(1).status_code == 200
    (node.folder / "endpoints.json").write_text("{half")
    assert frontend.chat(1).status_code == 200


def test_streams_and_models_pass_through(node: Node, workers: list[Program]) -> None:
    node.announce(worker=workers[:1])
    frontend = node.frontend().serving()
    with frontend.client.stream("POST", "/v1/chat/completions", json=chat(5, stream=True)) as response:
        events = events_of(response)
    assert events[-1] == "[DONE]"
    assert text_of(events) == workers[0].chat(5).json()["choices"][0]["message"]["content"]
    assert [m["id"] for m in frontend.client.get("/v1/models").json()["data"]] == [MODEL]


def test_a_worker_s_refusal_of_a_bad_request_is_passed_on(node: Node, workers: list[Program]) -> None:
    node.announce(worker=workers[:1])
    frontend = node.frontend().serving()
    answer = frontend.chat(1, model="other")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, 404)
    assert frontend.client.post("/v1/chat/completions", content=b"[]").status_code == 400
    assert frontend.client.post("/v1/chat/completions", content=b"[" * 100_000).status_code == 400


def test_without_workers_requests_are_told_so(node: Node) -> None:
    node.announce(worker=[])
    frontend = node.frontend().serving()
    answer = frontend.chat(1)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, 503)
    assert frontend.client.get("/v1/models").json()["data"] == []
    with frontend.client.stream("POST", "/v1/chat/completions", json=chat(1, stream=True)) as response:
        error, end = events_of(response)
    assert json.loads(error)["error"]["code"] == 503
    assert end == "[DONE]"


def test_a_new_request_is_never_lost_to_a_worker_that_is_gone(node: Node, workers: list[Program]) -> None:
    node.announce(worker=workers)
    frontend = node.frontend().serving()
    workers[0].kill()
    assert [frontend.chat(2).status_code for _ in range(4)] == [200] * 4


def test_without_migration_a_broken_unary_request_is_an_error(node: Node, workers: list[Program]) -> None:
    node.announce(worker=workers[:1])
    frontend = node.frontend().serving()
    node.arm(cuda=ECC_UNCORRECTABLE, classes=CallClass.LAUNCH)
    assert frontend.chat(4).status_code == 500
    assert workers[0].exit_code() == 1


def test_without_migration_a_broken_stream_ends_in_an_error_event(node: Node, workers: list[Program]) -> None:
    node.announce(worker=workers[:1])
    frontend = node.frontend().serving()
    with frontend.client.stream("POST", "/v1/chat/completions", json=chat(500, stream=True)) as response:
        lines = response.iter_lines()
        for _ in range(8):
            next(lines)
        workers[0].kill()
        rest = [line.removeprefix("data: ") for line in lines if line]
    assert json.loads(rest[-2])["error"]["code"] == 503
    assert rest[-1] == "[DONE]"
    assert frontend.client.get("/metrics.json").json()["requests"]["broken"] == 1


def test_with_migration_a_stream_goes_on_at_another_worker_without_a_gap(
    node: Node, workers: list[Program]
) -> None:
    node.announce(worker=workers)
    frontend = node.frontend("--migration-limit", "1").serving()
    whole = workers[0].chat(300).json()["choices"][0]["message"]["content"]
    body = chat(300, stream=True, stream_options={"include_usage": True})
    with frontend.client.stream("POST", "/v1/chat/completions", json=body) as response:
        lines = response.iter_lines()
        first = [next(lines) for _ in range(10)]
        # Round-robin begins with the first pod by name.
        workers[0].kill()
        events = [line.removeprefix("data: ") for line in (*first, *lines) if line]
    chunks = [json.loads(data) for data in events[:-1]]
    assert events[-1] == "[DONE]"
    assert text_of(events) == whole
    assert chunks[-1]["usage"]["completion_tokens"] == 300
    assert len({chunk["id"] for chunk in chunks}) == 1
    assert frontend.client.get("/metrics.json").json()["migrations"] == {"success": 1, "failure": 0}


def test_with_migration_a_unary_request_is_answered_by_another_worker(node: Node) -> None:
    faulted, healthy = (node.worker(), node.worker(LD_PRELOAD=""))
    node.announce(worker=[faulted.serving(), healthy.serving()])
    frontend = node.frontend("--migration-limit", "1").serving()
    node.arm(cuda=ECC_UNCORRECTABLE, classes=CallClass.LAUNCH)
    assert [frontend.chat(3).status_code for _ in range(2)] == [200, 200]
    assert faulted.exit_code() == 1
    assert GPU in healthy.log.read_text()


def test_when_every_worker_dies_the_limit_is_an_error_not_a_hang(node: Node, workers: list[Program]) -> None:
    node.announce(worker=workers)
    frontend = node.frontend("--migration-limit", "1").serving()
    node.arm(cuda=ECC_UNCORRECTABLE, classes=CallClass.LAUNCH)
    assert frontend.chat(3).status_code == 500
    assert [worker.exit_code() for worker in workers] == [1, 1]
    assert frontend.chat(3).status_code == 503


def test_sigterm_lets_the_running_stream_finish(node: Node, workers: list[Program]) -> None:
    node.announce(worker=workers)
    frontend = node.frontend().serving()
    with frontend.client.stream("POST", "/v1/chat/completions", json=chat(200, stream=True)) as response:
        lines = response.iter_lines()
        next(lines)
        frontend.terminate()
        rest = list(lines)
    assert "data: [DONE]" in rest
    assert frontend.exit_code() == 0


def test_it_needs_an_endpoints_file(node: Node) -> None:
    frontend = node.frontend("--endpoints", "")
    assert frontend.exit_code() == 2
    assert "no endpoints file: set OFFBUS_ENDPOINTS" in frontend.log.read_text()


def test_without_a_worker_it_is_not_healthy(node: Node) -> None:
    frontend = node.frontend("--endpoints", str(node.folder / "not-there.json"))
    assert frontend.serving().client.get("/health").status_code == 503
