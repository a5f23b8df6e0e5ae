"""Percentiles, success rates and the availability of a series of answers that `requests` has judged. Pure."""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

__all__ = ["Outcome", "Window", "availability", "percentile", "success_rate"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """One request to the target, in the runner's monotonic nanoseconds."""

    begun_ns: int
    ended_ns: int
    good: bool
    path_error: bool = False
    """The path to the target failed: the request counts neither as answered nor as failed."""

    @property
    def latency_s(self) -> float:
        """Seconds from the first byte sent to the last byte read."""
        return (self.ended_ns - self.begun_ns) / 1e9


def percentile(values: Iterable[float], share: float) -> float | None:
    """The nearest-rank percentile, `share` in (0, 1]: always a measured value. None for no values."""
    if not 0 < share <= 1:
        raise ValueError(f"share must be in (0, 1], not {share}")
    ordered = sorted(values)
    if not ordered:
        return None
    rank = -(-len(ordered) * share // 1)  # ceil, without importing math for one call
    return ordered[max(0, min(len(ordered), int(rank)) - 1)]


def success_rate(outcomes: Iterable[Outcome]) -> float | None:
    """Good answers over counted requests; None when nothing was counted."""
    counted = [one for one in outcomes if not one.path_error]
    return sum(one.good for one in counted) / len(counted) if counted else None


class Window:
    """The requests that ended within the last `length_ns`. Without those that never reached the target."""

    def __init__(self, length_ns: int) -> None:
        self._length_ns = length_ns
        self._ended: deque[Outcome] = deque()

    def add(self, outcome: Outcome) -> None:
        """Add a request; requests are added in the order in which they ended."""
        if not outcome.path_error:
            self._ended.append(outcome)

    def success_rate(self, now_ns: int) -> float | None:
        """Good answers over counted requests; None when none was counted within the window."""
        while self._ended and self._ended[0].ended_ns < now_ns - self._length_ns:
            self._ended.popleft()
        return success_rate(self._ended)


def availability(outcomes: Sequence[Outcome]) -> float | None:
    """The share of the measured time outside outages. An outage lasts from the end of a failed request to the end
    of the next good one (or of the measurement). None when fewer than two requests were counted."""
    counted = sorted((one for one in outcomes if not one.path_error), key=lambda one: one.ended_ns)
    if len(counted) < 2:
        return None
    span = counted[-1].ended_ns - min(one.begun_ns for one in counted)
    down_since: int | None = None
    outage_ns = 0
    for one in counted:
        if not one.good and down_since is None:
            down_since = one.ended_ns
        elif one.good and down_since is not None:
            outage_ns += one.ended_ns - down_since
            down_since = None
    if down_since is not None:
        outage_ns += counted[-1].ended_ns - down_since
    return 1.0 - outage_ns / span if span > 0 else None
