"""The worker: what clients get, and how it dies of its GPU."""

import json
from pathlib import Path

import httpx
import pytest

from offbus_agent.page.control import CallClass
from tests.kits.workload.workload_world import GPU, MODEL, Node, Program, chat, events_of, text_of

ECC_UNCORRECTABLE = 214
GPU_IS_LOST = 15
LAUNCH = CallClass.LAUNCH
NVML = CallClass.NVML


@pytest.fixture
def worker(node: Node) -> Program:
    return node.worker().serving()


def test_it_is_ready_and_names_its_model(worker: Program) -> None:
    assert worker.client.get("/health").json() == {"status": "ready"}
    assert [m["id"] for m in worker.client.get("/v1/models").json()["data"]] == [MODEL]


def test_a_chat_is_answered_in_openai_s_shape(worker: Program) -> None:
    answer = worker.chat(5).json()
    (choice,) = answer["choices"]
    assert answer["object"] == "chat.completion"
    assert choice["message"]["role"] == "assistant"
    assert len(choice["message"]["content"].split()) == 5
    assert choice["finish_reason"] == "length"
    assert answer["usage"] == {"prompt_tokens": 2, "completion_tokens": 5, "total_tokens": 7}


def test_the_answer_depends_on_the_prompt_and_on_nothing_else(worker: Program) -> None:
    first, again = (worker.chat(20).json()["choices"][0]["message"]["content"] for _ in range(2))
    other = worker.chat(20, messages=[{"role": "user", "content": "bye"}]).json()["choices"][0]["message"][
        "content"
    ]
    assert first == again
    assert other != first


def test_a_stream_has_one_chunk_a_token_and_ends_properly(worker: Program) -> None:
    with worker.client.stream(
        "POST", "/v1/chat/completions", json=chat(4, stream=True, stream_options={"include_usage": True})
    ) as response:
        events = events_of(response)
    chunks = [json.loads(data) for data in events[:-1]]
    assert events[-1] == "[DONE]"
    assert response.headers["content-type"].startswith("text/event-stream")
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert len(text_of(events).split()) == 4
    assert chunks[-2]["choices"][0]["finish_reason"] == "length"
    assert (chunks[-1]["choices"], chunks[-1]["usage"]["completion_tokens"]) == ([], 4)
    assert len({chunk["id"] for chunk in chunks}) == 1
    assert text_of(events) == worker.chat(4).json()["choices"][0]["message"]["content"]


def test_completions_are_served_whole_and_streamed(worker: Program) -> None:
    body = {"model": MODEL, "prompt": "say", "max_tokens": 3}
    whole = worker.client.post("/v1/completions", json=body).json()
    with worker.client.stream("POST", "/v1/completions", json={**body, "stream": True}) as response:
        events = events_of(response)
    streamed = "".join(json.loads(data)["choices"][0]["text"] for data in events[:-1])
    assert whole["object"] == "text_completion"
    assert streamed == whole["choices"][0]["text"]


def test_a_broken_stream_can_be_continued_where_it_broke(worker: Program) -> None:
    whole = worker.chat(6).json()["choices"][0]["message"]["content"]
    headers = {"X-Offbus-Continue-From": "4", "X-Request-Id": "r-1"}
    with worker.client.stream(
        "POST", "/v1/chat/completions", json=chat(6, stream=True), headers=headers
    ) as response:
        events = events_of(response)
    assert text_of(events) == " ".join(whole.split()[4:])
    assert all(json.loads(data)["id"] == "chatcmpl-r-1" for data in events[:-1])


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        pytest.param(b"{", 400, "Invalid JSON", id="not-json"),
        pytest.param(b'{"model": "test-model"}', 400, "messages: Field required", id="no-messages"),
        pytest.param(b'{"model": "test-model", "messages": []}', 400, "messages: ", id="empty-messages"),
        pytest.param(json.dumps(chat(0)).encode(), 400, "max_tokens: ", id="no-tokens"),
        pytest.param(json.dumps(chat(99999)).encode(), 400, "max_tokens: ", id="too-many-tokens"),
        pytest.param(json.dumps(chat(1, n=2)).encode(), 400, "n: ", id="several-choices"),
        pytest.param(
            json.dumps(chat(1, model="other")).encode(), 404, "`other` does not exist", id="unknown-model"
        ),
        pytest.param(b" " * (1024 * 1024 + 1), 413, "larger than", id="too-large"),
    ],
)
def test_a_bad_request_is_told_what_is_wrong(worker: Program, body: bytes, status: int, says: str) -> None:
    answer = worker.client.post("/v1/chat/completions", content=body)
    assert answer.status_code == status
    assert says in answer.json()["error"]["message"]
    assert worker.client.get("/health").status_code == 200


@pytest.mark.parametrize(
    "headers", [{"X-Request-Id": "a b"}, {"X-Offbus-Continue-From": "-1"}, {"X-Offbus-Continue-From": "9"}]
)
def test_bad_headers_are_refused(worker: Program, headers: dict[str, str]) -> None:
    assert worker.client.post("/v1/chat/completions", json=chat(8), headers=headers).status_code == 400


