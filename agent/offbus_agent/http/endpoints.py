"""The agent's HTTP operations: one table, the source of both the server's routes and the OpenAPI document.

Job: translate a checked request into one call of `Agent`, and nothing else. Paths and shapes are in
docs/reference/agent.md.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from offbus_agent.agent import Agent
from offbus_agent.faults.clear import ClearAnswer
from offbus_agent.http.guide_form import InjectedXid, injected
from offbus_agent.models import (
    EndRequest,
    EventsAnswer,
    Fault,
    FaultList,
    FaultRequest,
    Health,
    InjectXidRequest,
    LeaseRequest,
    OwnerRequest,
    PreloadAnswer,
)

__all__ = ["ENDPOINTS", "LONGEST_WAIT_S", "Call", "Endpoint"]

INJECTING = (403, 409, 500)
"""Statuses of refusals to arm: by the node's policy, by what is armed or known, by a plane or a disk that fails."""
LONGEST_WAIT_S = 60.0
"""The longest time that a long poll may wait; longer requests are cut to it."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request, checked: the id from the path (a fault's, or a pod's), the body, the query."""

    agent: Agent
    fault: str
    body: Any
    since: int
    wait_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One operation. `run` returns (status, body)."""

    method: str
    path: str
    summary: str
    run: Callable[[Call], Awaitable[tuple[int, BaseModel]]]
    answer: type[BaseModel]
    body: type[BaseModel] | None = None
    query: type[BaseModel] | None = None
    """Given in the query, and passed as the body."""
    statuses: tuple[int, ...] = (200,)
    refusals: tuple[int, ...] = ()
    """Statuses of problems, beside those of every operation (offbus_agent.http.openapi)."""
    polls: bool = False
    """Takes `since` and `wait_s`."""
    anybodys: bool = False
    """Needs no token: it says whether the agent and its planes work, and nothing of faults and processes."""


async def _health(call: Call) -> tuple[int, BaseModel]:
    return 200, await call.agent.health()


async def _list(call: Call) -> tuple[int, BaseModel]:
    return 200, FaultList(faults=await call.agent.faults.all())


async def _get(call: Call) -> tuple[int, BaseModel]:
    return 200, await call.agent.faults.get(call.fault)


async def _events(call: Call) -> tuple[int, BaseModel]:
    return 200, await call.agent.faults.events(call.fault, call.since, call.wait_s)


async def _create(call: Call) -> tuple[int, BaseModel]:
    fault, new = await call.agent.faults.create(call.body)
    return (201 if new else 200), fault


async def _inject_xid(call: Call) -> tuple[int, BaseModel]:
    fault, _ = await call.agent.inject_xid(call.body)
    return 200, injected(fault, call.agent.node, call.body.gpu_id)


async def _arm(call: Call) -> tuple[int, BaseModel]:
    return 200, await call.agent.faults.arm(call.fault, call.body)


async def _renew(call: Call) -> tuple[int, BaseModel]:
    return 200, await call.agent.faults.renew(call.fault, call.body)


async def _disarm(call: Call) -> tuple[int, BaseModel]:
    return 200, await call.agent.faults.disarm(call.fault, call.body)


async def _recover(call: Call) -> tuple[int, BaseModel]:
    return 200, await call.agent.faults.recover(call.fault, call.body)


async def _delete(call: Call) -> tuple[int, BaseModel]:
    owner = OwnerRequest(run=call.body.run, epoch=call.body.epoch)
    return 200, await call.agent.faults.recover(call.fault, owner)


async def _clear(call: Call) -> tuple[int, BaseModel]:
    return 200, await call.agent.faults.clear(call.fault, call.body)


async def _preload(call: Call) -> tuple[int, BaseModel]:
    return 200, await call.agent.preload(call.fault)


ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        method="GET",
        path="/health",
        summary="The agent, its node and its planes.",
        run=_health,
        answer=Health,
        refusals=(500,),
        anybodys=True,
    ),
    Endpoint(
        method="GET",
        path="/faults",
        summary="All faults that were not recovered yet.",
        run=_list,
        answer=FaultList,
    ),
    Endpoint(
        method="POST",
        path="/faults",
        summary="Create a fault on all its planes at once; idempotent by id.",
        run=_create,
        body=FaultRequest,
        answer=Fault,
        statuses=(201, 200),
        refusals=INJECTING,
    ),
    Endpoint(
        method="GET",
        path="/faults/{id}",
        summary="One fault with its evidence.",
        run=_get,
        answer=Fault,
        refusals=(404,),
    ),
    Endpoint(
        method="DELETE",
        path="/faults/{id}",
        summary="Recover one: by default a fault of /inject-xid, else name its run.",
        run=_delete,
        query=EndRequest,
        answer=Fault,
        refusals=(404, 409, 422, 500),
    ),
    Endpoint(
        method="GET",
        path="/faults/{id}/events",
        summary="Long poll: a fault's events after `since`.",
        run=_events,
        answer=EventsAnswer,
        refusals=(404, 422),
        polls=True,
    ),
    Endpoint(
        method="POST",
        path="/faults/{id}/arm",
        summary="Arm, or renew.",
        run=_arm,
        body=LeaseRequest,
        answer=Fault,
        refusals=(*INJECTING, 404, 410),
    ),
    Endpoint(
        method="POST",
        path="/faults/{id}/renew",
        summary="Start a new lease for an armed fault; 410 for an expired one.",
        run=_renew,
        body=LeaseRequest,
        answer=Fault,
        refusals=(404, 409, 410, 500),
    ),
    Endpoint(
        method="POST",
        path="/faults/{id}/disarm",
        summary="Disarm.",
        run=_disarm,
        body=OwnerRequest,
        answer=Fault,
        refusals=(404, 409, 500),
    ),
    Endpoint(
        method="POST",
        path="/faults/{id}/recover",
        summary="Disarm, hand over the evidence, forget.",
        run=_recover,
        body=OwnerRequest,
        answer=Fault,
        refusals=(404, 409, 500),
    ),
    Endpoint(
        method="POST",
        path="/faults/{id}/clear",
        summary="Log the reset of its GPUs, the responder's documented clear; also after a recover.",
        run=_clear,
        body=OwnerRequest,
        answer=ClearAnswer,
        refusals=(404, 409, 500),
    ),
    Endpoint(
        method="GET",
        path="/pods/{id}/preload",
        summary="The LD_PRELOAD of a pod's containers (by the pod's uid), as image, spec and operators set it.",
        run=_preload,
        answer=PreloadAnswer,
    ),
    Endpoint(
        method="POST",
        path="/inject-xid",
        summary="The published guides' form: one kernel line, by GPU index; answered in their words.",
        run=_inject_xid,
        body=InjectXidRequest,
        answer=InjectedXid,
        refusals=(*INJECTING, 404),
    ),
)
