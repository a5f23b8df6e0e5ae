"""`load`, `baseline`, `verify_inference`: requests to the target, as its clients send them.

    - {id: load,     uses: load, background: true, with: {rate: 20}}
    - {id: baseline, uses: baseline, with: {requests: 50}, expect: ["outputs.success_rate >= 0.99"]}
    - {id: fails,    uses: verify_inference, with: {expect: failure, node: "${{ steps.inject.outputs.node }}"}}
    - {id: works,    uses: verify_inference, expect: ["outputs.success_rate == 1.0"]}

`load` sends at a fixed rate while the other steps run. While it runs it measures `requests.success_rate_window` once a
second: the success rate of the requests that ended within the last `window`, for `stop_when`. Everything else is
measured at its end. This module only declares them; offbus_steps.inference.load and offbus_steps.inference.verify run
them.
"""

from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator

from offbus.durations import Duration
from offbus.step import FromAncestor, Kind, Outputs, Params, StepType
from offbus_steps.access import access
from offbus_steps.agents.fault_model import Fault
from offbus_steps.inference.headers import HeaderValue, allowed
from offbus_steps.inference.metrics import METRICS
from offbus_steps.watch.access import OWNER_ACCESS, TARGET_ACCESS
from offbus_steps.workloads.target import Target
from offbus_steps.workloads.workload_kinds import WORKLOAD_KINDS

__all__ = [
    "ASK_ACCESS",
    "BASELINE",
    "LOAD",
    "VERIFY_INFERENCE",
    "AskParams",
    "BaselineParams",
    "Expected",
    "LoadOutputs",
    "LoadParams",
    "PhaseStats",
    "TrafficOutputs",
    "VerifyParams",
]

ASK_ACCESS = (
    OWNER_ACCESS
    | access("get create", "Pod", subresource="proxy")
    | access("get", *WORKLOAD_KINDS)
    | access("list", "Pod", "Service")
)
"""What a request to a target needs: its Service, to know which of its pods serve, and their proxy."""


_LATENCIES: Any = Field(
    default_factory=list,
    exclude=True,
    description="Latency of each good answer in seconds, for `quantile`, `min` and `max`; it is not in the journal.",
)
"""Hours of load have some 100,000: expressions see them, and journals have what they were judged by."""


class AskParams(Params):
    """What to ask, and which workload."""

    target: Annotated[Target | None, FromAncestor("target")] = Field(
        default=None, description="The workload; by default that of the ancestor that outputs one."
    )
    model: str | None = Field(
        default=None, description="Model to ask for; default: the first that the target lists."
    )
    prompt: str = Field(default="Why does a GPU fall off the bus?", description="The prompt.")
    max_tokens: int = Field(default=16, ge=1, description="Maximum tokens of each answer.")
    stream: bool = Field(
        default=False, description="Ask for a stream; it counts as good only when it completes."
    )
    request_timeout: Duration = Field(
        default=timedelta(seconds=10),
        description="A request whose answer is not complete by then has failed.",
    )
    headers: Annotated[dict[str, HeaderValue], AfterValidator(allowed)] = Field(
        default={},
        description="HTTP headers, `x-…` or `api-key`; a value may be a secret input: `${{ inputs.NAME }}`.",
    )


class LoadParams(AskParams):
    """How much load."""

    rate: float = Field(default=10.0, gt=0, le=1000, description="Requests a second.")
    window: Duration = Field(
        default=timedelta(seconds=10), description="How far back `requests.success_rate_window` looks."
    )

    @field_validator("window")
    @classmethod
    def _some_time(cls, window: timedelta) -> timedelta:
        if window <= timedelta(0):
            raise ValueError("must be longer than 0s")
        return window


