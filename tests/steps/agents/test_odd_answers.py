"""An agent is a process of its node: what it answers may be anything. An odd answer is that node's alone."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from offbus.errors import StepError
from offbus_steps.agents.client import AgentRefused, NodeAgents
from offbus_steps.agents.known_faults import MOST_TOLD, known_faults
from offbus_steps.node_clock import NodeClocks
from offbus_steps.port import Agents, Reply
from tests.kits.virtual_time import in_virtual_time


class Run:
    """As much of a run as requests tell."""

    run_id, epoch = "abcd1234", 1


class Answering(Agents):
    """`evil` answers this; every other agent has no faults."""

    def __init__(self, body: bytes, status: int = 200) -> None:
        self._reply = Reply(status, {}, body)

    async def request(
        self,
        node: str,
        method: str,
        path: str,
        *,
        json: Any = None,
        timeout: float = 10.0,  # noqa: ASYNC109
    ) -> Reply:
        return self._reply if node == "evil" else Reply(200, {}, b'{"faults":[]}')


def agents(body: bytes, status: int = 200) -> NodeAgents:
    return NodeAgents(Answering(body, status), Run(), NodeClocks())  # type: ignore[arg-type]  # no more is asked of it


ANYWHERE = (b"[]", b"null", b"7", b'"x"', b"{}", b"", b"<html>", b"[" * 100_000)
FAULTS = (
    *ANYWHERE,
    b'{"faults":null}',
    b'{"faults":{"a":1}}',
    b'{"faults":[{}]}',
    b'{"faults":[null]}',
    b'{"faults":["x"]}',
    b'{"faults":[{"id":1,"state":"armed"}]}',
    b'{"faults":[{"id":"f","state":["armed"]}]}',
    b'{"faults":[{"id":' + b"9" * 5000 + b',"state":"armed"}]}',
    b'{"faults":[{"id":"' + b"," * 1_100_000 + b'","state":"armed"}]}',
    b'{"faults":[' + b'{"id":"f","state":"armed"},' * 70_000 + b'{"id":"g","state":"armed"}]}',
    b'{"faults":[],"more":[' + b"[]," * 1_000_000 + b"7]}",
    b'{"faults":[{"id":"f","state":"' + b"a" * 1_100_000 + b'"}]}',
    b'{"faults":[{"id":"","state":"armed"}]}',
    b'{"faults":[{"id":"f\\n","state":"armed"}]}',
    b'{"faults":[' + b",".join([b'{"id":"f","state":"armed"}'] * 20_000) + b"]}",
)


def short(body: bytes) -> str:
    return body[:40].decode() or "nothing"


@pytest.mark.guarantee("G32")
@pytest.mark.parametrize("body", FAULTS, ids=short)
@in_virtual_time
async def test_a_node_whose_agent_answers_oddly_cannot_be_asked(body: bytes) -> None:
    assert await known_faults(agents(body), ["evil", "good"]) == {
        "Agent/evil": "cannot be asked: OddAnswer",
        "Agent/good faults": [],
    }


@in_virtual_time
async def test_what_an_agent_says_of_its_faults_is_taken() -> None:
    body = b'{"faults":[{"id":"f2","state":"armed","more":1},{"id":"f1","state":"expired"}],"more":2}'
    found = await known_faults(agents(body), ["evil"])
    assert found == {"Agent/evil faults": ["f1 expired", "f2 armed"]}


@in_virtual_time
async def test_of_very_many_faults_of_a_node_some_are_compared_and_the_others_counted() -> None:
    listed = [b'{"id":"f%d","state":"disarmed"}' % number for number in range(3000)]
    [(item, found)] = (
        await known_faults(agents(b'{"faults":[' + b",".join(listed) + b"]}"), ["evil"])
    ).items()
    assert (item, len(found), found[-1]) == (
        "Agent/evil faults",
        MOST_TOLD + 1,
        f"and {3000 - MOST_TOLD} more",
    )
    assert max(map(len, found)) < 150


HEALTH = b'{"boot_id":"b","now_ns":5,"gpus":[{"uuid":"GPU-1","index":0}],"planes":{"cuda":{"ok":true}}}'
FAULT = b'{"id":"f","state":"armed","xid":79,"gpus":["GPU-1"]}'
CALL = b'{"plane":"cuda","pid":1,"function":"cuInit","at_ns":5}'
CALLS: dict[str, tuple[Callable[[NodeAgents], Awaitable[object]], tuple[bytes, ...]]] = {
    "health": (
        lambda one: one.health("evil"),
        (
            HEALTH.replace(b'"b"', b"1"),
            HEALTH.replace(b'"now_ns":5', b'"now_ns":"5"'),
            HEALTH.replace(b'"now_ns":5', b'"now_ns":true'),
            HEALTH.replace(b'"now_ns":5', b'"now_ns":1' + b"0" * 400),
            HEALTH.replace(b'"GPU-1"', b"null"),
            HEALTH.replace(b'"index":0', b'"index":"first"'),
            HEALTH.replace(b'{"ok":true}', b"[]"),
            HEALTH.replace(b'{"ok":true}', b"{}"),
        ),
    ),
    "fault": (
        lambda one: one.fault("evil", "f"),
        (
            FAULT.replace(b'"armed"', b"[]"),
            FAULT.replace(b"79", b'"79"'),
            FAULT.replace(b'["GPU-1"]', b"[1]"),
            FAULT.replace(b'"xid":79', b'"xid":79,"first_faulted":[{}]'),
            FAULT.replace(b'"xid":79', b'"xid":79,"processes":[7]'),
            FAULT.replace(b'"xid":79', b'"xid":79,"kernel":{}'),
            FAULT.replace(b'"xid":79', b'"xid":79,"first_faulted":[' + CALL.replace(b"1", b'"1"') + b"]"),
        ),
    ),
    "recover": (lambda one: one.act("evil", "f", "recover"), (FAULT.replace(b'"armed"', b"1"),)),
    "clear": (lambda one: one.act("evil", "f", "clear"), (b'{"lines":7}',)),
    "create": (lambda one: one.create("evil", {}), (FAULT.replace(b'"f"', b"{}"),)),
    "renew": (lambda one: one.renew("evil", "f", 5), ()),
    "events": (
        lambda one: one.events("evil", "f", 0),
        (
            b'{"next":"1","events":[]}',
            b'{"next":1,"events":{}}',
            b'{"next":1,"events":[{}]}',
            b'{"next":1,"events":[{"kind":"armed","at_ns":"5"}]}',
            b'{"next":1,"events":[{"kind":"first_faulted","at_ns":5}]}',
        ),
    ),
    "preload": (
        lambda one: one.preload("evil", "p"),
        (b'{"processes":[{}]}', b'{"processes":[{"container":"c","value":7}]}'),
    ),
}
MATRIX = [
    pytest.param(call, body, id=f"{name} {short(body)}")
    for name, (call, bodies) in CALLS.items()
    for body in (*(one for one in ANYWHERE if name != "renew" or one != b"{}"), *bodies)
]


@pytest.mark.guarantee("G32")
@pytest.mark.parametrize(("call", "body"), MATRIX)
@in_virtual_time
async def test_every_call_refuses_an_odd_answer(
    call: Callable[[NodeAgents], Awaitable[object]], body: bytes
) -> None:
    with pytest.raises(AgentRefused, match=r"the agent of evil answered .* oddly: ") as told:
        await call(agents(body))
    assert told.value.code == "odd_answer"
    assert len(told.value.message) < 300


@pytest.mark.parametrize(
    "body",
    [b'{"error":{"code":[],"message":{},"hint":7}}', b'{"error":[]}', b'{"error":"x"}', b"null", b"[", b""],
)
@in_virtual_time
async def test_a_refusal_may_be_anything_too(body: bytes) -> None:
    with pytest.raises(StepError) as told:
        await agents(body, 500).fault("evil", "f")
    assert isinstance(told.value.message, str)
    assert isinstance(told.value.hint, str | None)


@in_virtual_time
async def test_a_fault_of_which_an_agent_says_little_has_nothing_more() -> None:
    """Agents of 0.1 do not know every field."""
    found = await agents(FAULT).fault("evil", "f")
    assert found["first_faulted"] == found["kernel"] == found["unread"] == found["processes"] == []
