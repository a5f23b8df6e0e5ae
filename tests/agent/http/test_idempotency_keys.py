"""A write that is sent twice under one key is done once; a key is not for another request; what is kept is bounded."""

import json

import pytest
from starlette.responses import Response

from offbus_agent.http.idempotency import Answers
from offbus_agent.refusals import Refusal
from tests.kits.agent.node_world import LEASE, request
from tests.kits.virtual_time import in_virtual_asyncio_time


def keyed(agent, path, body, key="k-1"):
    return agent.client.post(path, json=body, headers={"Idempotency-Key": key})


def test_the_same_key_and_body_is_answered_again_and_not_done_again(agent, node):
    body = request(armed=False)
    agent.post("/faults", body, expect=201)
    first = keyed(agent, "/faults/f1/arm", LEASE)
    agent.post("/faults/f1/disarm", {"run": "run-1", "epoch": 1})
    again = keyed(agent, "/faults/f1/arm", LEASE)
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert (first.headers.get("idempotency-replayed"), again.headers["idempotency-replayed"]) == (
        None,
        "true",
    )
    assert agent.get("/faults/f1")["state"] == "disarmed"
    assert len(node.lines()) == 1


def test_a_refusal_is_answered_again_as_it_was(agent):
    first = keyed(agent, "/faults/f1/arm", LEASE)
    assert first.status_code == 404
    agent.post("/faults", request(armed=False), expect=201)
    again = keyed(agent, "/faults/f1/arm", LEASE)
    assert (again.status_code, again.content) == (404, first.content)
    assert again.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(("path", "body"), [("/faults", request(xid=48)), ("/inject-xid", request())])
def test_a_key_is_not_for_another_request(agent, node, path, body):
    keyed(agent, "/faults", request(planes=["kernel"]))
    reused = keyed(agent, path, body)
    assert (reused.status_code, reused.json()["code"]) == (422, "key_reused")
    assert len(node.lines()) == 1


def test_a_key_is_not_for_another_query(agent):
    agent.post("/faults", request(armed=False), expect=201)
    key = {"Idempotency-Key": "k-1"}
    stranger = agent.client.delete("/faults/f1?run=other&epoch=1", headers=key)
    assert (stranger.status_code, stranger.json()["code"]) == (409, "other_run")
    owner = agent.client.delete("/faults/f1?run=run-1&epoch=1", headers=key)
    assert (owner.status_code, owner.json()["code"]) == (422, "key_reused")
    again = agent.client.delete("/faults/f1?run=other&epoch=1", headers=key)
    assert (again.status_code, again.headers["idempotency-replayed"]) == (409, "true")


@pytest.mark.parametrize("key", ["", "a b", "k" * 256, "é".encode()])
def test_a_key_that_is_none_is_refused(agent, node, key):
    reply = keyed(agent, "/faults", request(), key)
    assert (reply.status_code, reply.json()["code"]) == (422, "invalid_key")
    assert node.lines() == []


def test_a_key_of_a_stranger_is_not_looked_at(agent, node):
    keyed(agent, "/faults", request())
    agent.client.headers["X-Offbus-Token"] = "guessed"
    assert keyed(agent, "/faults", request()).status_code == 401


async def answered(answers, key, body=b"", status=200, content=b"x"):
    async def make():
        return Response(content, status)

    return await answers.once(key, body, make)


@in_virtual_asyncio_time
async def test_the_oldest_answers_go_when_there_are_too_many() -> None:
    answers = Answers(most=2)
    for key in ("a", "b", "c"):
        await answered(answers, key)
    assert "idempotency-replayed" in (await answered(answers, "c")).headers
    assert "idempotency-replayed" not in (await answered(answers, "a", b"another body")).headers


@in_virtual_asyncio_time
async def test_more_requests_at_once_than_are_kept_are_all_answered() -> None:
    answers = Answers(most=1)

    async def second():
        return await answered(answers, "c")  # while "a" and "b" go on

    async def first():
        return await answers.once("b", b"", second)

    assert (await answers.once("a", b"", first)).status_code == 200
    assert "idempotency-replayed" in (await answers.once("a", b"", first)).headers


@in_virtual_asyncio_time
async def test_what_is_kept_has_a_size() -> None:
    answers = Answers(most_bytes=10)
    await answered(answers, "long", content=b"x" * 11)
    assert "idempotency-replayed" not in (await answered(answers, "long", content=b"123456")).headers
    await answered(answers, "b", content=b"123456")
    assert "idempotency-replayed" not in (await answered(answers, "long", b"other")).headers


@pytest.mark.parametrize("status", [408, 429, 500, 503])
@in_virtual_asyncio_time
async def test_what_should_be_tried_again_is_not_kept(status) -> None:
    answers = Answers()
    await answered(answers, "a", status=status)
    assert (await answered(answers, "a")).status_code == 200


@in_virtual_asyncio_time
async def test_a_request_whose_first_one_goes_on_is_told_so() -> None:
    answers = Answers()

    async def make():
        with pytest.raises(Refusal) as refused:
            await answered(answers, "a")
        assert (refused.value.status, refused.value.code) == (409, "key_in_use")
        return Response(json.dumps({}))

    await answers.once("a", b"", make)


@in_virtual_asyncio_time
async def test_a_request_that_failed_leaves_its_key_free() -> None:
    answers = Answers()

    async def make():
        raise ValueError("a bug")

    with pytest.raises(ValueError, match="a bug"):
        await answers.once("a", b"", make)
    assert "idempotency-replayed" not in (await answered(answers, "a")).headers