class PhaseStats(BaseModel):
    """The requests of one phase."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    sent: int = Field(description="Requests that were counted.")
    failed: int = Field(description="Those that failed.")
    success_rate: float = Field(description="Good answers over counted requests, 0 to 1.")
    p50: timedelta | None = Field(default=None, description="Median latency of good answers.")
    p95: timedelta | None = Field(default=None, description="95th percentile of their latency.")
    p99: timedelta | None = Field(default=None, description="99th percentile of their latency.")
    latencies: list[float] = _LATENCIES


class LoadOutputs(Outputs):
    """All requests, and those of each phase."""

    sent: int = Field(description="Requests that were counted.")
    failed: int = Field(description="Those that failed.")
    path_errors: int = Field(description="Requests that never reached the target; not counted.")
    success_rate: float | None = Field(
        default=None, description="Good answers over counted requests, 0 to 1."
    )
    availability: float | None = Field(default=None, description="Share of the time outside outages, 0 to 1.")
    latencies: list[float] = _LATENCIES
    before: PhaseStats | None = Field(default=None, description="Requests begun before the first injection.")
    during: PhaseStats | None = Field(default=None, description="Requests begun while a fault was armed.")
    after: PhaseStats | None = Field(default=None, description="Requests begun after the last disarm.")


class Expected(StrEnum):
    """What the answers should be."""

    SUCCESS = "success"
    FAILURE = "failure"


class BaselineParams(AskParams):
    """How many requests."""

    requests: int = Field(default=20, ge=1, le=10_000, description="How many requests, one after the other.")


class VerifyParams(AskParams):
    """How many requests, to which pods, and the expected result."""

    requests: int = Field(default=5, ge=1, le=10_000, description="How many requests, one after the other.")
    expect: Expected | None = Field(
        default=None, description="`success` or `failure` of every request; default: only measure."
    )
    node: str | None = Field(
        default=None, description="Ask the target's pods on this node instead of its frontend."
    )
    fault: Annotated[Fault | None, FromAncestor("fault", optional=True)] = Field(
        default=None,
        description="The fault whose faulted calls prove that pods failed that serve no HTTP or are back already.",
    )


class TrafficOutputs(Outputs):
    """The results of the requests."""

    requests: int = Field(description="Requests that were counted.")
    failed: int = Field(description="Those that failed.")
    path_errors: int = Field(description="Requests that never reached the target; not counted.")
    success_rate: float = Field(description="Good answers over counted requests, 0 to 1.")
    p50: timedelta | None = Field(default=None, description="Median latency of good answers.")
    p95: timedelta | None = Field(default=None, description="95th percentile of their latency.")
    p99: timedelta | None = Field(default=None, description="99th percentile of their latency.")
    latencies: list[float] = _LATENCIES
    ended: list[str] = Field(
        default_factory=list, description="Pods whose process ended because of the fault."
    )


LOAD = StepType(
    name="load",
    kind=Kind.OBSERVATION,
    summary="Send requests at a fixed rate while the other steps run, and measure what clients see.",
    params=LoadParams,
    outputs=LoadOutputs,
    run="offbus_steps.inference.load:load",
    timeout=timedelta(hours=2),
    background=True,
    access=ASK_ACCESS,
    touches="offbus_steps.inference.touches:touches_load",
    preflight="offbus_steps.inference.strangers:preflight",
    metrics=METRICS,
    examples=("{id: load, uses: load, background: true, with: {rate: 20}}",),
)
BASELINE = StepType(
    name="baseline",
    kind=Kind.OBSERVATION,
    summary="Measure success rate and latency before anything is broken.",
    params=BaselineParams,
    outputs=TrafficOutputs,
    run="offbus_steps.inference.verify:baseline",
    timeout=timedelta(minutes=5),
    access=TARGET_ACCESS | ASK_ACCESS,
    touches="offbus_steps.inference.touches:touches_frontend",
    preflight="offbus_steps.inference.strangers:preflight",
    examples=(
        '{id: baseline, uses: baseline, with: {requests: 50}, expect: ["outputs.success_rate >= 0.99"]}',
    ),
)
VERIFY_INFERENCE = StepType(
    name="verify_inference",
    kind=Kind.OBSERVATION,
    summary="Send requests to the target, or to its pods on one node, and check that they succeed or fail.",
    params=VerifyParams,
    outputs=TrafficOutputs,
    run="offbus_steps.inference.verify:verify_inference",
    timeout=timedelta(minutes=2),
    access=TARGET_ACCESS | ASK_ACCESS,
    touches="offbus_steps.inference.touches:touches_frontend_or_node",
    preflight="offbus_steps.inference.strangers:preflight",
    examples=(
        '{id: works, uses: verify_inference, expect: ["outputs.success_rate == 1.0"]}',
        "{id: fails, uses: verify_inference, with: {expect: failure, node: node-1}}",
    ),
)
