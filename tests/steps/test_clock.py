"""Times of a node's clock, mapped by round trips."""

from hypothesis import given
from hypothesis import strategies as st

from offbus_steps.node_clock import NodeClocks

NS = st.integers(0, 10**15)
TRIPS = st.lists(st.tuples(NS, st.integers(1, 10**9), st.floats(0, 1)), min_size=1, max_size=20)


@given(st.integers(-(10**15), 10**15), TRIPS, NS)
def test_the_true_time_is_within_the_error(offset: int, trips: list[tuple[int, int, float]], at: int) -> None:
    """Whenever within a trip the node read its clock, the mapped time is off by at most the bound."""
    clocks = NodeClocks()
    for sent, length, share in trips:
        read_at = sent + int(length * share)
        clocks.learn("n", boot_id="b", node_ns=read_at - offset, sent_ns=sent, back_ns=sent + length)
    moment = clocks.moment("n", at - offset)
    assert moment is not None
    assert abs(moment.mono_ns - at) <= moment.error_ns
    assert moment.error_ns <= (min(length for _, length, _ in trips) + 1) // 2


def test_a_reboot_starts_anew_even_with_a_longer_round_trip() -> None:
    clocks = NodeClocks()
    clocks.learn("n", boot_id="old", node_ns=1000, sent_ns=0, back_ns=2)
    clocks.learn("n", boot_id="new", node_ns=10, sent_ns=100, back_ns=200)
    moment = clocks.moment("n", 10)
    assert moment is not None
    assert (moment.clock, moment.mono_ns) == ("new", 150)


def test_a_node_that_never_answered_has_no_times() -> None:
    assert NodeClocks().moment("n", 1) is None
