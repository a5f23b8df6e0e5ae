"""What strangers' pods do where this run injected nothing is none of its residue; on a fault's node it may be."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offbus.runner.fingerprint_diff import differences
from offbus_steps.agents.fault_model import Fault
from offbus_steps.inject.undo_disarm import DisarmFault
from offbus_steps.port import Ref
from offbus_steps.prepare.undo_fields import RestoreFields
from offbus_steps.residue.others_objects import Touched, change_of_pods
from offbus_steps.residue.pod_items import NODES, ON, PODS, PodItems
from offbus_steps.watch.event_log import Observations
from offbus_steps.watch.node_history import NodeHistory
from offbus_steps.watch.projections import PodProjection, project
from offbus_steps.workloads.target import Target
from tests.kits.steps.bench import bench_on
from tests.kits.steps.others_pods import a_pod, deletes, of, patches, told
from tests.kits.steps.timed_port import TimedPort, deployment, node, pod, put
from tests.kits.virtual_time import VirtualClock, in_virtual_time

TARGET = Target(kind="Deployment", name="web", namespace="drill", port=80, selector={"app": "web"})
RESTORE = RestoreFields(kind="Deployment", name="web", namespace="drill", uid="1", fields=(), rollout=TARGET)
ELSEWHERE = {
    "a pod that nobody owns is deleted": deletes(Ref("Pod", "lone", "team")),
    "one has ended": patches(Ref("Pod", "lone", "team"), {"status": {"phase": "Succeeded"}}),
    "one is not ready any more": patches(Ref("Pod", "lone", "team"), {"status": {"conditions": []}}),
    "one beside the target is deleted": deletes(Ref("Pod", "lone", "drill")),
    "a Job's pod has ended": patches(Ref("Pod", "train-x", "team"), {"status": {"phase": "Failed"}}),
    "a Deployment misses one": deletes(Ref("Pod", "api-1-b", "team")),
    "a node leaves, with a DaemonSet's pod": deletes(
        Ref("Node", "node-2"), Ref("Pod", "proxy-2", "kube-system")
    ),
    "the pod of a DaemonSet fails": patches(
        Ref("Pod", "proxy-2", "kube-system"), {"status": {"conditions": []}}
    ),
}
"""What happens to pods on nodes without a fault."""
ON_THE_NODE = {
    **ELSEWHERE,
    "the pod of a DaemonSet is gone": deletes(Ref("Pod", "proxy-1", "kube-system")),
    "one fails there, and one elsewhere": lambda port: [
        patches(Ref("Pod", f"proxy-{n}", "kube-system"), {"status": {"conditions": []}})(port) for n in (1, 2)
    ],
}
for name in [one for one in ON_THE_NODE if "DaemonSet" in one and one in ELSEWHERE]:
    del ON_THE_NODE[name]  # it has one on each node: that of the faulted node is where it was


def fault_on(node: str) -> DisarmFault:
    """The record of a fault."""
    made = {"id": "abcd1234-inject-1", "gpus": ["GPU-1"], "xid": 79, "planes": ["kernel"], "holders": {}}
    return DisarmFault(fault=Fault(node=node, mark=0, injected_seq=0, injected_ns=0, **made))


@in_virtual_time
@pytest.mark.parametrize("what", ELSEWHERE)
async def test_what_happens_to_pods_on_nodes_without_a_fault_is_no_residue(tmp_path: Path, what: str) -> None:
    on_it = "DaemonSet" in what
    for number, records in enumerate([(RESTORE, fault_on("node-1" if on_it else "node-2")), (RESTORE,)]):
        folder = tmp_path / str(number)
        folder.mkdir()
        found = await told(folder, ELSEWHERE[what], *records)
        assert [item for item in found if item.startswith(PODS)]
        assert [item for item, why in found.items() if not why] == []


@pytest.mark.guarantee("G3")
@in_virtual_time
@pytest.mark.parametrize("what", ON_THE_NODE)
async def test_what_happens_to_pods_on_the_node_of_a_fault_is_residue(tmp_path: Path, what: str) -> None:
    """A drain may have evicted them, whoever's they are."""
    assert None in (await told(tmp_path, ON_THE_NODE[what], RESTORE, fault_on("node-1"))).values()


def with_uid(obj: dict[str, Any]) -> dict[str, Any]:
    return {**obj, "metadata": {**obj["metadata"], "uid": "u"}}


def test_pods_that_were_seen_on_a_node_or_evicted_are_known_when_they_are_gone() -> None:
    log = Observations()
    history = NodeHistory(log)
    evicted = {"status": {"conditions": [{"type": "DisruptionTarget", "status": "True"}]}}
    there, elsewhere, away = (
        cast(PodProjection, project(with_uid({**pod(name, "x", on), **more})))
        for name, on, more in (("a", "node-1", {}), ("b", "node-2", {}), ("c", "node-2", evicted))
    )
    for one in (there, elsewhere, away):
        log.append(one.ref, one, None, ())
    assert history.pods(["node-1"]) == {there.ref, away.ref}
    assert history.pods([]) == {away.ref}


