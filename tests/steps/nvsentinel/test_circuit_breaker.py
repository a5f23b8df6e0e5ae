"""The responder's circuit breaker: read from what is deployed, with where it stands; which nodes it counts."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offbus_steps.nvsentinel import names
from offbus_steps.nvsentinel.circuit_breaker import CircuitBreaker, breakers_in, objections
from offbus_steps.nvsentinel.containers import STANDIN_PROFILE
from offbus_steps.nvsentinel.recent_cordons import recently_cordoned
from offbus_steps.port import Object

NOW = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)
TOML = 'label-prefix = "k8saas.nvidia.com/"\n\n[circuitBreaker]\npercentage = 30\nduration = "10m"\n'


def quarantine(*args: str, replicas: int = 1, space: str = "nvsentinel") -> Object:
    """NVSentinel's fault-quarantine, as its chart makes it."""
    pod = {
        "containers": [{"name": "fault-quarantine", "args": ["--metrics-port=2112", *args]}],
        "volumes": [{"name": "config-volume", "configMap": {"name": "fault-quarantine"}}],
    }
    metadata = {"name": "fault-quarantine", "namespace": space}
    return {"metadata": metadata, "spec": {"replicas": replicas, "template": {"spec": pod}}}


def standin() -> Object:
    """The stand-in's controller in a cluster."""
    command = ["python3", "-m", "offbus_sandbox.responder", "controller"]
    pod = {
        "containers": [{"name": "controller", "command": command}],
        "volumes": [{"name": "config", "configMap": {"name": "responder"}}],
    }
    metadata = {"name": "standin-controller", "namespace": "nvsentinel"}
    return {"metadata": metadata, "spec": {"replicas": 1, "template": {"spec": pod}}}


def config(name: str, key: str, text: str, space: str = "nvsentinel") -> Object:
    """A ConfigMap of one key."""
    return {"metadata": {"name": name, "namespace": space}, "data": {key: text}}


def node(
    name: str, *, gpus: bool = True, labels: Any = None, annotations: Any = None, conditions: Any = ()
) -> Object:
    """A node, by default with GPUs."""
    present = {names.GPU_PRESENT: "true"} if gpus else {}
    metadata = {"name": name, "labels": {**present, **(labels or {})}, "annotations": annotations or {}}
    return {"metadata": metadata, "status": {"conditions": list(conditions)}}


def told(*objects: Object) -> CircuitBreaker:
    """The only breaker among these."""
    (found,) = breakers_in(
        [one for one in objects if "spec" in one], [one for one in objects if "data" in one]
    )
    return found


def test_its_limits_are_read_from_the_configuration_that_is_mounted_and_say_where_they_stand() -> None:
    found = told(
        quarantine("--circuit-breaker-enabled=true"), config("fault-quarantine", "config.toml", TOML)
    )
    assert (found.enabled.value, found.percentage.value) == (True, 30)
    assert found.enabled.source == "Deployment/nvsentinel/fault-quarantine --circuit-breaker-enabled"
    assert found.rule(10) == (
        "3 of 10 GPU nodes cordoned within 10m trip it (30 %: ConfigMap/nvsentinel/fault-quarantine config.toml "
        "circuitBreaker.percentage; 10m: ConfigMap/nvsentinel/fault-quarantine config.toml circuitBreaker.duration)"
    )


@pytest.mark.parametrize(
    ("objects", "enabled", "limit", "window"),
    [
        pytest.param([quarantine()], True, 5, 300, id="nothing is told"),
        pytest.param([quarantine("--circuit-breaker-enabled=false")], False, 5, 300, id="off"),
        pytest.param([quarantine("-circuit-breaker-enabled=F")], False, 5, 300, id="off, with one dash"),
        pytest.param([quarantine("--circuit-breaker-enabled")], True, 5, 300, id="on, without a value"),
        pytest.param(
            [quarantine("--circuit-breaker-percentage=20", "--circuit-breaker-duration=1m30s")],
            True,
            2,
            90,
            id="limits by flags, as older versions have them",
        ),
        *(
            pytest.param(
                [quarantine(), config("fault-quarantine", "config.toml", text)],
                True,
                5,
                300,
                id=f"broken: {text!r}",
            )
            for text in (
                "[",
                "circuitBreaker = 1",
                "[circuitBreaker]\npercentage = 'many'\nduration = 'long'",
                "[circuitBreaker]\npercentage = -1\nduration = '0s'",
                "[circuitBreaker]\npercentage = nan\nduration = 7",
                "[circuitBreaker]\npercentage = 101\nduration = '9999999h'",
            )
        ),
        pytest.param([standin()], False, 5, 300, id="stand-in"),
        pytest.param(
            [
                standin(),
                config(
                    "responder", "config.json", '{"circuit_breaker": {"enabled": true, "duration_s": 7.5}}'
                ),
            ],
            True,
            5,
            7.5,
            id="stand-in with a breaker",
        ),
        pytest.param(
            [config(STANDIN_PROFILE.name, "circuit_breaker", '{"enabled": true, "percentage": 100}')],
            True,
            10,
            300,
            id="stand-in of a sandbox",
        ),
        pytest.param(
            [config(STANDIN_PROFILE.name, "circuit_breaker", "[" * 9999)], False, 5, 300, id="broken profile"
        ),
        pytest.param(
            [config("circuit-breaker", "status", "CLOSED")], True, 5, 300, id="of nobody that is known"
        ),
    ],
)
def test_what_is_not_told_is_the_documented_default(
    objects: list[Object], enabled: bool, limit: int, window: float
) -> None:
    found = told(*objects)
    assert found.enabled.value is enabled
    assert found.limit(10) == limit
    assert found.window.value.total_seconds() == window


