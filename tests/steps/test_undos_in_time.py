"""Undos that wait, on virtual time: for a workload that may be broken, for logs that do not come."""

from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from offbus.masking import Masking
from offbus.open_run import opened
from offbus.runs import RunFolder
from offbus_sandbox.store.history import Change
from offbus_steps.deploy.collect import LARGEST_FILE, collect
from offbus_steps.deploy.redaction import SHORT_PART
from offbus_steps.deploy.undo_collect import WITHIN_S, CollectEvidence
from offbus_steps.port import Object, Ref, WatchType
from offbus_steps.prepare.replace_pods import FIRST_PAUSE_S, LONGEST_PAUSE_S
from offbus_steps.prepare.undo_admission import RemoveAdmission
from offbus_steps.prepare.undo_fields import OWN_ROLLOUT_S, RestoreFields
from offbus_steps.residue.fingerprint import RUN_LABEL
from offbus_steps.workloads.fields import apply, merge_patch, plan
from offbus_steps.workloads.shim_mounts import LIBRARY
from tests.kits.steps.faults import TARGET
from tests.kits.steps.timed_port import TimedObjects, TimedPort, deployment, pod, put, timed_bench
from tests.kits.virtual_time import in_virtual_time, meanwhile

ENV = ("spec", "template", "spec", "containers", ("name", "main"), "env", ("name", "LD_PRELOAD"))


async def restored(
    folder: Path, labels: dict[str, str], rolled_out_at: float = float("inf")
) -> tuple[str, float]:
    """Restore a Deployment whose rollout ends at a time; the result, and when it was there."""
    async with timed_bench(folder, deployment("web", 0, labels)) as (one, port):
        before = port.store.get(TARGET.ref)
        fields = [plan(before, ENV, {"name": "LD_PRELOAD", "value": "/shim.so"})]
        changed = port.store.patch(TARGET.ref, merge_patch(before, apply(before, fields)))
        undo = RestoreFields.of(changed, fields, rollout=TARGET)
        async with meanwhile((rolled_out_at, partial(rolled_out, port))):
            result = await one.undo(undo, within_s=600)
        assert port.store.get(TARGET.ref)["spec"] == before["spec"]
        return result.result, anyio.current_time()


def rolled_out(port: TimedPort) -> None:
    found = port.store.get(TARGET.ref)
    port.store.set_status(
        TARGET.ref, {**found["status"], "observedGeneration": found["metadata"]["generation"]}
    )


@pytest.mark.guarantee("G8")
@pytest.mark.timer("steps/offbus_steps/prepare/undo_fields.py")
@in_virtual_time
async def test_a_rollout_of_the_runs_own_workload_is_waited_for_and_no_longer(tmp_path: Path) -> None:
    assert await restored(tmp_path, {RUN_LABEL: "testrun1"}) == ("restored", OWN_ROLLOUT_S)


@pytest.mark.parametrize("labels", [{RUN_LABEL: "testrun1"}, {}], ids=["own", "others"])
@in_virtual_time
async def test_a_rollout_that_ends_is_waited_for_until_then(tmp_path: Path, labels: dict[str, str]) -> None:
    assert await restored(tmp_path, labels, 55.0) == ("restored", 55.0)


@pytest.mark.timer("steps/offbus_steps/prepare/undo_fields.py")
@in_virtual_time
async def test_a_rollout_of_somebody_elses_workload_is_waited_for_as_long_as_the_undo_may_take(
    tmp_path: Path,
) -> None:
    began = anyio.current_time()
    with pytest.raises(TimeoutError):
        await restored(tmp_path, {})
    assert anyio.current_time() - began == 600


async def unadmitted(
    folder: Path, labels: dict[str, str], gone_at: float = float("inf")
) -> tuple[float, str]:
    """Replace a pod that admission changed, and that is gone at a time; when the undo had ended, and its words."""
    one = pod("web-1", "web", "node-1")
    one["spec"]["containers"][0]["env"] = [{"name": "LD_PRELOAD", "value": LIBRARY}]
    async with timed_bench(folder, deployment("web", 0, labels), one) as (bench, port):
        async with meanwhile((gone_at, partial(port.store.remove, Ref.of(one)))):
            result = await bench.undo(RemoveAdmission(policy="p", target=TARGET), within_s=600)
        assert port.objects.times("delete Pod") == [0.0]
        return anyio.current_time(), result.detail


