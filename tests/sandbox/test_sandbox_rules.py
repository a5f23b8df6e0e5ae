"""The pure rules of scheduler, kubelet and controllers."""

from typing import Any

import pytest

from offbus_sandbox.config import Backoff
from offbus_sandbox.controllers.controller import Controller
from offbus_sandbox.controllers.deployment import Deployments
from offbus_sandbox.controllers.graph import Graphs
from offbus_sandbox.controllers.replicaset import ReplicaSets
from offbus_sandbox.controllers.rollout import Limits, next_new, next_old
from offbus_sandbox.controllers.statefulset import StatefulSets
from offbus_sandbox.kubelet.expand import expand
from offbus_sandbox.kubelet.variables import ConfigError, container_env
from offbus_sandbox.nodes.gpus import gpus_of
from offbus_sandbox.processes.restart_backoff import CrashLoop
from offbus_sandbox.store.history import Change
from offbus_sandbox.store.store import Store
from offbus_steps.port import Object, Ref, WatchType
from offbus_steps.workloads.fit import Fleet
from tests.kits.sandbox.local_cluster import pod


def stored(name: str = "p") -> Object:
    """A pod as it is read from the store."""
    made = pod(name, ["true"])
    return {**made, "metadata": {**made["metadata"], "uid": "u"}}


NODE: dict[str, Any] = {
    "metadata": {"name": "node-1", "labels": {"zone": "a"}},
    "spec": {},
    "status": {"allocatable": {"pods": "2"}},
}
TAINT = {"key": "gpu", "value": "bad", "effect": "NoSchedule"}


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("$(A)/x", "1/x"),
        ("$(B)", "$(B)"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("$A", "$A"),
        ("$(A", "$(A"),
        ("$(A)$(A)", "11"),
        ("$()", "$()"),
    ],
    ids=lambda value: value,
)
def test_expansion_follows_kubernetes(text: str, result: str) -> None:
    assert expand(text, {"A": "1"}) == result