@pytest.mark.parametrize(
    "objects",
    [
        [],
        [quarantine(replicas=0)],
        [config("circuit-breaker", "status", "TRIPPED", "other")],
        [config(STANDIN_PROFILE.name, "longest_way_s", "1")],
    ],
    ids=["nothing", "scaled down", "another namespace's", "a stand-in that does not say"],
)
def test_without_a_responder_there_is_none(objects: list[Object]) -> None:
    assert (
        breakers_in([one for one in objects if "spec" in one], [one for one in objects if "data" in one])
        == []
    )


def test_its_state_is_that_of_its_own_namespace() -> None:
    elsewhere = config("circuit-breaker", "status", "TRIPPED")
    assert not told(quarantine(space="health"), elsewhere).is_tripped
    found = told(quarantine(space="health"), config("circuit-breaker", "status", "TRIPPED", "health"))
    assert found.is_tripped
    assert objections(found, [], {"a"}, NOW) == [
        (
            "the circuit breaker of NVSentinel (Deployment/health/fault-quarantine) is TRIPPED "
            "(ConfigMap/health/circuit-breaker status): it answers no fault until it is reset"
        )
    ]
    assert found.way_out == (
        "find out why it tripped, then: kubectl -n health patch configmap circuit-breaker -p "
        """'{"data": {"status": "CLOSED"}}' && kubectl -n health rollout restart deployment fault-quarantine"""
    )


def test_one_that_is_off_is_never_tripped() -> None:
    found = told(
        quarantine("--circuit-breaker-enabled=false"), config("circuit-breaker", "status", "TRIPPED")
    )
    assert objections(found, [node("a")], {"a"}, NOW) == []


def at(age_s: float) -> datetime:
    """So long ago."""
    return NOW - timedelta(seconds=age_s)


def stamp(age_s: float) -> str:
    """As the labels write it."""
    return at(age_s).strftime("%Y-%m-%dT%H-%M-%SZ")


def tracked(age_s: float) -> Mapping[str, str]:
    """The annotations of a node that is quarantined for an event of then."""
    events = json.dumps([{"generatedTimestamp": {"seconds": int(at(age_s).timestamp()), "nanos": 5}}])
    return {names.CORDONED_ANNOTATION: "True", names.QUARANTINE_EVENTS: events}


def condition(age_s: float, status: str = "False") -> Mapping[str, str]:
    """The responder's, that changed then."""
    reason = "SysLogsXIDErrorIsHealthy" if status == "False" else "SysLogsXIDErrorIsNotHealthy"
    changed = at(age_s).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"type": "SysLogsXIDError", "status": status, "reason": reason, "lastTransitionTime": changed}


COUNTED = {
    "cordoned": (
        {"labels": {names.CORDON_TIMESTAMP: stamp(40)}},
        f"label {names.CORDON_TIMESTAMP}: {stamp(40)}",
    ),
    "uncordoned": (
        {"labels": {names.UNCORDON_TIMESTAMP: stamp(299)}},
        f"label {names.UNCORDON_TIMESTAMP}: {stamp(299)}",
    ),
    "without labels": ({"annotations": tracked(60)}, "annotation quarantineHealthEvent"),
    "cleared": ({"conditions": [condition(30)]}, "condition SysLogsXIDError since 2026-11-29T11:59:30Z"),
    "a clock that goes before": (
        {"labels": {names.CORDON_TIMESTAMP: stamp(-20)}},
        f"label {names.CORDON_TIMESTAMP}: {stamp(-20)}",
    ),
}
NOT_COUNTED: Mapping[str, Any] = {
    "never": {},
    "too long ago": {"labels": {names.CORDON_TIMESTAMP: stamp(301), names.UNCORDON_TIMESTAMP: stamp(300)}},
    "an old event": {"annotations": tracked(3000)},
    "an old condition": {"conditions": [condition(300)]},
    "a condition of others": {
        "conditions": [{"type": "Ready", "lastTransitionTime": "2026-11-29T11:59:59Z"}]
    },
    "not a time": {
        "labels": {names.CORDON_TIMESTAMP: "yesterday"},
        "conditions": [condition(0) | {"lastTransitionTime": "x"}],
    },
    "not events": {"annotations": {names.CORDONED_ANNOTATION: "True", names.QUARANTINE_EVENTS: "[" * 9999}},
    "not an event": {
        "annotations": {
            names.CORDONED_ANNOTATION: "True",
            names.QUARANTINE_EVENTS: '[7, {"generatedTimestamp": {"seconds": 1e99}}]',
        }
    },
    "not held": {"annotations": {names.QUARANTINE_EVENTS: tracked(1)[names.QUARANTINE_EVENTS]}},
}


