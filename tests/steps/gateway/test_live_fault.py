"""How long a fault of the gateway lives, and what is told: a run's events go in, the published record comes out."""

from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import pytest

from offbus.journal.events import Event
from offbus_steps.gateway.live_fault import LiveFault
from offbus_steps.gateway.models import FaultRecord
from tests.kits.virtual_time import in_virtual_time, meanwhile


def live(seconds: float = 60) -> LiveFault:
    record = FaultRecord(
        id="gpu_xid_79-1", type="gpu_xid_79", target="n/gpu0", status="pending", created_at=datetime.now(UTC)
    )
    return LiveFault(record, timedelta(seconds=seconds), lambda _record: None)


def event(kind: str, step: str | None = None, **data: Any) -> Event:
    made: Any = {"v": 2, "seq": 1, "run": "r", "kind": kind, "data": data}
    return made | ({"step": step} if step else {})


INJECTED = event("step_ended", "inject", outcome="passed", attempts=1)


@pytest.mark.timer("steps/offbus_steps/gateway/live_fault.py")
@in_virtual_time
async def test_a_fault_lives_as_long_as_it_was_asked_to() -> None:
    fault, began = live(60), anyio.current_time()
    fault.heard(INJECTED)
    await fault.hold()
    assert anyio.current_time() - began == 60


@pytest.mark.timer("steps/offbus_steps/gateway/live_fault.py")
@in_virtual_time
async def test_a_renewed_fault_lives_that_long_from_then() -> None:
    fault, began = live(60), anyio.current_time()
    fault.heard(INJECTED)
    async with meanwhile((50, lambda: fault.renew(timedelta(seconds=60)))):
        await fault.hold()
    assert anyio.current_time() - began == 110


@pytest.mark.timer("steps/offbus_steps/gateway/live_fault.py")
@in_virtual_time
async def test_a_fault_that_is_ended_lives_no_longer() -> None:
    fault, began = live(60), anyio.current_time()
    fault.heard(INJECTED)
    async with meanwhile((7, lambda: fault.end("enough"))):
        await fault.hold()
    assert anyio.current_time() - began == 7
    fault.heard(event("phase", name="close"))
    assert (fault.record.status, fault.record.details["message"]) == ("recovered", "recovered: enough")


@in_virtual_time
async def test_a_refusal_is_told_with_its_reason_and_hint() -> None:
    fault = live()
    fault.heard(
        event("step_ended", "inject", outcome="errored", attempts=1, message="guard x: no", hint="raise it")
    )
    fault.heard(event("phase", name="close"))
    fault.conclude()
    assert fault.decided.is_set()
    assert (fault.injected, fault.why) == (False, ("guard x: no", "raise it"))
    assert (fault.record.status, fault.record.details) == (
        "failed", {"message": "guard x: no", "residue": "none"},
    )  # fmt: skip


@in_virtual_time
async def test_what_is_not_undone_is_no_recovery() -> None:
    fault = live()
    fault.heard(INJECTED)
    fault.heard(event("phase", name="undo"))
    assert fault.record.status == "recovering"
    fault.heard(
        event("undo_ended", undo=1, attempt=1, result="failed", detail="the agent is away", evidence={})
    )
    fault.heard(event("phase", name="close"))
    assert (fault.undone.is_set(), fault.record.status) == (True, "recovering")
    fault.heard(event("residue", item="Fault f", detail="armed", fix="offbus recover r"))
    fault.conclude()
    assert fault.record.status == "failed"
    assert fault.record.details["residue"] == ["Fault f: armed (offbus recover r)"]


@in_virtual_time
async def test_an_undo_that_succeeds_at_its_second_try_is_one() -> None:
    fault = live()
    fault.heard(INJECTED)
    for attempt, result in ((1, "failed"), (2, "restored")):
        fault.heard(event("undo_ended", undo=1, attempt=attempt, result=result, detail="", evidence={}))
    fault.heard(event("phase", name="settle"))
    assert fault.record.status == "recovered"
