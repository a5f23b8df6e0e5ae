"""When a target had recovered, and which phase a request belongs to."""

import pytest

from offbus_steps.agents.fault_model import Fault
from offbus_steps.agents.live_faults import LiveFault
from offbus_steps.inference.load import phase_of
from offbus_steps.inference_client.statistics import Outcome
from offbus_steps.observe.await_recovery import good_in_a_row, recovered_ns
from offbus_steps.workloads.target import Target

TARGET = Target(kind="Deployment", name="t", namespace="d", port=8000, selector={"app": "t"})


@pytest.mark.parametrize(
    ("pattern", "ready", "answers", "expected"),
    [("++++", 0, 2, 0), ("+--+++", 0, 2, 5), ("+--+++", 9, 2, 9), ("-+-+++", 0, 3, 6), ("-++", 1, 5, 3)],
    ids=["no outage", "second good one", "replicas came later", "a relapse counts", "fewer than wanted"],
)
def test_the_later_of_replicas_and_good_answers_counts(
    pattern: str, ready: int, answers: int, expected: int
) -> None:
    outcomes = [Outcome(end - 1, end, sign == "+") for end, sign in enumerate(pattern, 1)]
    assert recovered_ns(outcomes, ready, answers) == expected


def test_where_nobody_asked_the_good_answers_after_the_replicas_count() -> None:
    outcomes = [Outcome(end - 1, end, good=True) for end in range(5, 10)]
    assert recovered_ns(outcomes, 6, 2, watched=False) == 8


@pytest.mark.parametrize(
    ("pattern", "since", "expected"),
    [("+++", 0, 3), ("++-+", 0, 1), ("++-", 0, 0), ("++++", 2, 2), ("+++?", 0, 3), ("", 0, 0)],
    ids=["all", "after the last bad one", "bad at last", "begun since", "path errors say nothing", "none"],
)
def test_the_newest_good_answers_since_a_time_are_counted(pattern: str, since: int, expected: int) -> None:
    outcomes = [
        Outcome(end - 1, end, sign == "+", path_error=sign == "?") for end, sign in enumerate(pattern, 1)
    ]
    assert good_in_a_row(outcomes, since) == expected


def live(injected: int, ended: int | None) -> LiveFault:
    """A fault that was armed from `injected` to `ended`."""
    fault = Fault(
        id="f", node="n", gpus=[], xid=79, planes=[], holders={}, mark=0, injected_seq=1, injected_ns=injected
    )
    return LiveFault(fault, TARGET, ended)


@pytest.mark.parametrize(
    ("begun", "expected"),
    [(5, "before"), (10, "during"), (19, "during"), (20, "after"), (35, "during")],
    ids=str,
)
def test_a_request_belongs_to_the_phase_in_which_it_began(begun: int, expected: str) -> None:
    assert phase_of(begun, [live(10, 20), live(30, None)]) == expected
