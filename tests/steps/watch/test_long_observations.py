"""What outsiders write into pods, Events and nodes is observed in short: no update takes much of the journal."""

import json
from typing import Any

import pytest

from offbus_steps.port import Object
from offbus_steps.watch.projections import PodProjection, project
from offbus_steps.watch.transitions import changes
from offbus_steps.workloads import gpus

LONG = "," * 60_000
LARGEST = 8192
"""Bytes of one change in the journal."""


def pod(devices: list[str], *, told: bool = False, reason: str = "", restarts: int = 0) -> Object:
    noted = json.dumps({"devices": {gpus.GPU_RESOURCE: devices}})
    status: dict[str, Any] = {"name": "c", "restartCount": restarts}
    status |= (
        {"state": {"terminated": {"exitCode": 1, "reason": reason}}}
        if restarts
        else {"state": {"running": {}}}
    )
    if told:
        listed = [{"resourceID": one} for one in devices]
        status["allocatedResourcesStatus"] = [{"name": gpus.GPU_RESOURCE, "resources": listed}]
    return {
        "kind": "Pod",
        "metadata": {
            "name": "p", "namespace": "d", "uid": "u",
            "annotations": {} if told else {gpus.DEVICES_ANNOTATION: noted},
        },
        "spec": {"nodeName": "n1", "containers": [{"name": "c"}]},
        "status": {"containerStatuses": [status]},
    }  # fmt: skip


def sizes(was: Object | None, now: Object | None) -> list[int]:
    found = changes(project(was) if was else None, project(now) if now else None)
    return [len(json.dumps([one.was, one.to, dict(one.evidence), one.brief])) for one in found]


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize(
    "devices", [[LONG] * 4, [f"{number}" for number in range(20_000)]], ids=["long", "many"]
)
def test_the_devices_of_a_pod(devices: list[str], *, told: bool) -> None:
    one = pod(devices, told=told)
    projected = project(one)
    assert isinstance(projected, PodProjection)
    assert len(json.dumps(projected.devices)) < LARGEST
    for was, now in ((None, one), (one, None)):
        found = sizes(was, now)
        assert found
        assert max(found) < LARGEST


def test_as_many_devices_as_a_node_has_are_all_seen() -> None:
    sixteen = [f"GPU-{number:036d}" for number in range(16)]
    projected = project(pod([f"{one}::{share}" for one in sixteen for share in range(16)]))
    assert isinstance(projected, PodProjection)
    assert projected.devices == tuple(sixteen)


def test_why_a_container_ended() -> None:
    found = sizes(pod([]), pod([], reason=LONG, restarts=1))
    assert found
    assert max(found) < LARGEST


def test_the_node_of_an_event() -> None:
    event = {
        "kind": "Event",
        "metadata": {"name": "e", "namespace": "default"},
        "type": LONG,
        "reason": f"{LONG}IsNotHealthy",
        "involvedObject": {"kind": "Node", "name": LONG},
        "message": LONG,
        "count": 1,
    }
    found = sizes(None, event)
    assert found
    assert max(found) < LARGEST
