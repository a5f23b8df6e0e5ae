"""The transitions of a run's stop: whatever comes in whatever order, nothing leads back from FORBIDDEN."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offbus.runner.stop_state import StopStage, StopState

CALLS = ("stop", "forbid", "begin_always")


def called(state: StopState, call: str, number: int) -> None:
    if call == "begin_always":
        state.begin_always()
    else:
        getattr(state, call)(f"{call} {number}")


@given(st.lists(st.sampled_from(CALLS)))
def test_any_order_of_calls_is_a_way_through_the_stages(calls: list[str]) -> None:
    state, before = StopState(), StopStage.GOING_ON
    for number, call in enumerate(calls):
        called(state, call, number)
        wanted = {
            "forbid": StopStage.FORBIDDEN,
            "stop": max(before, StopStage.STOPPED, key=lambda one: one.value),
            "begin_always": before if before is StopStage.FORBIDDEN else StopStage.GOING_ON,
        }[call]
        assert state.stage is wanted
        assert state.requested.is_set() is (wanted is StopStage.FORBIDDEN)
        before = wanted


@given(st.lists(st.sampled_from(CALLS[:2]), min_size=1))
def test_the_first_reason_counts(calls: list[str]) -> None:
    state = StopState()
    for number, call in enumerate(calls):
        called(state, call, number)
    firsts = {call: f"{call} {calls.index(call)}" for call in calls}
    assert (state.reason, state.forbidden) == (firsts.get("stop"), firsts.get("forbid"))


@pytest.mark.parametrize("forbidden", [False, True])
def test_always_steps_are_stopped_by_what_forbids_everything_alone(forbidden: bool) -> None:
    state = StopState()
    state.stop("step a failed")
    if forbidden:
        state.forbid("signal SIGTERM")
    state.begin_always()
    assert state.reason == ("signal SIGTERM" if forbidden else None)


def test_a_stop_interrupts_only_what_runs_in_the_block() -> None:
    state, interrupted = StopState(), list[str]()
    assert state.stop("first")
    assert not state.stop("second")
    with state.interruptible(interrupted.append):
        assert interrupted == ["first"], "it was stopped before the block"
        state.interrupt("again")
    state.interrupt("too late")
    assert interrupted == ["first", "again"]
