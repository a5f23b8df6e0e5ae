"""Whoever may create, change or delete workloads and pods makes no residue of them; what the run left stays residue."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offbus_steps.deploy.undo_delete import DeleteObject
from offbus_steps.port import Object, Ref
from offbus_steps.prepare.undo_admission import RemoveAdmission
from offbus_steps.prepare.undo_fields import RestoreFields
from offbus_steps.residue.others_objects import PODS, Touched, change_of_pods
from offbus_steps.workloads.dynamo_graph import GRAPH_LABEL
from offbus_steps.workloads.shim_mounts import LIBRARY
from offbus_steps.workloads.target import Target
from tests.kits.steps.others_pods import a_pod, creates, deletes, of, replica_set, told
from tests.kits.steps.timed_port import TimedPort, deployment, put
from tests.kits.virtual_time import in_virtual_time

TARGET = Target(kind="Deployment", name="web", namespace="drill", port=80, selector={"app": "web"})
DELETE = DeleteObject(kind="Deployment", name="made", namespace="drill")
MADE_SPACE = DeleteObject(kind="Namespace", name="drill-abc")
RESTORE = RestoreFields(kind="Deployment", name="web", namespace="drill", uid="1", fields=(), rollout=TARGET)
ADMISSION = RemoveAdmission(policy="offbus-x", target=TARGET)


def scaled_down(port: TimedPort) -> None:
    port.store.patch(Ref("Deployment", "api", "team"), {"spec": {"replicas": 1}})
    port.store.delete(Ref("Pod", "api-1-b", "team"), grace_seconds=0)


def preloads(port: TimedPort) -> None:
    """Somebody else's rollout, with a library of their own."""
    ref = Ref("Deployment", "api", "team")
    container = {"name": "main", "image": "none", "env": [{"name": "LD_PRELOAD", "value": "jemalloc.so"}]}
    port.store.patch(ref, {"spec": {"template": {"spec": {"containers": [container]}}}})
    put(port.store, a_pod("api-2-a", "team", "Deployment/api", "jemalloc.so"))


OTHERS = {
    "a pod elsewhere": creates(a_pod("hello", "team")),
    "a pod beside the target": creates(a_pod("hello", "drill")),
    "a pod that looks prepared, elsewhere": creates(a_pod("hello", "team", preload=LIBRARY)),
    "a pod with a library of its own, beside the target": creates(a_pod("hello", "drill", preload="x.so")),
    "a Job's pod": creates(a_pod("job-x", "team", "Job/job")),
    "a pod that names the target's Deployment, elsewhere": creates(a_pod("y", "team", "Deployment/web")),
    "a pod whose owner is no kind": creates(a_pod("y", "team", "Deployment/drill/web/x")),
    "a workload elsewhere": creates(
        of(deployment("new", 1), "team"), a_pod("new-1", "team", "Deployment/new")
    ),
    "a prepared workload elsewhere": creates(of(deployment("new", 1), "team", preload=LIBRARY)),
    "a workload beside the target": creates(of(deployment("new", 1), "drill")),
    "a workload is gone": deletes(
        Ref("Deployment", "api", "team"),
        Ref("ReplicaSet", "api-1", "team"),
        Ref("Pod", "api-1-a", "team"),
        Ref("Pod", "api-1-b", "team"),
    ),
    "a workload has fewer replicas": scaled_down,
    "a workload preloads a library": preloads,
}
LEFT = {
    "a pod of a Deployment that it made": creates(
        replica_set("made-1", "drill", "Deployment/made"), a_pod("made-1-a", "drill", "ReplicaSet/made-1")
    ),
    "one whose Deployment and ReplicaSet are gone": creates(a_pod("made-1-a", "drill", "ReplicaSet/made-1")),
    "one that has no owner any more": creates(a_pod("made-1-a", "drill")),
    "a pod with the shim beside the target": creates(a_pod("any", "drill", preload=f"{LIBRARY}:x.so")),
    "a pod of the target with the shim": creates(a_pod("web-2-a", "drill", "Deployment/web", LIBRARY)),
    "a pod in a namespace that it made": creates(a_pod("any", "drill-abc")),
    "a workload in a namespace that it made": creates(of(deployment("any", 1), "drill-abc")),
    "the Deployment that it made": creates(of(deployment("made", 1), "drill")),
}


@pytest.mark.guarantee("G3")
@in_virtual_time
@pytest.mark.parametrize("what", OTHERS)
async def test_what_others_do_to_workloads_and_pods_is_told_and_no_residue(tmp_path: Path, what: str) -> None:
    for number, records in enumerate([(RESTORE, DELETE, MADE_SPACE), (ADMISSION,), (RESTORE,)]):
        folder = tmp_path / str(number)
        folder.mkdir()
        found = await told(folder, OTHERS[what], *records)
        assert found
        assert [item for item, why in found.items() if not why] == []


@pytest.mark.guarantee("G3")
@in_virtual_time
@pytest.mark.parametrize("what", LEFT)
async def test_what_the_run_left_is_residue(tmp_path: Path, what: str) -> None:
    found = await told(tmp_path, LEFT[what], DELETE, RESTORE, MADE_SPACE)
    assert None in found.values(), found