@pytest.mark.parametrize(("marks", "how"), COUNTED.values(), ids=COUNTED)
def test_a_recent_cordon_is_seen_by_its_mark(marks: Any, how: str) -> None:
    assert recently_cordoned([node("a", **marks)], timedelta(minutes=5), NOW) == {"a": how}


@pytest.mark.parametrize("marks", NOT_COUNTED.values(), ids=NOT_COUNTED)
def test_what_is_no_recent_cordon_does_not_count(marks: Any) -> None:
    assert recently_cordoned([node("a", **marks)], timedelta(minutes=5), NOW) == {}


def events(node: str, *statuses: str | None) -> Object:
    """A node's documents in the stand-in's datastore, the first of them its monitor's first all-clear."""
    data = {str(i): json.dumps({"nodequarantined": one} if one else {}) for i, one in enumerate(statuses)}
    labels = {"offbus.dev/responder": "health-events"}
    metadata = {"name": f"health-events-{node}", "namespace": "nvsentinel", "labels": labels}
    return {"kind": "ConfigMap", "metadata": metadata, "data": data}


@pytest.mark.parametrize(
    ("documents", "counts"),
    [
        ([], True),
        ([events("b", None)], True),
        ([events("a", None)], False),
        ([events("a", None, None)], False),
        ([events("a", None, "Quarantined")], True),
        ([events("a", None, "UnQuarantined", None)], True),
        ([events("a", None, "Cancelled")], True),
        ([events("a") | {"data": {"0": "[" * 9999}}], True),
        ([events("a") | {"data": {}}], True),
    ],
)
def test_an_all_clear_counts_unless_the_datastore_says_that_it_ended_no_quarantine(
    documents: list[Object], counts: bool
) -> None:
    found = told(quarantine(), *documents)
    assert bool(objections(found, THREE, {"b"}, NOW)) is counts


def test_a_fault_and_a_cordon_count_whatever_the_datastore_says_yet() -> None:
    for marks in (
        COUNTED["cordoned"][0],
        COUNTED["without labels"][0],
        {"conditions": [condition(1, "True")]},
    ):
        nodes = [node("a", **marks), *THREE[1:]]
        assert objections(told(quarantine(), events("a", None)), nodes, {"b"}, NOW) != []


THREE = [node("a", conditions=[condition(60)]), node("b"), node("c"), node("cpu", gpus=False)]


def test_a_drill_on_the_second_of_three_nodes_would_trip_it() -> None:
    (why,) = objections(told(quarantine()), THREE, {"b"}, NOW)
    assert why == (
        "NVSentinel (Deployment/nvsentinel/fault-quarantine) would stop answering any fault, as its circuit breaker "
        "would trip: b (by this drill), a (condition SysLogsXIDError since 2026-11-29T11:59:00Z) make 2 cordoned; "
        "2 of 3 GPU nodes cordoned within 5m trip it (50 %: the documented default; 5m: the documented default)"
    )


@pytest.mark.parametrize(
    ("faulted", "cordoned_s"),
    [({"a"}, 60), ({"b"}, 300), ({"cpu"}, 60)],
    ids=["the same again", "later", "not watched"],
)
def test_one_node_of_three_does_not(faulted: set[str], cordoned_s: float) -> None:
    nodes = [node("a", conditions=[condition(cordoned_s)]), *THREE[1:]]
    assert objections(told(quarantine()), nodes, faulted, NOW) == []


@given(st.integers(1, 40), st.integers(0, 40), st.integers(0, 40), st.integers(1, 100))
def test_it_trips_exactly_when_the_share_is_reached(
    total: int, recent: int, faulted: int, percentage: int
) -> None:
    nodes = [
        node(f"n{i}", labels={names.CORDON_TIMESTAMP: stamp(1)} if i < recent else None) for i in range(total)
    ]
    aimed = {f"n{i}" for i in range(total - min(faulted, total), total)}
    file = config("fault-quarantine", "config.toml", f"[circuitBreaker]\npercentage = {percentage}\n")
    different = len({f"n{i}" for i in range(min(recent, total))} | aimed)
    assert bool(objections(told(quarantine(), file), nodes, aimed, NOW)) == (
        different * 100 >= total * percentage
    )
