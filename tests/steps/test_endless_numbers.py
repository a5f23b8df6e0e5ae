"""Numbers of 5,000 digits in what others write: Python refuses to read them, and nothing may end by that."""

import json

import pytest

from offbus_agent.detectors.journald import parse_record
from offbus_sandbox.responder.detector.xid_line import parse_xid
from offbus_sandbox.workload.requests import RequestError, job_of
from offbus_steps.kubernetes.ownership.run_lease import epoch_of

DIGITS = "9" * 5000


def test_a_kernel_line_is_no_xid() -> None:
    line = "NVRM: Xid (PCI:0000:3b:00): {}, pid=1, name=x, GPU has fallen off the bus"
    assert parse_xid(line.format(79)) is not None
    assert parse_xid(line.format(DIGITS)) is None


@pytest.mark.parametrize("head", [f"{DIGITS},1,1,-", f"4,{DIGITS},1,-", f"4,1,{DIGITS},-"])
def test_a_record_of_the_kernel_log_is_none(head: str) -> None:
    assert parse_record(f"{head};text") is None


def test_a_holder_of_a_lease_has_no_epoch() -> None:
    assert epoch_of("run/7@host") == 7
    assert epoch_of(f"run/{DIGITS}@host") == 0


def test_a_position_within_an_answer_is_refused() -> None:
    body = json.dumps({"model": "m", "prompt": "p", "max_tokens": 5}).encode()
    with pytest.raises(RequestError, match="must be a position within the answer"):
        job_of("completion", body, model="m", default_tokens=5, request_id="a", start=DIGITS)