def test_telemetry_is_read_once_a_request(worker: Program) -> None:
    worker.chat(2)
    metrics = worker.client.get("/metrics.json").json()
    (gpu,) = metrics["gpus"]
    assert (gpu["uuid"], gpu["errors"]) == (GPU, 0)
    assert isinstance(gpu["temperature_c"], int)
    assert metrics["requests"] == {"total": 1, "in_flight": 0, "failed": 0}
    assert metrics["tokens"] == 2


def test_an_nvml_error_is_counted_and_logged_but_does_not_stop_a_request(node: Node, worker: Program) -> None:
    node.arm(cuda=0, nvml=GPU_IS_LOST, classes=NVML)
    assert [worker.chat(2).status_code for _ in range(2)] == [200, 200]
    (gpu,) = worker.client.get("/metrics.json").json()["gpus"]
    assert gpu["errors"] == 2
    log = worker.log.read_text()
    assert log.count("NVML error: ") == 1
    assert f"({GPU_IS_LOST}) in nvml" in log


def test_a_cuda_error_ends_the_process_and_the_unary_request_gets_500(node: Node, worker: Program) -> None:
    node.arm(cuda=ECC_UNCORRECTABLE, classes=LAUNCH)
    answer = worker.chat(4)
    assert answer.status_code == 500
    assert "cuLaunchKernel" in answer.json()["error"]["message"]
    assert worker.exit_code() == 1
    assert "CUDA error: CUDA_ERROR_ECC_UNCORRECTABLE (214) in cuLaunchKernel" in worker.log.read_text()


def test_a_cuda_error_cuts_the_stream_that_runs(node: Node, worker: Program) -> None:
    node.arm(cuda=ECC_UNCORRECTABLE, classes=LAUNCH, after_calls=3)
    with worker.client.stream("POST", "/v1/chat/completions", json=chat(500, stream=True)) as response:
        assert response.status_code == 200
        events: list[str] = []
        with pytest.raises(httpx.RemoteProtocolError):
            events.extend(line for line in response.iter_lines() if line)
    assert "data: [DONE]" not in events
    assert worker.exit_code() == 1


def test_a_gpu_that_is_lost_in_the_middle_of_a_request_shows_in_nvml_too(node: Node, worker: Program) -> None:
    with worker.client.stream("POST", "/v1/chat/completions", json=chat(500, stream=True)) as response:
        lines = response.iter_lines()
        next(lines)  # the request's own telemetry has been read
        node.arm(cuda=ECC_UNCORRECTABLE, nvml=GPU_IS_LOST, classes=LAUNCH | NVML)
        with pytest.raises(httpx.RemoteProtocolError):
            list(lines)
    assert worker.exit_code() == 1
    assert f"({GPU_IS_LOST}) in nvml" in worker.log.read_text()


def test_the_shim_saw_the_very_call_that_the_log_names(node: Node, worker: Program) -> None:
    node.arm(cuda=ECC_UNCORRECTABLE, classes=CallClass.SYNC)
    worker.chat(1)
    assert worker.exit_code() == 1
    assert "in cuCtxSynchronize" in worker.log.read_text()
    (call,) = [row.cuda for row in node.events.read() if row.cuda is not None]
    assert (call.function, call.code, call.gpu) == ("cuCtxSynchronize", ECC_UNCORRECTABLE, GPU)


def test_a_worker_cannot_start_on_a_faulted_gpu(node: Node) -> None:
    node.arm(cuda=ECC_UNCORRECTABLE, classes=CallClass.ALLOC, new_procs=True)
    worker = node.worker()
    assert worker.exit_code() == 1
    assert "the engine cannot start: CUDA error: " in worker.log.read_text()


def test_without_a_gpu_it_does_not_start(node: Node, tmp_path: Path) -> None:
    empty = tmp_path / "none.txt"
    empty.write_text("")
    worker = node.worker(OFFBUS_STANDIN_GPUS=str(empty))
    assert worker.exit_code() == 1
    assert "the engine cannot start: " in worker.log.read_text()


def test_without_a_driver_it_does_not_start(node: Node, tmp_path: Path) -> None:
    worker = node.worker(LD_LIBRARY_PATH=str(tmp_path))
    assert worker.exit_code() == 1
    assert "libcuda.so.1" in worker.log.read_text()


def test_sigterm_lets_the_running_request_finish(worker: Program) -> None:
    with worker.client.stream("POST", "/v1/chat/completions", json=chat(200, stream=True)) as response:
        lines = response.iter_lines()
        next(lines)
        worker.terminate()
        rest = list(lines)
    assert "data: [DONE]" in rest
    assert worker.exit_code() == 0


def test_a_drain_has_an_end(node: Node) -> None:
    worker = node.worker("--drain-s", "1", "--token-ms", "1000").serving()
    with worker.client.stream("POST", "/v1/chat/completions", json=chat(4000, stream=True)) as response:
        lines = response.iter_lines()
        next(lines)
        worker.terminate()
        with pytest.raises(httpx.RemoteProtocolError):
            list(lines)
    assert worker.exit_code() == 0
