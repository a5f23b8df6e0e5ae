"""A malformed object of a kind that is watched costs its maker's object its place, not the drill its eyes.

A schema may let it through: NVIDIA's for graphs requires no `spec`. Whoever may create one beside a target must not
thereby end the watch that guards and undos go by.
"""

from pathlib import Path
from typing import Any

import anyio
import pytest

from offbus.errors import StepError
from offbus_steps.inject.maintenance import maintenance_of
from offbus_steps.nvsentinel import names
from offbus_steps.port import Forbidden, Object, Ref
from offbus_steps.watch.projections import WorkloadProjection, project
from offbus_steps.watch.scope import MOST_UNREAD, Scope
from tests.kits.steps.bench import Bench
from tests.kits.steps.responder_marks import repair
from tests.kits.steps.timed_port import put, timed_bench
from tests.kits.virtual_time import in_virtual_time

GRAPH, GROUPS = "nvidia.com/v1alpha1", "leaderworkerset.x-k8s.io/v1"


def made(kind: str, version: str, name: str = "bad", **fields: Any) -> Object:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": "default"}, **fields}


def graph(name: str = "bad", **fields: Any) -> Object:
    return made("DynamoGraphDeployment", GRAPH, name, **fields)


def groups(name: str = "bad", **fields: Any) -> Object:
    return made("LeaderWorkerSet", GROUPS, name, **fields)


def validation(id: str, **spec: Any) -> Object:  # noqa: A002
    kind, version = names.VALIDATION_KIND, "nvsentinel.nvidia.com/v1alpha1"
    return {**repair(id, kind=kind), "apiVersion": version, "spec": spec}


def service(**fields: Any) -> Object:
    return graph(spec={"services": {"a": fields}})


SHAPES: dict[str, Object] = {
    "graph: services is a list": graph(spec={"services": [1]}),
    "graph: spec is a list": graph(spec=[1]),
    "graph: no service": graph(spec={"services": {"a": None}}),
    "graph: replicas": service(replicas="x"),
    "graph: nodes": service(multinode={"nodeCount": "x"}),
    "graph: resources": service(resources=["1"]),
    "graph: conditions": graph(spec={}, status={"conditions": [5]}),
    "graph: components": graph(spec={"components": [1]}),
    "groups: no spec": groups(),
    "groups: no template": groups(spec={"replicas": 1}),
    "groups: size": groups(spec={"leaderWorkerTemplate": {"size": "x", "workerTemplate": {"spec": {}}}}),
    "reboot: status is a list": {**repair("bad"), "status": [1]},
}
"""What servers without a schema, or with a wide one, may serve; a sandbox serves none of them."""
SERVED: dict[str, Object] = {
    "reboot: conditions": {**repair("bad"), "status": {"conditions": "x"}},
    "reboot: selector": repair("bad", selector=5),
    "reset: selector": repair("bad", kind="GPUReset", selector={"uuids": 5}),
    "validation: nodes": validation("bad", nodes=[5]),
}


def told(one: Bench, ref: Ref) -> list[str]:
    return [
        event["to"]
        for event in one.events("observed")
        if (event["lane"], event["subject"]) == ("watch", str(ref))
    ]


def good_of(kind: str) -> Object:
    """One of the kind that can be read, made after the bad one."""
    if kind == names.VALIDATION_KIND:
        return validation("good", nodes=[{"name": "node-1"}])
    return repair("good", kind=kind)


@pytest.mark.parametrize("bad", SHAPES.values(), ids=SHAPES)
@in_virtual_time
async def test_whatever_shape_it_has_nothing_is_kept_of_it_and_that_is_told_once(bad: Object) -> None:
    scope = Scope(bad["kind"], "default", project)
    told: list[str] = []
    for _ in range(2):
        assert scope.read(bad, lambda what, _why: told.append(what)) is None
    assert told == [str(Ref.of(bad))]


@in_virtual_time
async def test_a_flood_of_them_is_told_to_a_bound() -> None:
    scope = Scope("LeaderWorkerSet", "default", project)
    told: list[tuple[str, str]] = []
    for number in range(100):
        bad = groups(f"bad-{number}", spec={"leaderWorkerTemplate": {"size": "x" * 2000}})
        scope.read(bad, lambda what, why: told.append((what, why)))
    assert [what for what, _ in told[-2:]] == [
        "LeaderWorkerSet/default/bad-15",
        "more LeaderWorkerSet objects in default",
    ]
    assert len(told) == MOST_UNREAD + 1
    assert max(len(why) for _, why in told) <= 200


@pytest.mark.parametrize("first", [True, False], ids=["listed", "watched"])
@pytest.mark.parametrize("bad", SERVED.values(), ids=SERVED)
@in_virtual_time
async def test_it_is_passed_over_and_told_once(tmp_path: Path, bad: Object, first: bool) -> None:
    ref, good = Ref.of(bad), good_of(bad["kind"])
    async with timed_bench(tmp_path, *([bad] if first else [])) as (one, port):
        with anyio.fail_after(60):
            await one.cluster.observer.watch(ref.kind, ref.namespace)
        if not first:
            put(port.store, bad)
        port.store.patch(ref, {"metadata": {"labels": {"again": "1"}}})
        put(port.store, good)
        with anyio.fail_after(60):
            await one.cluster.log.until(lambda world: world.projections.get(Ref.of(good)))
        assert ref not in one.cluster.log.world.projections
        [said] = told(one, ref)
        assert said.startswith("cannot be read, so it is passed over: ")
        assert await one.cluster.missed_changes() is None
        assert one.aborted == []


def test_a_graph_without_a_spec_is_one_without_components() -> None:
    found = project({**graph(), "metadata": {**graph()["metadata"], "uid": "u"}})
    assert isinstance(found, WorkloadProjection)
    assert found.desired == 0


@in_virtual_time
async def test_one_that_can_no_longer_be_read_is_not_known_as_it_was(tmp_path: Path) -> None:
    """Else an undo could take it for rolled out, and its deletion would go unseen."""
    ref = Ref.of(repair("good"))
    async with timed_bench(tmp_path, repair("good")) as (one, port):
        await one.cluster.observer.watch(ref.kind)
        assert ref in one.cluster.log.world.projections
        port.store.patch(ref, {"spec": {"selector": 5}})
        with anyio.fail_after(60):
            await one.cluster.log.until(lambda world: ref not in world.projections or None)
        port.store.patch(ref, {"spec": {"selector": None}})
        with anyio.fail_after(60):
            await one.cluster.log.until(lambda world: world.projections.get(ref))
        assert one.aborted == []


@in_virtual_time
async def test_an_undo_that_lists_repairs_passes_it_over(tmp_path: Path) -> None:
    async with timed_bench(tmp_path, SERVED["reboot: selector"], repair("good")) as (one, _):
        assert await maintenance_of(one.cluster, "node-1") == ["RebootNode/maintenance-node-1-good"]


@in_virtual_time
async def test_who_waits_for_a_watch_that_ended_is_told(tmp_path: Path) -> None:
    """Not left to wait for what is never listed."""
    async with timed_bench(tmp_path) as (one, port):
        port.objects.refusals["list Pod"] = Forbidden("pods is forbidden")
        for _ in range(2):  # also who asks later
            with pytest.raises(StepError, match="pods is forbidden"), anyio.fail_after(60):
                await one.cluster.observer.watch("Pod", "default")
