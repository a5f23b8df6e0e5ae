"""Percentiles and availability."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offbus_steps.inference_client.statistics import Outcome, Window, availability, percentile, success_rate

SAMPLES = st.lists(st.floats(0, 100), min_size=1, max_size=60)
SHARES = st.floats(0.01, 1.0)


@given(SAMPLES, SHARES)
def test_a_percentile_is_a_measured_value_with_that_share_at_or_below_it(
    values: list[float], share: float
) -> None:
    found = percentile(values, share)
    assert found in values
    assert sum(value <= found for value in values) >= share * len(values) - 1e-9


@given(SAMPLES, SHARES)
def test_no_smaller_measured_value_would_do(values: list[float], share: float) -> None:
    found = percentile(values, share)
    assert found is not None
    assert sum(value < found for value in values) < share * len(values) + 1e-9


@pytest.mark.parametrize(
    ("share", "expected"), [(0.5, 5), (0.95, 10), (0.99, 10), (1.0, 10), (0.1, 1), (0.11, 2)], ids=str
)
def test_nearest_rank_on_one_to_ten(share: float, expected: int) -> None:
    assert percentile(range(1, 11), share) == expected


def test_there_is_no_percentile_of_nothing() -> None:
    assert percentile([], 0.5) is None


@pytest.mark.parametrize("share", [0, -0.1, 1.1], ids=str)
def test_a_share_outside_zero_to_one_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="share must be"):
        percentile([1.0], share)


def _outcome(second: int, *, good: bool, path_error: bool = False) -> Outcome:
    return Outcome(second * 10**9, (second + 1) * 10**9, good, path_error)


def test_path_errors_count_neither_as_good_nor_as_failed() -> None:
    outcomes = [_outcome(0, good=True), _outcome(1, good=False, path_error=True), _outcome(2, good=False)]
    assert success_rate(outcomes) == 0.5
    assert success_rate([_outcome(0, good=False, path_error=True)]) is None


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [("++++", 1.0), ("+--+", 0.5), ("++--", 0.75), ("-+", 0.5), ("+", None)],
    ids=["never down", "down for two of four", "down to the end", "down at the start", "too few"],
)
def test_availability_is_the_share_outside_outages(pattern: str, expected: float | None) -> None:
    outcomes = [_outcome(second, good=sign == "+") for second, sign in enumerate(pattern)]
    assert availability(outcomes) == expected


ENDED = st.lists(st.tuples(st.integers(0, 50), st.booleans(), st.booleans()), max_size=40)


@given(ENDED, st.integers(1, 30), st.integers(0, 60))
def test_a_window_has_the_requests_that_ended_within_it(
    ended: list[tuple[int, bool, bool]], length: int, later: int
) -> None:
    outcomes = [Outcome(0, at, good, path_error=lost) for at, good, lost in sorted(ended)]
    now = later + max((at for at, _, _ in ended), default=0)
    window = Window(length)
    for one in outcomes:
        window.add(one)
    assert window.success_rate(now) == success_rate([one for one in outcomes if one.ended_ns >= now - length])


def test_a_window_forgets_what_went_out_of_it() -> None:
    window = Window(10)
    window.add(Outcome(0, 1, good=False))
    window.add(Outcome(0, 5, good=True))
    assert [window.success_rate(now) for now in (5, 11, 12, 15, 16)] == [0.5, 0.5, 1.0, 1.0, None]
