"""Which pods are drained, how delays run, and what settings say."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from offbus.errors import UsageError
from offbus_sandbox.responder.config import DrainPolicy, ResponderConfig, load_config
from offbus_sandbox.responder.controller.delays import Due
from offbus_sandbox.responder.controller.drain import next_group
from offbus_steps.nvsentinel.drain_rules import DrainMode
from tests.kits.virtual_time import VirtualClock

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def pod(name: str, namespace: str = "drill-demo", **fields: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace, **fields.pop("metadata", {})}
    return {"metadata": metadata, "spec": {"nodeName": fields.pop("node", "node-1")}, "status": fields}


def drained(*pods: dict[str, Any], config: ResponderConfig | None = None) -> list[str]:
    group = next_group(pods, "node-1", config or ResponderConfig(), NOW)
    return [p["metadata"]["name"] for p in group.pods] if group else []


@pytest.mark.parametrize(
    ("one", "leaves"),
    [
        pytest.param(pod("p", phase="Running"), True, id="running"),
        pytest.param(pod("p", phase="Pending"), True, id="pending"),
        pytest.param(pod("p", node="node-2"), False, id="on-another-node"),
        pytest.param(pod("p", phase="Succeeded"), False, id="finished"),
        pytest.param(pod("p", phase="Failed"), False, id="failed"),
        pytest.param(pod("p", "kube-system"), False, id="system-namespace"),
        pytest.param(pod("p", metadata={"ownerReferences": [{"kind": "DaemonSet"}]}), False, id="daemon-set"),
        pytest.param(
            pod("p", metadata={"annotations": {"kubernetes.io/config.mirror": "x"}}), False, id="static"
        ),
        pytest.param(
            pod(
                "p",
                conditions=[
                    {"type": "Ready", "status": "False", "lastTransitionTime": "2026-01-02T02:00:00Z"}
                ],
            ),
            False,
            id="unready-for-long",
        ),
        pytest.param(
            pod(
                "p",
                conditions=[
                    {"type": "Ready", "status": "False", "lastTransitionTime": "2026-01-02T03:04:00Z"}
                ],
            ),
            True,
            id="unready-just-now",
        ),
    ],
)
def test_which_pods_must_leave(one: dict[str, Any], leaves: bool) -> None:
    assert drained(one) == (["p"] if leaves else [])


def test_groups_are_drained_one_after_another() -> None:
    modes = {
        "now": DrainMode.IMMEDIATE,
        "later": DrainMode.DELETE_AFTER_TIMEOUT,
        "ever": DrainMode.ALLOW_COMPLETION,
    }
    config = ResponderConfig(drain=tuple(DrainPolicy(name=name, mode=mode) for name, mode in modes.items()))
    pods = [pod("c", "ever"), pod("b", "later"), pod("a", "now"), pod("d", "unnamed")]
    order = []
    while pods and (names := drained(*pods, config=config)):
        order += names
        pods = [p for p in pods if p["metadata"]["name"] not in names]
    assert order == ["a", "b", "c"]
    assert [p["metadata"]["name"] for p in pods] == ["d"]


def test_the_strictest_of_overlapping_policies_wins() -> None:
    patient = DrainPolicy(name="*", mode=DrainMode.ALLOW_COMPLETION)
    strict = DrainPolicy(name="drill-*", mode=DrainMode.IMMEDIATE)
    config = ResponderConfig(drain=(patient, strict))
    assert config.drain_mode("drill-demo") is DrainMode.IMMEDIATE
    assert config.drain_mode("prod") is DrainMode.ALLOW_COMPLETION


def test_a_transition_waits_its_delay_once() -> None:
    clock = VirtualClock(begins_s=50.0)
    due = Due(clock.seconds)
    assert due.remaining("n", "drain", 2.0) == pytest.approx(2.0)
    clock.passed_s += 1.5
    assert due.remaining("n", "drain", 2.0) == pytest.approx(0.5)
    clock.passed_s += 0.5
    assert due.remaining("n", "drain", 2.0) == 0.0
    assert due.remaining("n", "drain", 2.0) == pytest.approx(2.0)


def test_wanting_something_else_starts_over_and_nodes_do_not_mix() -> None:
    clock = VirtualClock(begins_s=50.0)
    due = Due(clock.seconds)
    due.remaining("n", "quarantine", 2.0)
    due.remaining("m", "quarantine", 2.0)
    clock.passed_s += 1.0
    assert due.remaining("n", "uncordon", 2.0) == pytest.approx(2.0)
    assert due.remaining("m", "quarantine", 2.0) == pytest.approx(1.0)
    due.forget("m")
    assert due.remaining("m", "quarantine", 2.0) == pytest.approx(2.0)


def test_settings_come_from_a_json_file(tmp_path: Path) -> None:
    path = tmp_path / "responder.json"
    path.write_text('{"poll_s": 15, "drain": [{"name": "*", "mode": "AllowCompletion"}]}')
    config = load_config(str(path))
    assert config.poll_s == 15
    assert config.drain_mode("x") is DrainMode.ALLOW_COMPLETION
    assert config.dedup_window_s == 180


@pytest.mark.parametrize(
    ("content", "says"),
    [
        pytest.param('{"pol_s": 1}', "pol_s: Extra inputs", id="unknown-key"),
        pytest.param('{"poll_s": -1}', "poll_s: Input should be greater", id="negative"),
        pytest.param("{", "the file: Invalid JSON", id="not-json"),
        pytest.param('{"drain": [{"name": "*", "mode": "Now"}]}', "drain.0.mode", id="unknown-mode"),
        pytest.param(None, "cannot read", id="missing"),
    ],
)
def test_a_bad_settings_file_is_one_clear_error(tmp_path: Path, content: str | None, says: str) -> None:
    path = tmp_path / "responder.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UsageError, match=says) as caught:
        load_config(str(path))
    assert str(path) in str(caught.value)