@in_virtual_time
async def test_a_pod_with_the_shim_that_admission_left_is_residue(tmp_path: Path) -> None:
    """Also of somebody else's controller: its labels are the target's."""
    left = creates(a_pod("any", "drill", "Job/any", LIBRARY))
    assert await told(tmp_path, left, ADMISSION) == {"Pods of Job/drill/any": None}


@in_virtual_time
async def test_a_pod_of_a_graph_that_the_run_made_is_residue(tmp_path: Path) -> None:
    left = a_pod("llm-0-decode-x", "drill", "PodClique/llm-0-decode")
    left["metadata"]["labels"][GRAPH_LABEL] = "llm"
    made = DeleteObject(kind="DynamoGraphDeployment", name="llm", namespace="drill")
    item = "Pods of DynamoGraphDeployment/drill/llm"
    assert await told(tmp_path, creates(left), made) == {item: None}


def labelled(pod: Object, uid: str = "forged", kind: str = "ReplicaSet", name: str = "web-1") -> Object:
    """A stranger's pod with a graph's label, that names as its controller whose uid it does not know."""
    pod["metadata"]["labels"][GRAPH_LABEL] = "web"
    reference = {"apiVersion": "v1", "kind": kind, "name": name, "uid": uid, "controller": True}
    pod["metadata"]["ownerReferences"] = [reference] if name else []
    return pod


STAND_INS = {
    "with a graph's label": lambda: labelled(a_pod("y", "drill"), name=""),
    "with a graph's label, of a Job": lambda: labelled(a_pod("y", "drill"), kind="Job", name="any"),
    "that names a ReplicaSet": lambda: labelled(a_pod("y", "drill")),
}


@pytest.mark.guarantee("G3")
@pytest.mark.parametrize("graph", [True, False], ids=["of a graph", "of a Deployment"])
@pytest.mark.parametrize("which", STAND_INS)
@in_virtual_time
async def test_a_strangers_pod_stands_in_for_none_that_is_missing(
    tmp_path: Path, which: str, *, graph: bool
) -> None:
    """A drained pod that did not come back is residue, whatever else has the graph's label or names its owner."""

    def change(port: TimedPort) -> None:
        deletes(Ref("Pod", "web-1-a", "drill"))(port)
        creates(STAND_INS[which]())(port)

    found = await told(tmp_path, change, RESTORE, graph=graph)
    whose = "DynamoGraphDeployment" if graph else "Deployment"
    assert found[f"Pods of {whose}/drill/web"] is None


LABEL = st.from_regex(r"[a-z]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)
SPACES = st.sampled_from(["drill", "team", "other"])
REFS = st.builds(Ref, st.sampled_from(["Deployment", "ConfigMap", "StatefulSet"]), LABEL, SPACES)
COUNTED = st.builds(
    lambda count, preload: {"count": count, "ready": 0, "preload": preload}, st.just(3), st.integers(0, 3)
)
OWNERS = st.builds(
    "{}/{}/{}".format, st.sampled_from(["Pod", "Job", "Deployment"]), SPACES, st.text(max_size=8)
)
RECORDS = st.frozensets(REFS, max_size=4)


def new_pods(owner: str, now: dict[str, int], touched: Touched) -> str | None:
    return change_of_pods(f"{PODS}{owner}", {}, {f"{PODS}{owner}": now}, touched)


@given(OWNERS, COUNTED, RECORDS)
def test_new_pods_where_the_run_did_nothing_are_external(
    owner: str, now: dict[str, int], records: frozenset[Ref]
) -> None:
    """However they are called, and whatever they preload."""
    elsewhere = Touched(frozenset(one for one in records if one.namespace != owner.split("/")[1]))
    assert new_pods(owner, now, elsewhere)


@given(OWNERS, COUNTED, RECORDS, RECORDS, st.frozensets(SPACES))
def test_no_record_more_makes_residue_external(
    owner: str, now: dict[str, int], records: frozenset[Ref], more: frozenset[Ref], busy: frozenset[str]
) -> None:
    if not new_pods(owner, now, Touched(records)):
        assert not new_pods(owner, now, Touched(records | more, busy))


@given(
    REFS,
    RECORDS,
    st.lists(LABEL, max_size=3),
    st.from_regex(r"[a-z0-9]{5}", fullmatch=True),
    st.integers(0, 240),
)
def test_what_a_controller_makes_of_what_the_run_made_is_never_external(
    made: Ref, records: frozenset[Ref], parts: list[str], random: str, length: int
) -> None:
    """The apiserver cuts a generated name before its random end (storage/names/generate.go)."""
    made = replace(made, name=made.name + "x" * length)
    owner = "-".join([made.name, *parts])
    touched = Touched(records | {made})
    now = {"count": 1, "ready": 1, "preload": 0}
    assert new_pods(f"Job/{made.namespace}/{owner}", now, touched) is None
    assert new_pods(f"Pod/{made.namespace}/{f'{owner}-'[:58]}{random}", now, touched) is None
