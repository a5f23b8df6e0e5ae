"""What `deploy` made is deleted while it has the run's label; without it, it is left and told, unless it is another."""

import json
from functools import partial
from pathlib import Path

import pytest

from offbus.errors import StepError
from offbus.undo import UndoResult
from offbus_steps.deploy.step_types import DEPLOY
from offbus_steps.deploy.undo_delete import DeleteObject
from offbus_steps.port import NotFound, Object, Ref
from offbus_steps.residue.fingerprint import RUN_LABEL
from tests.kits.steps.bench import Bench
from tests.kits.steps.timed_port import TimedPort, deployment, put, timed_bench
from tests.kits.virtual_time import in_virtual_time, meanwhile

RUN = "testrun1"
KINDS = {
    "ConfigMap": "v1",
    "Service": "v1",
    "PodDisruptionBudget": "policy/v1",
    "Deployment": "apps/v1",
}

MADE = ("ConfigMap", "Deployment")
"""What the manifest has."""


def an(kind: str, labels: dict[str, str]) -> Object:
    if kind == "Deployment":
        return deployment("web", 0, labels)
    meta = {"name": "web", "namespace": "drill", "labels": labels}
    return {"apiVersion": KINDS[kind], "kind": kind, "metadata": meta, "spec": {}}


async def undone(folder: Path, kind: str, labels: dict[str, str], uid: str | None) -> tuple[UndoResult, bool]:
    """The result, and whether the object is still there. `uid`: what is recorded, "its" for that of the object."""
    async with timed_bench(folder, an(kind, labels)) as (one, port):
        ref = Ref(kind, "web", "drill")
        known = port.store.get(ref)["metadata"]["uid"] if uid == "its" else uid
        more = {} if known is None else {"uid": known}
        result = await one.undo(DeleteObject(kind=kind, name="web", namespace="drill", **more))
        try:
            port.store.get(ref)
        except NotFound:
            return result, False
        return result, True


@pytest.mark.guarantee("G3")
@pytest.mark.parametrize("uid", [None, "its"])
@pytest.mark.parametrize("labels", [{}, {RUN_LABEL: "otherrun"}], ids=["taken off", "another run's"])
@pytest.mark.parametrize("kind", KINDS)
@in_virtual_time
async def test_what_has_lost_the_runs_label_is_left_and_told(
    tmp_path: Path, kind: str, labels: dict[str, str], uid: str | None
) -> None:
    result, there = await undone(tmp_path, kind, labels, uid)
    assert (result.result, there) == ("conflict", True)
    assert RUN_LABEL in result.detail


@pytest.mark.guarantee("G3")
@in_virtual_time
async def test_another_object_that_was_made_since_is_none_of_the_runs(tmp_path: Path) -> None:
    result, there = await undone(tmp_path, "Service", {}, "the uid of the run's own")
    assert (result.result, there) == ("nothing", True)


@pytest.mark.parametrize("uid", [None, "its", "the uid of one that was replaced"])
@in_virtual_time
async def test_what_has_the_runs_label_is_deleted(tmp_path: Path, uid: str | None) -> None:
    result, there = await undone(tmp_path, "Service", {RUN_LABEL: RUN}, uid)
    assert (result.result, there) == ("restored", False)


def rolled_out(port: TimedPort) -> None:
    ref = Ref("Deployment", "web", "drill")
    port.store.set_status(ref, {**deployment("web", 0)["status"], "observedGeneration": 1})


async def deployed(one: Bench, port: TimedPort, folder: Path) -> None:
    (folder / "target.json").write_text("\n---\n".join(json.dumps(an(kind, {})) for kind in MADE))
    async with meanwhile((1.0, partial(rolled_out, port))):
        await one.run(DEPLOY, manifest="target.json", port=80)


@in_virtual_time
async def test_a_deploy_records_what_it_made_by_its_uid(tmp_path: Path) -> None:
    async with timed_bench(tmp_path) as (one, port):
        await deployed(one, port, tmp_path)
        made = [record for record in one.undos if isinstance(record, DeleteObject)]
        assert [record.kind for record in made] == ["Namespace", "ConfigMap", "Deployment"]
        for record in made:
            found = port.store.get(Ref(record.kind, record.name, record.namespace))
            assert record.uid == found["metadata"]["uid"]


@in_virtual_time
async def test_an_editor_who_takes_the_labels_off_gets_them_told(tmp_path: Path) -> None:
    async with timed_bench(tmp_path) as (one, port):
        await deployed(one, port, tmp_path)
        ref = Ref("ConfigMap", "web", "drill")
        port.store.patch(ref, {"metadata": {"labels": {RUN_LABEL: None}}})
        undos = {record.kind: record for record in one.undos if isinstance(record, DeleteObject)}
        assert [(await one.undo(undos[kind])).result for kind in MADE] == ["conflict", "restored"]


@in_virtual_time
async def test_what_somebody_else_made_first_is_not_the_runs(tmp_path: Path) -> None:
    async with timed_bench(tmp_path) as (one, port):
        create = port.objects.create

        async def after_theirs(obj: Object, *, dry_run: bool = False) -> Object:
            if obj["kind"] == "ConfigMap":
                put(port.store, an("ConfigMap", {}))
            return await create(obj, dry_run=dry_run)

        port.objects.create = after_theirs  # type: ignore[method-assign, assignment]  # what a race does
        (tmp_path / "target.json").write_text("\n---\n".join(json.dumps(an(kind, {})) for kind in MADE))
        with pytest.raises(StepError, match="exists already"):
            await one.run(DEPLOY, manifest="target.json", port=80)
        result = await one.undo(
            next(record for record in one.undos if record.describe().endswith("drill/web"))
        )
        assert result.result == "nothing"
        assert port.store.get(Ref("ConfigMap", "web", "drill"))
