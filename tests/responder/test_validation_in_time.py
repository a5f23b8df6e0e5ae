"""The stand-in's validation of a repaired node, on virtual time: who keeps the cordon, and until when."""

from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest

from offbus_sandbox.responder.config import Breaker, ResponderConfig
from offbus_steps.nvsentinel import names
from offbus_steps.port import Object, Ref
from tests.kits.responder.health_events import fault
from tests.kits.steps.timed_port import TimedPort, pod
from tests.kits.virtual_time import in_virtual_time, meanwhile
from tests.responder.test_responder_in_time import FATAL, HEALTHY, NODE, responding, tell

TOOK_S = 480
HEALED_AT = 100


def config(**settings: Any) -> ResponderConfig:
    return ResponderConfig(
        profile="v1.33",
        circuit_breaker=Breaker(),
        validation={"enabled": True, **settings},
        uncordon_delay_s=0,
    )


def requests(port: TimedPort) -> list[Object]:
    return port.store.list(names.VALIDATION_KIND).items


def state(port: TimedPort) -> tuple[bool, str | None]:
    """Whether the node is cordoned, and what its validation is said to be."""
    node = port.store.get(NODE)
    label = (node["metadata"].get("labels") or {}).get(names.VALIDATION_STATE)
    return bool(node["spec"].get("unschedulable")), label


@pytest.mark.timer("sandbox/offbus_sandbox/responder/controller/validation.py")
@in_virtual_time
async def test_a_repaired_node_is_uncordoned_when_its_validation_has_succeeded(tmp_path: Path) -> None:
    async with responding(tmp_path, config()) as port:
        async with meanwhile((0, partial(tell, port, FATAL)), (HEALED_AT, partial(tell, port, HEALTHY))):
            await anyio.sleep(HEALED_AT - 1)
            assert requests(port) == []
            noted = port.store.get(NODE)["metadata"]["annotations"][names.VALIDATION_EVENTS]
            assert '"tests":["dcgm-diag-test"]' in noted
            await anyio.sleep(TOOK_S)
            (request,) = requests(port)
            assert request["apiVersion"] == "nvsentinel.nvidia.com/v1alpha1"
            assert request["metadata"]["name"].startswith("node-1-validation-")
            assert request["spec"] == {"nodes": [{"name": "node-1"}], "tests": ["dcgm-diag-test"]}
            assert request["status"]["phase"] == "Running"
            meta = port.store.get(NODE)["metadata"]
            assert state(port) == (True, "validating")
            assert meta["annotations"].keys() == {names.VALIDATION_SESSION, names.ACTIVE_VALIDATION}
            assert not {names.STATE_LABEL, names.CORDON_BY, names.UNCORDON_BY} & meta["labels"].keys()
            await anyio.sleep(2)
        assert state(port) == (False, None)
        meta = port.store.get(NODE)["metadata"]
        assert not meta.get("annotations")
        assert meta["labels"][names.UNCORDON_REASON] == "ValidationSucceeded"
        assert requests(port)[0]["status"]["phase"] == "Succeeded"


@in_virtual_time
async def test_a_node_whose_validation_failed_stays_cordoned_until_it_is_withdrawn(tmp_path: Path) -> None:
    async with responding(tmp_path, config(result="Failed")) as port:
        async with meanwhile((0, partial(tell, port, FATAL)), (HEALED_AT, partial(tell, port, HEALTHY))):
            await anyio.sleep(2000)
        assert state(port) == (True, "validation-failed")
        (request,) = requests(port)
        assert request["status"]["phase"] == "Failed"
        port.store.delete(Ref.of({**request, "kind": names.VALIDATION_KIND}))
        await anyio.sleep(1)
        assert (requests(port), state(port)) == ([], (False, None))


@in_virtual_time
async def test_one_that_is_withdrawn_while_it_runs_releases_the_node(tmp_path: Path) -> None:
    async with responding(tmp_path, config()) as port:
        async with meanwhile((0, partial(tell, port, FATAL)), (HEALED_AT, partial(tell, port, HEALTHY))):
            await anyio.sleep(HEALED_AT + 60)
        (request,) = requests(port)
        port.store.delete(Ref.of({**request, "kind": names.VALIDATION_KIND}))
        await anyio.sleep(1)
        assert (requests(port), state(port)) == ([], (False, None))


@pytest.mark.parametrize(
    ("event", "pods", "cordoned"),
    [
        pytest.param(fault("119", "COMPONENT_RESET"), [], False, id="no rule asks for tests"),
        pytest.param(FATAL, [pod("web-1", "web", "node-1")], False, id="never drained"),
        pytest.param(FATAL, [], True, id="somebody's cordon from before"),
    ],
)
@in_virtual_time
async def test_what_is_not_validated(tmp_path: Path, event: Any, pods: list[Object], cordoned: bool) -> None:
    async with responding(tmp_path, config(), *pods) as port:
        port.store.patch(NODE, {"spec": {"unschedulable": cordoned or None}})
        async with meanwhile((0, partial(tell, port, event)), (HEALED_AT, partial(tell, port, HEALTHY))):
            await anyio.sleep(HEALED_AT + 1)
        assert requests(port) == []
        assert state(port) == (cordoned, None)
        assert not port.store.get(NODE)["metadata"].get("annotations")


@in_virtual_time
async def test_a_quarantine_that_is_cancelled_asks_for_none(tmp_path: Path) -> None:
    async with responding(tmp_path, config()) as port:
        async with meanwhile(
            (0, partial(tell, port, FATAL)),
            (HEALED_AT, partial(port.store.patch, NODE, {"spec": {"unschedulable": None}})),
        ):
            await anyio.sleep(1000)
        assert requests(port) == []
        assert port.store.get(NODE)["metadata"]["annotations"] == {names.MANUALLY_UNCORDONED: "True"}


@pytest.mark.parametrize("profile", ["fast", "main-2026-08", "v1.8"])
def test_a_release_without_the_stage_refuses_it(profile: str) -> None:
    with pytest.raises(ValueError, match=f"{profile} does not validate; use profile v1.33"):
        ResponderConfig.model_validate({"profile": profile, "validation": {"enabled": True}})