@in_virtual_time
@pytest.mark.parametrize("was_there", [True, False])
async def test_a_pod_that_was_on_the_node_at_the_injection_alone_counts(
    tmp_path: Path, *, was_there: bool
) -> None:
    """It came after the fingerprint."""
    port = TimedPort(tmp_path)
    for obj in (
        node("node-1"),
        node("node-2"),
        of(deployment("api", 1), "team"),
        a_pod("api-1-a", "team", "Job/api"),
    ):
        put(port.store, obj)
    async with bench_on(port, tmp_path, clock=VirtualClock()) as bench:
        before = await bench.cluster.fingerprint()
        bench.cluster.evictable.update([Ref("Pod", "api-1-b", "team")] if was_there else ())
        deletes(Ref("Pod", "api-1-a", "team"))(port)
        after = await bench.cluster.fingerprint()
        why = bench.cluster.external_change(f"{PODS}Job/team/api", before, after, [fault_on("node-2")])
        assert (why is None) is was_there
    port.store.close()


@in_virtual_time
async def test_a_pod_that_is_elsewhere_now_makes_no_difference(tmp_path: Path) -> None:
    def moves(port: TimedPort) -> None:
        port.store.delete(Ref("Pod", "lone", "team"), grace_seconds=0)
        put(port.store, of(pod("lone", "x", "node-2"), "team"))

    assert await told(tmp_path, moves, RESTORE, fault_on("node-1")) == {}


NODES_AND_PODS = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c", "d"]), st.sampled_from(["Pod", "Job", "DaemonSet"]), st.booleans()
    ),
    min_size=1,
    max_size=12,
)


def counted(pods: Iterable[tuple[str, str, bool]]) -> dict[str, Any]:
    found = PodItems()
    for node_name, kind, ready in pods:
        found.add(f"{kind}/team/x", node_name, ready=ready, preloads=False)
    return found.items()


@pytest.mark.guarantee("G3")
@given(NODES_AND_PODS, st.data())
def test_whatever_happens_to_strangers_pods_where_no_fault_was_is_external(
    there: list[tuple[str, str, bool]], data: st.DataObject
) -> None:
    """And where one was, what it may have evicted stays the run's."""
    fates = st.sampled_from(["stays", "is gone", "fails"])
    after = [
        (node_name, kind, ready and fate == "stays")
        for node_name, kind, ready in there
        if (fate := data.draw(fates)) != "is gone"
    ]
    was, now = counted(there), counted(after)

    def state(pods: list[tuple[str, str, bool]], at: tuple[str, str]) -> int:
        ready = [one[2] for one in pods if one[:2] == at]
        return 1 + all(ready) if ready else 0

    for faulted in "abcdz":
        touched = Touched(frozenset(), nodes=frozenset({faulted}))
        for item in {one for one, _ in differences(was, now)}:
            at = (faulted, item.removeprefix(PODS).partition("/")[0])
            before, left = state(there, at), state(after, at)
            lost = left < before if at[1] == "DaemonSet" else before > 0
            assert (change_of_pods(item, was, now, touched) is None) is lost


@given(NODES_AND_PODS, st.sampled_from(["Pod/team/x", "Job/team/x", "DaemonSet/team/x"]))
def test_pods_of_which_nobody_knows_where_they_were_are_the_runs(
    there: list[tuple[str, str, bool]], owner: str
) -> None:
    """In the fingerprint of an older run; and one that was seen there later is where it was seen."""
    item, now = f"{PODS}{owner}", {"count": 0, "ready": 0, "preload": 0}
    older = {item: {"count": 1, "ready": 1, "preload": 0}}
    assert change_of_pods(item, older, {item: now}, Touched(frozenset())) is None
    for hostile in (
        None,
        7,
        [],
        {"number of()": 7},
        {"number of()": {"a": "x"}},
        {"number of()": {"a": [1]}},
    ):
        record = {item: {**older[item], ON: "0-x"}, NODES: hostile}
        on_it = Touched(frozenset(), nodes=frozenset("a"))
        assert change_of_pods(item, record, {item: now, NODES: {"in order()": []}}, on_it) is None
    was = counted([*there, ("a", owner.partition("/")[0], True)])
    seen = Touched(frozenset(), pods=frozenset({Ref("Pod", "x-1", "team")}))
    assert change_of_pods(item, was, {}, seen) is None
    others = Touched(frozenset(), pods=frozenset({Ref("Pod", "x-1", "drill"), Ref("Pod", "xy", "team")}))
    assert change_of_pods(item, was, {}, others)


def test_where_pods_are_takes_little_of_a_fingerprint() -> None:
    """20,000 pods, each of its own owner; and a DaemonSet on each of 5,000 nodes."""
    found = PodItems()
    for number in range(20_000):
        found.add(
            f"Job/team/batch-{number}", f"ip-10-0-{number % 5000}.ec2.internal", ready=True, preloads=False
        )
        found.add(
            "DaemonSet/kube-system/proxy", f"ip-10-0-{number % 5000}.ec2.internal", ready=True, preloads=False
        )
    items = found.items()
    without = {
        name: {key: one for key, one in value.items() if "()" not in key} for name, value in items.items()
    }
    assert items[f"{PODS}DaemonSet/kube-system/proxy"][ON] == "0-4999"
    more = len(json.dumps(items)) - len(json.dumps(without))
    assert more < 20_000 * 24 + 5_000 * 40