def test_environment_is_expanded_in_order_and_may_look_at_the_pod() -> None:
    container = {
        "name": "main",
        "env": [
            {"name": "EARLY", "value": "$(LATE)"},
            {"name": "LATE", "value": "$(GIVEN)/late"},
            {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "APP", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
        ],
    }
    env = container_env(stored(), container, {"GIVEN": "/given"}, lambda _: None)
    assert env == {"GIVEN": "/given", "EARLY": "$(LATE)", "LATE": "/given/late", "NAME": "p", "APP": "p"}


def test_all_entries_of_a_config_map_are_variables_with_their_prefix() -> None:
    maps = {"a": {"data": {"X": "1"}}, "b": {"data": {"X": "2", "Y": "3"}}}
    sources = [{"configMapRef": {"name": "a"}}, {"configMapRef": {"name": "b"}, "prefix": "B_"}]
    env = container_env(stored(), {"name": "main", "envFrom": sources}, {}, lambda ref: maps[ref.name])
    assert env == {"X": "1", "B_X": "2", "B_Y": "3"}


def test_a_containers_library_path_comes_before_the_drivers() -> None:
    container = {"name": "main", "env": [{"name": "LD_LIBRARY_PATH", "value": "/own"}]}
    env = container_env(stored(), container, {"LD_LIBRARY_PATH": "/driver"}, lambda _: None)
    assert env["LD_LIBRARY_PATH"] == "/own:/driver"


@pytest.mark.parametrize(
    "source",
    [
        {"secretKeyRef": {"name": "s", "key": "k"}},
        {"fieldRef": {"fieldPath": "spec.unknown"}},
        {"configMapKeyRef": {"name": "missing", "key": "k"}},
    ],
    ids=["secret", "field", "config-map"],
)
def test_what_a_local_node_cannot_give_is_an_error_of_the_container(source: dict[str, Any]) -> None:
    container = {"name": "main", "env": [{"name": "X", "valueFrom": source}]}
    with pytest.raises(ConfigError):
        container_env(stored(), container, {}, lambda _: None)


def test_back_off_starts_at_once_then_doubles_to_the_cap_and_is_forgotten() -> None:
    loop = CrashLoop(Backoff(base_s=1, factor=2, cap_s=5, forget_after_s=20))
    assert [loop.delay(ran_s=0) for _ in range(6)] == [0, 1, 2, 4, 5, 5]
    assert [loop.delay(ran_s=30), loop.delay(ran_s=0)] == [0, 1]


@pytest.mark.parametrize(
    ("strategy", "replicas", "limits"),
    [
        ({}, 2, Limits(1, 0)),
        ({}, 8, Limits(2, 2)),
        ({"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 0}}, 3, Limits(0, 1)),
        ({"rollingUpdate": {"maxSurge": "50%", "maxUnavailable": 1}}, 3, Limits(2, 1)),
        ({"type": "Recreate"}, 3, Limits(0, 3)),
    ],
    ids=["default-small", "default", "both-zero", "mixed", "recreate"],
)
def test_limits_of_a_rollout(strategy: dict[str, Any], replicas: int, limits: Limits) -> None:
    assert Limits.of(strategy, replicas) == limits


@pytest.mark.parametrize("limits", [Limits(1, 0), Limits(0, 1), Limits(2, 2), Limits(0, 3)], ids=str)
@pytest.mark.parametrize("replicas", [1, 2, 3, 7])
def test_a_rollout_ends_and_never_breaks_its_limits(replicas: int, limits: Limits) -> None:
    old, new = replicas, 0
    for _ in range(4 * replicas + 4):
        keep = next_old(replicas, limits, ready=old + new, old_ready=old, old=old)
        assert keep + new >= replicas - limits.unavailable
        old = keep
        new = next_new(replicas, limits, new=new, old=old)
        assert old + new <= replicas + limits.surge
    assert (old, new) == (0, replicas)


@pytest.mark.parametrize(
    ("spec", "node", "refused"),
    [
        ({}, {}, None),
        ({}, {"unschedulable": True}, "unschedulable"),
        ({"tolerations": [{"operator": "Exists"}]}, {"unschedulable": True}, None),
        ({}, {"taints": [TAINT]}, "untolerated taint"),
        ({"tolerations": [{"key": "gpu", "value": "bad"}]}, {"taints": [TAINT]}, None),
        ({"tolerations": [{"key": "gpu", "value": "ok"}]}, {"taints": [TAINT]}, "untolerated taint"),
        ({}, {"taints": [{**TAINT, "effect": "PreferNoSchedule"}]}, None),
        ({"nodeSelector": {"zone": "a"}}, {}, None),
        ({"nodeSelector": {"zone": "b"}}, {}, "affinity/selector"),
        ({"affinity": {"nodeAffinity": {"x": 1}}}, {}, None),
    ],
    ids=[
        "plain",
        "cordoned",
        "tolerates-all",
        "taint",
        "tolerates",
        "other-value",
        "prefer",
        "zone",
        "no-zone",
        "soft",
    ],
)
def test_where_a_pod_may_run(spec: dict[str, Any], node: dict[str, Any], refused: str | None) -> None:
    (reasons,) = Fleet([{**NODE, "spec": node}], []).refusals(pod("p", ["true"], **spec)).values()
    assert [refused in reason for reason in reasons if refused] == ([True] if refused else [])
    assert bool(reasons) == (refused is not None)


def test_required_node_affinity() -> None:
    term = {"matchExpressions": [{"key": "zone", "operator": "NotIn", "values": ["a"]}]}
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
    refused = Fleet([NODE], []).refusals(pod("p", ["true"], affinity={"nodeAffinity": required}))
    assert refused == {"node-1": ["node(s) didn't match Pod's node affinity/selector"]}


def test_gpus_have_the_same_names_every_time_and_no_name_twice() -> None:
    def all_gpus() -> list[tuple[str, str]]:
        return [(g.uuid, g.pci) for i in range(64) for g in gpus_of(f"node-{i}", i, 8)]

    gpus = all_gpus()
    assert gpus == all_gpus()
    assert len({uuid for uuid, _ in gpus}) == len({pci for _, pci in gpus}) == len(gpus)


@pytest.mark.parametrize(
    ("controller", "kind", "owned"),
    [
        (Deployments, "Deployment", "ReplicaSet"),
        (ReplicaSets, "ReplicaSet", "Pod"),
        (StatefulSets, "StatefulSet", "Pod"),
        (Graphs, "DynamoGraphDeployment", "Deployment"),
    ],
)
def test_a_controller_acts_on_owners_of_its_own_kind(
    store: Store, controller: type[Controller[Ref]], kind: str, owned: str
) -> None:
    def keys(owner_kind: str) -> list[Ref]:
        owner = {"kind": owner_kind, "name": "o", "controller": True}
        meta = {"name": "x", "namespace": "drill", "ownerReferences": [owner]}
        made = Change(1, WatchType.ADDED, {"kind": owned, "metadata": meta}, None)
        return list(controller(store).keys(made))

    assert keys(kind) == [Ref(kind, "o", "drill")]
    assert keys("Widget") == []
