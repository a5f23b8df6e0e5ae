"""The options of a fault as a scenario states them: what the agent is asked, and what is refused before a run."""

import json
from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from offbus_agent.models import FaultRequest
from offbus_steps.inject.fault_options import asked_by
from offbus_steps.inject.step_types import ArmParams, InjectParams, LineParams

FAULT: dict[str, Any] = {
    "id": "f1",
    "run": "0123abcd",
    "epoch": 1,
    "gpus": ["GPU-1"],
    "planes": ["cuda"],
    "ttl_s": 15,
}


@pytest.mark.parametrize(
    ("options", "request_"),
    [
        ({}, {}),
        ({"codes": "guide"}, {"codes": "guide"}),
        ({"cuda_code": "CUDA_ERROR_UNKNOWN"}, {"cuda_code": 999}),
        ({"nvml_code": "NVML_ERROR_GPU_IS_LOST"}, {"nvml_code": 15}),
        ({"mode": "delay", "delay": timedelta(milliseconds=250)}, {"mode": "delay", "delay_ms": 250}),
        ({"mode": "hang", "after_calls": 3}, {"mode": "hang", "after_calls": 3}),
        ({"probability": 0.25, "seed": 9}, {"probability": 0.25, "seed": 9}),
        ({"dialect": "kernel"}, {"dialect": "kernel"}),
        ({"duration": timedelta(seconds=9)}, {}),
    ],
)
def test_what_is_set_is_asked_of_the_agent_and_nothing_else(
    options: dict[str, Any], request_: dict[str, Any]
) -> None:
    params = InjectParams(xid=79, **options)
    asked = asked_by(params, params)
    assert asked.request == request_
    assert asked.duration == options.get("duration")
    FaultRequest.model_validate_json(json.dumps({**FAULT, "xid": 79, **request_}))


@pytest.mark.parametrize(
    ("params", "options", "says"),
    [
        (ArmParams, {"mode": "delay"}, "go together"),
        (ArmParams, {"delay": timedelta(seconds=1)}, "go together"),
        (ArmParams, {"mode": "delay", "delay": timedelta(minutes=11)}, "from 1ms to 10m"),
        (ArmParams, {"cuda_code": "CUDA_ERROR_UNKNOW"}, "did you mean CUDA_ERROR_UNKNOWN"),
        (ArmParams, {"nvml_code": "zzz"}, "there are NVML_ERROR_UNINITIALIZED"),
        (ArmParams, {"duration": timedelta(0)}, "longer than 0"),
        (ArmParams, {"probability": 0}, "greater than 0"),
        (ArmParams, {"dialect": "bare"}, "Extra inputs"),
        (LineParams, {"mode": "hang"}, "Extra inputs"),
        (InjectParams, {"planes": ["kernel"], "duration": timedelta(seconds=1)}, "shows on neither plane"),
        (InjectParams, {"planes": ["kernel", "cuda"], "nvml_code": "NVML_ERROR_UNKNOWN"}, "plane nvml"),
        (InjectParams, {"planes": ["cuda"], "dialect": "bare"}, "kernel log's line"),
        (InjectParams, {"xid": 63, "planes": ["kernel", "cuda"]}, "does not show in cuda"),
    ],
)
def test_what_would_change_nothing_is_refused(params: Any, options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        params(**({"xid": 79} | options))


def test_a_result_of_its_own_lets_an_xid_show_where_it_usually_does_not() -> None:
    params = InjectParams(xid=63, planes=["kernel", "cuda"], cuda_code="CUDA_ERROR_UNKNOWN")
    assert asked_by(params, params).shown == {"cuda"}
