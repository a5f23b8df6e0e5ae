"""When a target had recovered, and which phase a request belongs to."""

import pytest

from offbus_steps.faults import Fault, LiveFault
from offbus_steps.load import phase_of
from offbus_steps.recovery import recovered_ns
from offbus_steps.stats import Outcome
from offbus_steps.target import Target

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