@pytest.mark.timer("steps/offbus_steps/prepare/undo_admission.py")
@in_virtual_time
async def test_pods_of_the_runs_own_workload_are_waited_for_and_no_longer(tmp_path: Path) -> None:
    ended, detail = await unadmitted(tmp_path, {RUN_LABEL: "testrun1"})
    assert ended == OWN_ROLLOUT_S
    assert "pods were not replaced" in detail


@pytest.mark.parametrize("labels", [{RUN_LABEL: "testrun1"}, {}], ids=["own", "others"])
@in_virtual_time
async def test_pods_that_are_replaced_are_waited_for_until_then(
    tmp_path: Path, labels: dict[str, str]
) -> None:
    assert await unadmitted(tmp_path, labels, 55.0) == (55.0, "admission removed, 1 pods replaced")


@pytest.mark.timer("steps/offbus_steps/prepare/undo_admission.py")
@in_virtual_time
async def test_pods_of_somebody_elses_workload_are_waited_for_as_long_as_the_undo_may_take(
    tmp_path: Path,
) -> None:
    with pytest.raises(TimeoutError):
        await unadmitted(tmp_path, {})
    assert anyio.current_time() == 600


@pytest.mark.guarantee("G8")
@pytest.mark.timer("steps/offbus_steps/deploy/undo_collect.py")
@in_virtual_time
async def test_logs_that_do_not_come_are_left_behind(tmp_path: Path) -> None:
    async with timed_bench(tmp_path, deployment("web", 1), pod("web-1", "web", "node-1")) as (one, _port):
        result = await one.undo(CollectEvidence(target=TARGET, folder=str(tmp_path)))
        assert anyio.current_time() == WITHIN_S
        assert result.evidence["missing"] == [f"no answer within {WITHIN_S:g} s"]


class Telling(TimedObjects):
    """Pods whose logs are all the same."""

    def __init__(self, objects: TimedObjects, log: str) -> None:
        self.__dict__ = objects.__dict__
        self._log = log

    async def logs(
        self, pod: Ref, *, container: str = "", previous: bool = False, tail: int | None = None
    ) -> str:
        return self._log


