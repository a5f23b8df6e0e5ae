"""Which faulted calls prove that a fault shows on the target, and which planes an XID can be proven on."""

from typing import Any

import pytest
from pydantic import ValidationError

from offbus_agent.catalogue.plane import Plane
from offbus_steps.agents.live_faults import pod_of
from offbus_steps.inject.planes import usual_planes
from offbus_steps.inject.step_types import INJECT_FAULT

PODS = {"uid-1": "worker-1"}
CALL = {
    "plane": "cuda",
    "function": "cuMemAlloc_v2",
    "pid": 7,
    "host_pid": 4711,
    "pod_uid": "uid-1",
    "gpu": "GPU-1",
}


@pytest.mark.parametrize(
    ("change", "pod"),
    [
        ({}, "worker-1"),
        ({"host_pid": None}, None),
        ({"pod_uid": None}, None),
        ({"pod_uid": "uid-2"}, None),
        ({"host_pid": None, "pod_uid": None}, None),
    ],
    ids=["seen in the pod", "never seen", "in no pod", "in another pod", "nothing is known"],
)
def test_a_call_proves_only_for_a_process_found_in_a_pod_of_the_target(
    change: dict[str, Any], pod: str | None
) -> None:
    assert pod_of({**CALL, **change}, PODS) == pod


@pytest.mark.parametrize(
    ("xid", "planes"),
    [
        (79, "kernel cuda nvml"),
        (94, "kernel cuda"),
        (43, "kernel cuda"),
        (31, "kernel cuda"),
        (13, "kernel cuda"),
        (63, "kernel"),
    ],
    ids=str,
)
def test_the_default_planes_are_the_catalogues(xid: int, planes: str) -> None:
    assert usual_planes(xid) == tuple(Plane(name) for name in planes.split())


@pytest.mark.parametrize(
    ("xid", "planes", "words"),
    [
        (
            94,
            ["kernel", "cuda", "nvml"],
            r"XID 94 \(.*\) does not show in nvml.*planes of XID 94: kernel, cuda",
        ),
        (63, ["cuda", "nvml"], r"XID 63 \(.*\) does not show in cuda and nvml.*planes of XID 63: kernel"),
    ],
    ids=["one plane", "two planes"],
)
def test_a_plane_that_cannot_show_is_refused_before_anything_is_done(
    xid: int, planes: list[str], words: str
) -> None:
    with pytest.raises(ValidationError, match=words):
        INJECT_FAULT.params(xid=xid, planes=planes)


@pytest.mark.parametrize("planes", [["nvml"], ["kernel", "cuda", "nvml"]], ids=str)
def test_a_plane_that_shows_when_asked_for_is_let_through(planes: list[str]) -> None:
    """XID 48: NVML works on real hardware, and has a code for those who ask."""
    assert INJECT_FAULT.params(xid=48, planes=planes).planes == planes
