"""Runs `load`: open loop, so that a target that hangs does not slow the requests down.

Requests are sent on schedule, whether or not earlier ones were answered. Ready when the first request has ended.
Requests in flight when the step is asked to stop may end within a few seconds; those that do not are not counted.
Failures of the path are counted apart. The recent success rate is measured once a second, everything else at the end.
"""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import timedelta
from typing import Any

import anyio
from anyio.abc import TaskGroup

from offbus.step import Context
from offbus_steps.agents.live_faults import LiveFault
from offbus_steps.cluster.cluster import Cluster, cluster_of
from offbus_steps.inference.ask import ask_frontend, question_for
from offbus_steps.inference.step_types import LoadOutputs, LoadParams, PhaseStats
from offbus_steps.inference_client.statistics import Outcome, Window, availability, percentile, success_rate
from offbus_steps.workloads.target import required_target

__all__ = ["load", "phase_of"]

GRACE_S = 5.0
"""For requests in flight at the end; the engine gives a stopping step 10 s."""
SECOND_NS = 1_000_000_000
PERCENTILES: Mapping[str, float] = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


class Watch:
    """Reports while the load runs, at most once a second: progress, and the recent success rate."""

    def __init__(self, ctx: Context, window: timedelta) -> None:
        self._ctx = ctx
        self._recent = Window(int(window.total_seconds() * 1e9))
        self._reported_ns: int | None = None
        self._sent = self._failed = 0

    def ended(self, outcome: Outcome) -> None:
        """Count a request."""
        self._recent.add(outcome)
        self._sent += not outcome.path_error
        self._failed += not (outcome.path_error or outcome.good)
        now = self._ctx.now_ns()
        if self._reported_ns is None or now - self._reported_ns >= SECOND_NS:
            self._reported_ns = now
            rate = self._recent.success_rate(now)
            if rate is not None:
                self._ctx.metric("requests.success_rate_window", rate)
            self._ctx.progress(f"{self._sent} sent, {self._failed} failed")


async def load(ctx: Context, params: LoadParams) -> LoadOutputs:
    """Send requests until asked to stop, then report."""
    cluster, target = cluster_of(ctx), required_target(params.target)
    question = await question_for(cluster, target, params)
    outcomes: list[Outcome] = []
    watch = Watch(ctx, params.window)

    async def one() -> None:
        asked = await ask_frontend(cluster, ctx, target, question, params.request_timeout)
        outcomes.append(asked.outcome)
        watch.ended(asked.outcome)
        ctx.ready()

    try:
        await _send(ctx, params.rate, one)
    finally:
        _measure(ctx, outcomes)
    return _outputs(cluster, outcomes)


async def _send(ctx: Context, rate: float, one: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async with anyio.create_task_group() as requests:
        async with anyio.create_task_group() as clock:
            clock.start_soon(_tick, requests, rate, one)
            await ctx.stopped()
            clock.cancel_scope.cancel()
        requests.cancel_scope.deadline = anyio.current_time() + GRACE_S


async def _tick(requests: TaskGroup, rate: float, one: Callable[[], Coroutine[Any, Any, None]]) -> None:
    begun = anyio.current_time()
    number = 0
    while True:
        requests.start_soon(one)
        number += 1
        await anyio.sleep_until(begun + number / rate)


def _measure(ctx: Context, outcomes: Sequence[Outcome]) -> None:
    counted = [one for one in outcomes if not one.path_error]
    ctx.metric("requests.sent", len(counted))
    ctx.metric("requests.failed", sum(not one.good for one in counted))
    ctx.metric("requests.path_errors", len(outcomes) - len(counted))
    latencies = [one.latency_s for one in counted if one.good]
    for name, share in PERCENTILES.items():
        value = percentile(latencies, share)
        if value is not None:
            ctx.metric(f"requests.{name}", timedelta(seconds=value))
    for name, value in (
        ("requests.success_rate", success_rate(counted)),
        ("availability", availability(counted)),
    ):
        if value is not None:
            ctx.metric(name, value)


def _outputs(cluster: Cluster, outcomes: Sequence[Outcome]) -> LoadOutputs:
    faults = list(cluster.faults.live.values())
    phases: dict[str, list[Outcome]] = {"before": [], "during": [], "after": []}
    for one in outcomes:
        phases[phase_of(one.begun_ns, faults)].append(one)
    counted = [one for one in outcomes if not one.path_error]
    return LoadOutputs(
        sent=len(counted),
        failed=sum(not one.good for one in counted),
        path_errors=len(outcomes) - len(counted),
        success_rate=success_rate(outcomes),
        availability=availability(outcomes),
        latencies=[one.latency_s for one in counted if one.good],
        **{name: _stats(found) for name, found in phases.items()},
    )


def phase_of(begun_ns: int, faults: Sequence[LiveFault]) -> str:
    """`during` while any fault is armed, `before` the first, else `after`."""
    for live in faults:
        if live.fault.injected_ns <= begun_ns and (live.ended_ns is None or begun_ns < live.ended_ns):
            return "during"
    earlier = any(live.fault.injected_ns <= begun_ns for live in faults)
    return "after" if earlier else "before"


def _stats(outcomes: Sequence[Outcome]) -> PhaseStats | None:
    counted = [one for one in outcomes if not one.path_error]
    rate = success_rate(counted)
    if rate is None:
        return None
    latencies = [one.latency_s for one in counted if one.good]
    found = {name: percentile(latencies, share) for name, share in PERCENTILES.items()}
    return PhaseStats(
        sent=len(counted),
        failed=sum(not one.good for one in counted),
        success_rate=rate,
        latencies=latencies,
        **{name: None if value is None else timedelta(seconds=value) for name, value in found.items()},
    )
