"""The gateway's operations: one table, the source of both the server's routes and the OpenAPI document.

Job: translate a checked request into a call of `Faults`, in the published API's words, and nothing else.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from offbus_agent.catalogue.catalogue import NO_XID, UnknownXid, catalogue, lookup
from offbus_agent.catalogue.plane import Plane
from offbus_agent.catalogue.published_guides import TOLD
from offbus_agent.faults.policy import TokenBucket
from offbus_agent.lease_time import boottime_ns
from offbus_agent.refusals import Refusal
from offbus_steps.gateway.callers import Caller, Verb
from offbus_steps.gateway.config import GatewayConfig
from offbus_steps.gateway.faults import Asked, Faults
from offbus_steps.gateway.models import (
    FaultList,
    FaultRecord,
    FaultResponse,
    GpuId,
    Health,
    InjectRequest,
    InjectXidRequest,
    Recovered,
    RenewRequest,
    XidType,
    XidTypes,
)
from offbus_steps.gateway.not_here import gpu_fault

__all__ = ["API", "OPERATIONS", "Call", "Gateway", "ListQuery", "Operation"]

API = "/api/v1/faults"
_FAULT = API + "/{id}"


class ListQuery(BaseModel):
    """Which faults are listed."""

    model_config = ConfigDict(extra="forbid", defer_build=True)

    active_only: bool = Field(False, description="Only those that are injected, or being recovered.")


class _XidParameters(BaseModel):
    """The `parameters` of a generic `xid_error`."""

    model_config = ConfigDict(extra="forbid", defer_build=True)

    xid_type: int
    gpu_id: GpuId = 0
    planes: list[Plane] | None = Field(None, min_length=1)


@dataclass(frozen=True, slots=True)
class Gateway:
    """What requests act on."""

    faults: Faults
    config: GatewayConfig
    environment: str
    tokenless: bool
    bucket: TokenBucket


@dataclass(frozen=True, slots=True)
class Call:
    """One request, checked: who calls, what the path names, and the body or the query."""

    gateway: Gateway
    caller: Caller
    path: dict[str, Any]
    body: Any
    facts: dict[str, Any] = field(default_factory=dict)
    """For the audit log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One operation. `run` returns (status, body)."""

    method: str
    path: str
    summary: str
    run: Callable[[Call], Awaitable[tuple[int, BaseModel]]]
    answer: type[BaseModel]
    body: type[BaseModel] | None = None
    query: type[BaseModel] | None = None
    statuses: tuple[int, ...] = (200,)
    refusals: tuple[int, ...] = ()
    anybodys: bool = False
    """Needs no token."""


async def _health(call: Call) -> tuple[int, BaseModel]:
    gateway = call.gateway
    return 200, Health(
        timestamp=datetime.now(UTC),
        version=version("offbus"),
        environment=gateway.environment,
        tokenless=gateway.tokenless,
    )


async def _xid_types(call: Call) -> tuple[int, BaseModel]:
    await call.caller.require("list")
    return 200, XidTypes(
        xid_types=[
            XidType(
                code=number,
                name=one.title or one.mnemonic,
                severity=one.severity.value,
                description=TOLD[number].simulates if number in TOLD else one.text,
            )
            for number, one in catalogue().items()
            if number != NO_XID
        ]
    )


async def _inject_xid(call: Call) -> tuple[int, BaseModel]:
    body, xid = call.body, call.path["xid"]
    if body.xid_type not in (None, xid):
        what = f"xid_type {body.xid_type} is not that of the path, {xid}"
        raise Refusal(422, "other_xid", what, "leave xid_type out")
    return await _inject(call, xid, body.node_name, body.gpu_id, body.planes, body.duration)


async def _inject_any(call: Call) -> tuple[int, BaseModel]:
    body = call.body
    if body.fault_type != "xid_error":
        raise gpu_fault(body.fault_type)
    try:
        chosen = _XidParameters.model_validate(body.parameters)
    except ValidationError as err:
        wrong = "; ".join(f"parameters.{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in err.errors())
        raise Refusal(422, "invalid_body", wrong, "an xid_error has parameters xid_type and gpu_id") from err
    return await _inject(call, chosen.xid_type, body.node_name, chosen.gpu_id, chosen.planes, body.duration)


async def _inject(
    call: Call, xid: int, node: str, gpu_id: int, planes: list[Plane] | None, duration: int | None
) -> tuple[int, BaseModel]:
    gateway = call.gateway
    call.facts.update(node=node, gpu_id=gpu_id, xid=xid)
    await call.caller.require("create", node)
    try:
        lookup(xid)
    except UnknownXid as err:
        raise Refusal(404, "unknown_xid", err.message) from err
    if not gateway.config.allows_node(node):
        allowed = ", ".join(gateway.config.nodes)
        raise Refusal(403, "node_not_allowed", f"node {node} is not among {allowed}", "use another node")
    wait_s = gateway.bucket.take(boottime_ns())
    if wait_s > 0:
        what = f"{gateway.config.per_minute} injections a minute are allowed, after {gateway.config.burst}"
        raise Refusal(429, "rate_limited", what, f"retry in {wait_s:.1f} s", retry_after_s=round(wait_s, 3))
    wanted = [plane.value for plane in planes or [Plane.KERNEL]]
    record = await gateway.faults.inject(Asked(node, gpu_id, xid, wanted, duration, call.caller.name))
    return 200, _response(record)


async def _list(call: Call) -> tuple[int, BaseModel]:
    await call.caller.require("list")
    found = call.gateway.faults.all()
    if call.body.active_only:
        found = [one for one in found if one.status in ("pending", "injected", "recovering")]
    return 200, FaultList(faults=found, count=len(found))


async def _get(call: Call) -> tuple[int, BaseModel]:
    found = call.gateway.faults.get(call.path["id"])
    await call.caller.require("get", _node_of(found))
    return 200, found


async def _recover(call: Call) -> tuple[int, BaseModel]:
    known = await _named(call, "delete")
    found = await call.gateway.faults.recover(known.id, f"by a request of {call.caller.name}")
    message = str(found.details.get("message") or f"it is {found.status}; ask again, or GET it")
    answer = Recovered(
        fault_id=found.id, status=found.status, recovered_at=found.recovered_at, message=message
    )
    return (200 if found.status == "recovered" else 202), answer


async def _delete(call: Call) -> tuple[int, BaseModel]:
    return await _recover(call)


async def _renew(call: Call) -> tuple[int, BaseModel]:
    known = await _named(call, "update")
    return 200, _response(call.gateway.faults.renew(known.id, call.body.duration))


async def _named(call: Call, verb: Verb) -> FaultRecord:
    """The fault of the path, if the caller may. Raises Refusal."""
    found = call.gateway.faults.get(call.path["id"])
    call.facts.update(node=_node_of(found), fault=found.id)
    await call.caller.require(verb, _node_of(found))
    return found


def _node_of(record: FaultRecord) -> str:
    return record.target.partition("/")[0]


def _response(record: FaultRecord) -> FaultResponse:
    details = record.details
    assert record.injected_at is not None  # noqa: S101  it was injected, or there is a refusal
    assert record.expires_at is not None  # noqa: S101
    return FaultResponse(
        fault_id=record.id,
        status=record.status,
        fault_type=record.type,
        target=record.target,
        injected_at=record.injected_at,
        expires_at=record.expires_at,
        message=f"XID {details['xid_type']} on {', '.join(details['planes'])}, target {details['workload']}",
    )


_INJECTING = (403, 404, 409, 422, 500, 503)
OPERATIONS: tuple[Operation, ...] = (
    Operation(
        method="GET",
        path="/health",
        summary="The gateway serves.",
        run=_health,
        answer=Health,
        anybodys=True,
    ),
    Operation(
        method="GET",
        path=f"{API}/gpu/xid-types",
        summary="The XIDs that can be injected.",
        run=_xid_types,
        answer=XidTypes,
        refusals=(403,),
    ),
    Operation(
        method="POST",
        path=f"{API}/gpu/inject/xid-{{xid}}",
        summary="Inject an XID; answered once it is read back from the node's kernel log.",
        run=_inject_xid,
        body=InjectXidRequest,
        answer=FaultResponse,
        refusals=_INJECTING,
    ),
    Operation(
        method="POST",
        path=f"{API}/gpu/inject",
        summary="Inject a fault of a GPU: xid_error; the others answer 501 with what to use instead.",
        run=_inject_any,
        body=InjectRequest,
        answer=FaultResponse,
        refusals=(*_INJECTING, 501),
    ),
    Operation(
        method="GET",
        path=API,
        summary="All faults, those of an earlier gateway included.",
        run=_list,
        query=ListQuery,
        answer=FaultList,
        refusals=(403, 422),
    ),
    Operation(
        method="GET",
        path=_FAULT,
        summary="One fault.",
        run=_get,
        answer=FaultRecord,
        refusals=(403, 404),
    ),
    Operation(
        method="POST",
        path=f"{_FAULT}/recover",
        summary="Undo a fault and what the platform did because of it; 202 while that goes on.",
        run=_recover,
        answer=Recovered,
        statuses=(200, 202),
        refusals=(403, 404, 409, 500),
    ),
    Operation(
        method="POST",
        path=f"{_FAULT}/renew",
        summary="A live fault lives that long from now.",
        run=_renew,
        body=RenewRequest,
        answer=FaultResponse,
        refusals=(403, 404, 409),
    ),
    Operation(
        method="DELETE",
        path=_FAULT,
        summary="As recover.",
        run=_delete,
        answer=Recovered,
        statuses=(200, 202),
        refusals=(403, 404, 409, 500),
    ),
)
