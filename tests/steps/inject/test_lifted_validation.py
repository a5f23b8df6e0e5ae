"""The undo of a fault whose node waits for a validation, on virtual time: somebody releases it, or nobody does."""

from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest

from offbus.undo import UndoResult
from offbus_sandbox.store.history import Change
from offbus_steps.inject.undo_consequences import ClearConsequences
from offbus_steps.nvsentinel import names
from offbus_steps.port import Ref
from tests.kits.steps.timed_port import TimedPort, node, timed_bench
from tests.kits.virtual_time import in_virtual_time, meanwhile
from tests.steps.inject.test_consequences_in_time import CAUSE, NODE, PATIENCE_S, agent

REQUEST = Ref(names.VALIDATION_KIND, "node-1-validation-0123456789ab")
OTHER = Ref(names.VALIDATION_KIND, "other")
CLEARED = {"type": names.XID_CHECK, "status": "False", "reason": f"{names.XID_CHECK}{names.HEALTHY_SUFFIX}"}


def asked_for(port: TimedPort, ref: Ref, phase: str, *nodes: str, held: bool = True) -> None:
    metadata = {"name": ref.name, **({"finalizers": [names.VALIDATION_FINALIZER]} if held else {})}
    spec = {"nodes": [{"name": one} for one in nodes]}
    made = {
        "apiVersion": "nvsentinel.nvidia.com/v1alpha1",
        "kind": ref.kind,
        "metadata": metadata,
        "spec": spec,
    }
    port.store.create(made)
    if phase:
        port.store.patch(ref, {"status": {"phase": phase}}, status=True)


def waiting(port: TimedPort, phase: str, *, held: bool = True) -> None:
    """A node that was repaired, left to a validation, which stands in its session once somebody has taken it."""
    asked_for(port, REQUEST, phase, "node-1", held=held)
    session = {names.VALIDATION_SESSION: f'[{{"name":"{REQUEST.name}"}}]'} if held else {}
    port.store.patch(NODE, {"metadata": {"annotations": session}, "spec": {"unschedulable": True}})
    port.store.patch(NODE, {"status": {"conditions": [CLEARED]}}, status=True)


def lifecycle_manager(port: TimedPort) -> None:
    """Releases the node of a request that is deleted."""

    def look(change: Change) -> None:
        meta = change.object["metadata"]
        if (
            change.object["kind"] == names.VALIDATION_KIND
            and meta.get("deletionTimestamp")
            and meta.get("finalizers")
        ):
            port.store.patch(
                NODE,
                {
                    "metadata": {
                        "annotations": {names.VALIDATION_SESSION: None},
                        "labels": {names.UNCORDON_BY: "NVSentinel"},
                    },
                    "spec": {"unschedulable": None},
                },
            )
            port.store.patch(REQUEST, {"metadata": {"finalizers": []}})

    port.store.listen(look)


async def undone(
    folder: Path, before: Any, *script: tuple[float, Any], maintenance: tuple[str, ...] = ()
) -> tuple[UndoResult, float, TimedPort]:
    """The undo, after `before` has played the responder; what it said, when, and the cluster afterwards."""
    async with timed_bench(folder, node("node-1")) as (one, port):
        port.agents.answer = agent(clears=True)
        undo = ClearConsequences.before(
            port.store.get(NODE),
            fault="f",
            cause=CAUSE,
            expected=False,
            patience=timedelta(seconds=PATIENCE_S),
            maintenance=maintenance,
        )
        before(port)
        async with meanwhile(*((at, partial(act, port)) for at, act in script)):
            return await one.undo(undo, within_s=600), anyio.current_time(), port


def is_as_before(port: TimedPort) -> bool:
    found = port.store.get(NODE)
    meta = found["metadata"]
    return not (found["spec"].get("unschedulable") or meta.get("labels") or meta.get("annotations"))


def succeeds(port: TimedPort) -> None:
    port.store.patch(REQUEST, {"status": {"phase": "Succeeded"}}, status=True)
    port.store.patch(
        NODE, {"metadata": {"annotations": {names.VALIDATION_SESSION: None}}, "spec": {"unschedulable": None}}
    )


@pytest.mark.timer("steps/offbus_steps/inject/lift_validation.py")
@pytest.mark.parametrize(
    ("phase", "script", "at", "how", "stage"),
    [
        (
            "Running",
            [],
            PATIENCE_S,
            "the responder released the node when its validation was withdrawn",
            "validating",
        ),
        (
            "Pending",
            [],
            PATIENCE_S,
            "the responder released the node when its validation was withdrawn",
            "validating",
        ),
        ("Running", [(12.0, succeeds)], 12.0, "the responder lifted its quarantine", "validating"),
        (
            "Failed",
            [],
            0.0,
            "the responder released the node when its validation was withdrawn",
            "validation failed",
        ),
    ],
    ids=["running", "pending", "succeeds meanwhile", "failed"],
)
@in_virtual_time
async def test_a_validation_is_waited_for_and_then_withdrawn(
    tmp_path: Path, phase: str, script: list[Any], at: float, how: str, stage: str
) -> None:
    def before(port: TimedPort) -> None:
        waiting(port, phase)
        lifecycle_manager(port)

    said, ended, port = await undone(tmp_path, before, *script)
    assert (said.result, said.detail, said.evidence.get("stage"), ended) == ("restored", how, stage, at)
    assert port.store.find(REQUEST) is None
    assert is_as_before(port)


@in_virtual_time
async def test_one_that_nobody_has_taken_yet_takes_its_cordon_with_it(tmp_path: Path) -> None:
    said, _, port = await undone(tmp_path, partial(waiting, phase="", held=False))
    assert (said.result, port.store.find(REQUEST)) == ("restored", None)
    assert is_as_before(port)


@pytest.mark.timer("steps/offbus_steps/inject/lift_validation.py")
@in_virtual_time
async def test_a_validation_that_nobody_releases_is_told(tmp_path: Path) -> None:
    said, ended, port = await undone(tmp_path, partial(waiting, phase="Running"))
    assert (said.result, ended) == ("conflict", 2 * PATIENCE_S)
    assert f"{REQUEST} is still there within 30 s after it was withdrawn" in said.detail
    assert f"kubectl patch validationrequest {REQUEST.name} --type=merge" in said.detail
    assert "kubectl uncordon node-1" in said.detail
    assert port.store.get(NODE)["spec"]["unschedulable"] is True


@pytest.mark.parametrize("of", [("node-1", "node-2"), ("node-2",)])
@in_virtual_time
async def test_a_validation_of_other_nodes_too_is_left_alone(tmp_path: Path, of: tuple[str, ...]) -> None:
    def before(port: TimedPort) -> None:
        asked_for(port, OTHER, "Running", *of)

    said, _, port = await undone(tmp_path, before)
    assert said.result == "nothing"
    assert port.store.get(OTHER)["status"] == {"phase": "Running"}


@in_virtual_time
async def test_a_validation_from_before_the_fault_is_left_alone(tmp_path: Path) -> None:
    said, _, port = await undone(tmp_path, partial(waiting, phase="Running"), maintenance=(str(REQUEST),))
    assert port.store.get(REQUEST)["status"] == {"phase": "Running"}
    assert said.result == "nothing"
