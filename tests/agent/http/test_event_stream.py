"""The stream of a node's events: live, resumed, with what was missed told, and with a bounded number of readers."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx
import pytest

from offbus_agent.faults.event_log import History
from offbus_agent.http.event_stream import READERS, EventStream
from offbus_agent.http.token import reading
from offbus_agent.models import FaultEvent
from tests.kits.agent.node_world import OWNER, RunningAgent, connect, request
from tests.kits.virtual_time import in_virtual_asyncio_time


class Reader:
    """An open stream."""

    def __init__(self, reply: httpx.Response) -> None:
        self.reply = reply
        self._lines = reply.iter_lines()
        assert next(self._lines).startswith("retry: ")

    def next(self) -> dict[str, Any]:
        """The next event: its kind, its id, its data."""
        found: dict[str, Any] = {}
        for line in self._lines:
            if not line and found:
                return {**found, "data": json.loads(found["data"])}
            name, colon, value = line.partition(": ")
            if name and colon:
                found[name] = value
        raise AssertionError("the stream has ended")


@contextmanager
def stream(agent: RunningAgent, node: Any, last: str | None = None) -> Iterator[Reader]:
    headers = {} if last is None else {"Last-Event-ID": last}
    with connect(node) as client, client.stream("GET", "/events", headers=headers) as reply:
        assert reply.status_code == 200, reply.read()
        assert reply.headers["content-type"].startswith("text/event-stream")
        yield Reader(reply)


def test_what_happens_to_every_fault_is_told_as_it_happens(agent, node):
    with stream(agent, node) as reader:
        agent.post("/faults", request(planes=["kernel"]), expect=201)
        agent.post("/faults", request("f2", planes=["kernel"]), expect=201)
        agent.post("/faults/f1/disarm", OWNER)
        told = [reader.next() for _ in range(5)]
    assert [(one["event"], one["data"]["fault"]) for one in told] == [
        ("kernel_line", "f1"),
        ("armed", "f1"),
        ("kernel_line", "f2"),
        ("armed", "f2"),
        ("disarmed", "f1"),
    ]
    assert told[0]["data"]["line"] == node.lines()[0]


def test_a_reader_goes_on_where_it_was(agent, node):
    with stream(agent, node) as reader:
        agent.post("/faults", request(planes=["kernel"]), expect=201)
        first = reader.next()
    agent.post("/faults/f1/disarm", OWNER)
    with stream(agent, node, first["id"]) as reader:
        assert [reader.next()["event"] for _ in range(2)] == ["armed", "disarmed"]


def test_a_restart_of_the_agent_is_told(agents, node):
    agent = agents.start()
    with stream(agent, node) as reader:
        agent.post("/faults", request(planes=["kernel"]), expect=201)
        last = reader.next()["id"]
    agent.stop()
    again = agents.start()
    with stream(again, node, last) as reader:
        told = reader.next()
    assert told["event"] == "gap"
    assert "started again" in told["data"]["why"]


def test_readers_are_bounded_and_need_the_token(agent, node):
    with ExitStack() as open_streams:
        readers = [open_streams.enter_context(stream(agent, node)) for _ in range(READERS)]
        refused = agent.client.get("/events")
        assert (refused.status_code, refused.json()["code"]) == (429, "too_many_readers")
        assert refused.headers["retry-after"] == "5"
        assert len(readers) == READERS
    for _ in range(1000):  # until the agent has noticed that they are gone
        with agent.client.stream("GET", "/events") as reply:
            if reply.status_code == 200:
                break
    assert reply.status_code == 200
    agent.client.headers["X-Offbus-Token"] = "guessed"
    assert agent.client.get("/events").status_code == 401
    agent.client.headers["X-Offbus-Token"] = reading(node.token)
    with agent.client.stream("GET", "/events") as reply:
        assert reply.status_code == 200


def event(number: int) -> FaultEvent:
    return FaultEvent(seq=number, at_ns=number, kind="armed")


def test_what_is_no_longer_there_is_told_as_missed():
    history = History(most=2)
    before = history.mark(0)
    for number in range(1, 5):
        history.add("f", event(number))
    since, missed = history.resume(before)
    assert (since, missed.partition(" ")[0]) == (2, "2")
    assert [number for number, _, _ in history.after(since)] == [3, 4]
    assert history.resume(history.mark(3)) == (3, "")
    assert history.resume(history.mark(10**30)) == (4, "")


@pytest.mark.timer("agent/offbus_agent/http/event_stream.py", "agent/offbus_agent/faults/event_log.py")
@in_virtual_asyncio_time
async def test_a_quiet_stream_shows_that_it_lives_and_ends_by_itself() -> None:
    from offbus_agent.faults.event_log import EventLog

    streams = EventStream(EventLog(), lasts_s=40.0)
    told = [text async for text in streams._counted(None)]
    assert told == ["retry: 1000\n\n", ": nothing new\n\n", ": nothing new\n\n"]
