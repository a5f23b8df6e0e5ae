"""A `Status` that a target answers is the target's answer; only what the API server itself refuses is the path's."""

from collections.abc import Callable
from pathlib import Path

import pytest

from offbus_steps.kubernetes.rest.api import Call
from offbus_steps.kubernetes.rest.paths import proxied
from offbus_steps.kubernetes.rest.proxy import proxied_answer
from offbus_steps.port import PortError, Unavailable
from tests.kits.steps.timed_api import Answer, answering
from tests.kits.virtual_time import in_virtual_asyncio_time

LEADS = "pods/llm-0:8000"
JSON = {"content-type": "application/json"}
REFUSALS = [401, 403, 429, 500, 503]
MISSING = 404


def status(code: int) -> Answer:
    """As the API server writes its own."""
    said = {"kind": "Status", "apiVersion": "v1", "code": code, "message": "engine dead"}
    return Answer(code, said, JSON)


def where(target: Answer, others: Answer | None) -> Callable[[str], Answer | None]:
    """A server whose proxy passes on what the target says; `others`: what it answers to all other calls."""
    return lambda call: target if LEADS in call else others


async def refused(folder: Path, says: Callable[[str], Answer | None]) -> tuple[PortError, list[str]]:
    """What a request to the target ended with, and what was asked for."""
    async with answering(folder, says) as (api, server):
        path = proxied("pods", "drill", "llm-0", 8000, "/v1/chat/completions?secret=1")
        with pytest.raises(PortError) as raised:
            async with proxied_answer(api, Call("POST", path, body={"prompt": "hi"}), "Pod drill/llm-0"):
                pytest.fail("it was taken for the target's good answer")
        return raised.value, [call for call, _ in server.asked]


@pytest.mark.parametrize("code", REFUSALS)
@in_virtual_asyncio_time
async def test_a_targets_status_is_the_targets_failure(tmp_path: Path, code: int) -> None:
    """Such requests would be neither sent nor failed, and a target that fails all of them would never show."""
    err, asked = await refused(tmp_path, where(status(code), status(MISSING)))
    assert not isinstance(err, Unavailable)
    assert err.message == f"Pod drill/llm-0 answered {code}: engine dead"
    assert len(asked) == 2


@pytest.mark.parametrize("code", REFUSALS)
@in_virtual_asyncio_time
async def test_a_refusal_by_the_server_is_the_paths_failure(tmp_path: Path, code: int) -> None:
    """It refuses the same call to a pod that cannot be, too: with the same method, in the same namespace."""
    err, asked = await refused(tmp_path, where(status(code), status(code)))
    assert isinstance(err, Unavailable)
    probe = asked[1]
    assert probe.startswith("POST /api/v1/namespaces/drill/pods/")
    assert probe.endswith("/proxy")
    assert "secret" not in probe


@in_virtual_asyncio_time
async def test_a_server_that_does_not_answer_then_is_the_paths_failure(tmp_path: Path) -> None:
    err, _ = await refused(tmp_path, where(status(503), None))
    assert isinstance(err, Unavailable)
