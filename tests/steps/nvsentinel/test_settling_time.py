"""How long a node is watched after the undo, by what is deployed."""

from pathlib import Path
from typing import Any

import pytest

from offbus_steps.nvsentinel.containers import STANDIN_PROFILE
from offbus_steps.nvsentinel.settling import settling_time
from offbus_steps.port import Forbidden, Object
from tests.kits.steps.timed_port import TimedPort, put
from tests.kits.virtual_time import in_virtual_time


def deployment(name: str, container: str, *words: str, replicas: int = 1) -> Object:
    labels = {"app": name}
    pod = {"containers": [{"name": container, "command": list(words)}]}
    template = {"metadata": {"labels": labels}, "spec": pod}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "nvsentinel"},
        "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template},
    }


def profile(told: Any) -> Object:
    metadata = {"name": STANDIN_PROFILE.name, "namespace": STANDIN_PROFILE.namespace}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"longest_way_s": told}}


NVSENTINEL = deployment("fault-quarantine", "fault-quarantine")
STANDIN = deployment("standin", "controller", "offbus_sandbox.responder", "controller")


@pytest.mark.timer("steps/offbus_steps/nvsentinel/settling.py")
@pytest.mark.parametrize(
    ("objects", "seconds"),
    [
        pytest.param([], 0, id="no responder"),
        pytest.param([NVSENTINEL], 69, id="NVSentinel"),
        pytest.param([NVSENTINEL, profile("1")], 69, id="NVSentinel, and a stand-in that was there before"),
        pytest.param(
            [deployment("f", "fault-quarantine", replicas=0), profile("2")], 3, id="NVSentinel is off"
        ),
        pytest.param([STANDIN, profile("2")], 3, id="the stand-in"),
        pytest.param([profile("0.4")], 0.6, id="the stand-in of a sandbox"),
        pytest.param([profile("0")], 0, id="at once"),
        *(
            pytest.param([profile(told)], 69, id=f"not a time: {told!r}"[:40])
            for told in ("soon", "", "-1", "nan", "inf", "1e9", "9" * 5000)
        ),
    ],
)
@in_virtual_time
async def test_a_node_is_watched_as_long_as_what_is_deployed_may_take(
    tmp_path: Path, objects: list[Object], seconds: float
) -> None:
    port = TimedPort(tmp_path)
    for one in objects:
        put(port.store, one)
    assert (await settling_time(port.objects, answered=False)).total_seconds() == pytest.approx(seconds)
    port.store.close()


@in_virtual_time
async def test_what_may_not_be_read_counts_as_nvsentinel(tmp_path: Path) -> None:
    port = TimedPort(tmp_path)
    port.objects.refusals["list Deployment"] = Forbidden("no")
    assert (await settling_time(port.objects, answered=False)).total_seconds() == 69
    port.store.close()


@in_virtual_time
async def test_a_responder_that_answered_and_is_not_known_counts_as_nvsentinel(tmp_path: Path) -> None:
    port = TimedPort(tmp_path)
    assert (await settling_time(port.objects, answered=True)).total_seconds() == 69
    port.store.close()