HOSTILE_LOGS = {
    "queries": "?a=" * 500_000,
    "tokens": "?token=$" * 200_000,
    "many lines": "\n" * 16_000_000,
    "words": "value-0001 " * 150_000,
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("log", HOSTILE_LOGS.values(), ids=HOSTILE_LOGS)
@in_virtual_time
async def test_whatever_a_pod_prints_other_tasks_run_while_it_is_read(tmp_path: Path, log: str) -> None:
    talker = pod("web-1", "web", "node-1")
    keys = [{"name": f"KEY_{number}", "value": f"value-{number:04}"} for number in range(300)]
    talker["spec"]["containers"][0]["env"] = keys
    turns = 0

    async def take_turns() -> None:
        nonlocal turns
        while True:
            await anyio.lowlevel.checkpoint()
            turns += 1

    async with timed_bench(tmp_path, deployment("web", 1), talker) as (one, port):
        port.objects = Telling(port.objects, log)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(take_turns)
            result = await one.undo(CollectEvidence(target=TARGET, folder=str(tmp_path)))
            tasks.cancel_scope.cancel()
    assert result.evidence["missing"] == []
    assert turns >= min(len(log), LARGEST_FILE) / SHORT_PART
    assert (
        "value-0" not in (tmp_path / "collected" / TARGET.namespace / TARGET.name / "web-1.log").read_text()
    )


@pytest.mark.timeout(60)
@in_virtual_time
async def test_a_pod_that_is_too_large_is_not_looked_at_and_its_log_not_written(tmp_path: Path) -> None:
    large = pod("web-1", "web", "node-1")
    large["spec"]["containers"][0]["args"] = ["a"] * 300_000
    async with timed_bench(tmp_path, deployment("web", 1), large, pod("web-2", "web", "node-1")) as (
        one,
        port,
    ):
        port.objects = Telling(port.objects, "hello\n")
        result = await one.undo(CollectEvidence(target=TARGET, folder=str(tmp_path)))
    assert result.evidence["missing"] == ["web-1.yaml: it is too large"]
    assert set(result.evidence["files"]) == {"workload.yaml", "web-2.yaml", "web-2.log", "events.yaml"}


@in_virtual_time
async def test_the_bound_of_the_collection_ends_it_between_any_two_steps(tmp_path: Path) -> None:
    talker = pod("web-1", "web", "node-1")
    async with timed_bench(tmp_path, deployment("web", 1), talker) as (one, port):
        port.objects = Telling(port.objects, HOSTILE_LOGS["queries"])
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(cancel_after_turns, scope, 10)
                await collect(one.cluster, TARGET, tmp_path, Masking())
    assert scope.cancelled_caught
    assert not (tmp_path / "collected" / TARGET.namespace / TARGET.name / "web-1.log").exists()


@in_virtual_time
async def test_evidence_is_written_into_the_folder_that_is_open_and_not_what_replaced_it(
    tmp_path: Path,
) -> None:
    run, other, moved = (tmp_path / name for name in ("run", "other", "moved"))
    run.mkdir()
    other.mkdir()
    async with timed_bench(tmp_path, deployment("web", 1), pod("web-1", "web", "node-1")) as (one, port):
        port.objects = Telling(port.objects, "hello\n")
        with opened(RunFolder(run)):
            run.rename(moved)
            other.rename(run)
            done = await collect(one.cluster, TARGET, run, Masking())
    assert list(run.iterdir()) == []
    written = moved / "collected" / TARGET.namespace / TARGET.name
    assert {path.name for path in written.iterdir()} == set(done.files)
    assert "web-1.yaml" in done.files


async def cancel_after_turns(scope: anyio.CancelScope, turns: int) -> None:
    for _ in range(turns):
        await anyio.lowlevel.checkpoint()
    scope.cancel()


class Recreating:
    """What plays a ReplicaSet: a deleted pod is gone at once and comes back, with the shim for so many times."""

    def __init__(self, port: TimedPort, wrong: int) -> None:
        self._store, self._wrong = port.store, wrong
        self._store.listen(self._look)
        self._next: list[str] = []

    def _look(self, change: Change) -> None:
        leaving = change.type is WatchType.MODIFIED and change.object["metadata"].get("deletionTimestamp")
        if change.object["kind"] == "Pod" and leaving:
            self._next.append(change.object["metadata"]["name"])

    async def run(self) -> None:
        """Look for what was deleted; nothing in the store may be changed while it tells of a change."""
        while True:
            await anyio.sleep(0.001)
            for name in self._next:
                self._store.remove(Ref("Pod", name, "drill"))
                self._wrong -= 1
                put(self._store, shimmed(f"{name}x") if self._wrong > 0 else pod(f"{name}x", "web", "node-1"))
            self._next.clear()


def shimmed(name: str) -> Any:
    one = pod(name, "web", "node-1")
    one["spec"]["containers"][0]["env"] = [{"name": "LD_PRELOAD", "value": LIBRARY}]
    return one


@pytest.mark.timer("steps/offbus_steps/prepare/replace_pods.py")
@in_virtual_time
async def test_pods_that_come_back_wrong_are_given_growing_time(tmp_path: Path) -> None:
    pods = [shimmed("a"), shimmed("b")]
    async with timed_bench(tmp_path, deployment("web", 2), *pods) as (one, port):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(Recreating(port, wrong=9).run)
            await one.undo(RemoveAdmission(policy="p", target=TARGET), within_s=600)
            tasks.cancel_scope.cancel()
        deleted = port.objects.times("delete Pod")
    pauses = [round(after - before) for before, after in pairwise(deleted)]
    assert len(deleted) == 2 + 8
    assert pauses == [FIRST_PAUSE_S, 2, 4, 8, *[LONGEST_PAUSE_S] * 4, 0], (
        "the last is one that was there at first"
    )


@pytest.mark.guarantee("G27")
@pytest.mark.parametrize("at", [0.0, 20.0], ids=["by admission", "by an operator, later"])
@in_virtual_time
async def test_fields_that_somebody_sets_again_are_not_called_restored(tmp_path: Path, at: float) -> None:
    """What was read back at the end counts."""
    async with timed_bench(tmp_path, deployment("web", 0)) as (one, port):
        before = port.store.get(TARGET.ref)
        fields = [plan(before, ENV, {"name": "LD_PRELOAD", "value": LIBRARY})]
        shim = merge_patch(before, apply(before, fields))
        changed = port.store.patch(TARGET.ref, shim)
        patch = port.objects.patch

        async def put_back(ref: Ref, wanted: Any, *, status: bool = False) -> Object:
            await patch(ref, wanted, status=status)
            return port.store.patch(ref, shim)

        if not at:
            port.objects.patch = put_back

        def by_operator() -> None:
            port.store.patch(TARGET.ref, shim)
            rolled_out(port)

        undo = RestoreFields.of(changed, fields, rollout=TARGET if at else None)
        async with meanwhile(*([(at, by_operator)] if at else [])):
            result = await one.undo(undo, within_s=600)
    assert (result.result, result.evidence["restored"]) == ("conflict", [])
    assert "somebody else set" in result.detail
    assert "LD_PRELOAD" in result.detail
