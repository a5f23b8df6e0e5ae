"""`await_*` and `hold`: the platform's response to a fault, seen in the run's watches.

    - {id: seen,     uses: await_detection,   timeout: 2m}
    - {id: marked,   uses: await_quarantine,  timeout: 3m}
    - {id: cordon,   uses: await_cordon,      timeout: 3m}
    - {id: drain,    uses: await_drain,       timeout: 5m}
    - {id: repaired, uses: await_remediation, timeout: 15m}
    - {id: tested,   uses: await_validation,  timeout: 20m}
    - {id: uncordon, uses: await_uncordon,    timeout: 10m}
    - {id: moved,    uses: await_recovery,    timeout: 10m}
    - {id: calm,     uses: hold, with: {expr: "node.schedulable && target.ready == 2", for: 30s}}

This module only declares them; the module in `run` runs each.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field

from offbus.declared import Metric
from offbus.durations import Duration
from offbus.step import Expr, FromAncestor, Kind, Outputs, Params, StepType
from offbus_steps.access import Access
from offbus_steps.agents.fault_model import Fault
from offbus_steps.inference.step_types import ASK_ACCESS, AskParams
from offbus_steps.nvsentinel.access import DEPLOYED_ACCESS
from offbus_steps.nvsentinel.parts import Act
from offbus_steps.observe.metrics import times
from offbus_steps.watch.access import TARGET_ACCESS
from offbus_steps.workloads.target import Target

__all__ = [
    "AWAIT_CORDON",
    "AWAIT_DETECTION",
    "AWAIT_DRAIN",
    "AWAIT_QUARANTINE",
    "AWAIT_RECOVERY",
    "AWAIT_REMEDIATION",
    "AWAIT_UNCORDON",
    "AWAIT_VALIDATION",
    "HOLD",
    "VARIABLES",
    "DetectionOutputs",
    "HoldOutputs",
    "HoldParams",
    "QuarantineOutputs",
    "QuarantineParams",
    "RecoveryOutputs",
    "RecoveryParams",
    "RemediationOutputs",
    "ResponseOutputs",
    "ResponseParams",
    "ValidationOutputs",
]

VARIABLES: Mapping[str, str] = {
    "node.cordoned": "bool",
    "node.schedulable": "bool",
    "node.healthy": "bool",
    "node.state": "string",
    "target.ready": "int",
    "target.replicas": "int",
    "target.restarts": "int",
}


class ResponseParams(Params):
    """The fault to wait for the response to."""

    fault: Annotated[Fault | None, FromAncestor("fault")] = Field(
        default=None,
        description="The fault, and those of its step's other nodes; by default that of the ancestor that outputs one.",
    )


class ResponseOutputs(Outputs):
    """What the responder did, and when."""

    node: str = Field(description="The faulted node; of several, the first.")
    nodes: list[str] = Field(description="All nodes that the step faulted.")
    after: timedelta | None = Field(
        default=None,
        description="From the injection; of several nodes, the longest; unset when it was so before.",
    )


class QuarantineParams(ResponseParams):
    """How far the node's marks have to be."""

    state: Literal["quarantined", "drain-succeeded", "remediation-succeeded"] = Field(
        default="quarantined",
        description="The responder's state label; a later one counts, too. A dry run sets all, and does nothing.",
    )


class QuarantineOutputs(Outputs):
    """What the node's marks say, and whether more than marks was set."""

    node: str = Field(description="The faulted node; of several, the first.")
    nodes: list[str] = Field(description="All nodes that the step faulted.")
    cordoned: bool = Field(description="Whether each of them is cordoned, too: not in a dry run.")
    after: timedelta = Field(description="From the injection to the marks; of several nodes, the longest.")


class DetectionOutputs(Outputs):
    """How the responder reported the fault."""

    node: str = Field(description="The faulted node; of several, the first.")
    nodes: list[str] = Field(description="All nodes that the step faulted.")
    fatal: bool = Field(
        description="Whether each node got a condition, which leads to its cordon, and not only an Event."
    )
    told: str = Field(
        description="What it reported: the condition, or the type of the Event that repeats the fault's kernel line."
    )
    after: timedelta = Field(description="From the injection to the report; of several nodes, the longest.")


class RemediationOutputs(Outputs):
    """What was repaired, and how long it took."""

    node: str = Field(description="The faulted node; of several, the first.")
    nodes: list[str] = Field(description="All nodes that the step faulted.")
    resource: str = Field(
        description='The responder\'s resource, as "Kind/name"; of several nodes, one for each.'
    )
    after: timedelta = Field(
        description="From the injection to its completion; of several nodes, the longest."
    )


class ValidationOutputs(Outputs):
    """What was validated, and how long it took."""

    node: str = Field(description="The faulted node; of several, the first.")
    nodes: list[str] = Field(description="All nodes that the step faulted.")
    resource: str = Field(
        description='The responder\'s resource, as "ValidationRequest/name"; of several nodes, one for each.'
    )
    after: timedelta = Field(description="From the injection to its success; of several nodes, the longest.")


class HoldParams(Params):
    """What must stay true, and for how long."""

    expr: Annotated[str, Expr(VARIABLES)] = Field(
        description="CEL over node.cordoned, node.schedulable, node.healthy (no fault condition of a responder), "
        "node.state (the responder's label), target.ready, target.replicas, target.restarts."
    )
    for_: Duration = Field(alias="for", description="How long it must hold, from now.")
    target: Annotated[Target | None, FromAncestor("target")] = Field(
        default=None, description="The workload; by default that of the ancestor that outputs one."
    )
    fault: Annotated[Fault | None, FromAncestor("fault", optional=True)] = Field(
        default=None, description="The fault from whose injection on it must hold; default: from now."
    )
    node: str | None = Field(default=None, description="The node; default: each faulted node.")


class HoldOutputs(Outputs):
    """It held."""

    evaluated: int = Field(description="How many times it was evaluated: for each state and node.")


class RecoveryParams(AskParams):
    """What recovered means."""

    fault: Annotated[Fault | None, FromAncestor("fault")] = Field(
        default=None, description="The fault; by default that of the ancestor that outputs one."
    )
    moved: bool = Field(
        default=True,
        description="No pod of the target that requests GPUs may be on a node that was faulted with this fault.",
    )
    answers: int = Field(default=5, ge=1, description="How many good answers in a row are needed.")
    pause: Duration = Field(default=timedelta(milliseconds=100), description="Pause between two requests.")


class RecoveryOutputs(Outputs):
    """How and when it recovered."""

    after: timedelta = Field(description="From the injection to the recovery.")
    no_outage: bool | None = Field(
        default=None,
        description="No request failed since the injection; unset when none was sent before this step.",
    )
    replicas: int = Field(description="How many of its pods are ready.")
    restarts: int = Field(
        description="How often these pods' containers with GPUs have restarted; all of them where none has any."
    )
    nodes: list[str] = Field(description="Where its pods run now.")


def _response_step(
    name: str,
    summary: str,
    run: str,
    minutes: int,
    metrics: Mapping[str, Metric],
    outputs: type[Outputs] = ResponseOutputs,
    access: frozenset[Access] = frozenset(),
    params: type[Params] = ResponseParams,
    preflight: str | None = None,
    waits_for: tuple[Act, ...] = (),
) -> StepType:
    """A step type that waits for the responder; `waits_for` is what a dry run leaves out."""
    return StepType(
        name=name,
        kind=Kind.OBSERVATION,
        summary=summary,
        params=params,
        outputs=outputs,
        run=run,
        timeout=timedelta(minutes=minutes),
        metrics=metrics,
        access=access,
        waits_for=waits_for,
        preflight=preflight and f"offbus_steps.observe.preflight:{preflight}",
        examples=(f"{{id: {name.removeprefix('await_')}, uses: {name}, timeout: {minutes}m}}",),
    )


AWAIT_QUARANTINE = _response_step(
    "await_quarantine",
    "Wait until the responder has marked the faulted nodes as in quarantine; in a dry run nothing else is to be seen.",
    "offbus_steps.observe.await_quarantine:await_quarantine",
    3,
    times("quarantine"),
    QuarantineOutputs,
    params=QuarantineParams,
)
AWAIT_CORDON = _response_step(
    "await_cordon",
    "Wait until the responder has cordoned the faulted nodes.",
    "offbus_steps.observe.await_quarantine:await_cordon",
    3,
    times("detect", "cordon"),
    waits_for=(Act.CORDON,),
)
AWAIT_DRAIN = _response_step(
    "await_drain",
    "Wait until the responder has drained the faulted nodes.",
    "offbus_steps.observe.await_quarantine:await_drain",
    5,
    times("drain"),
    preflight="drains",
    waits_for=(Act.DRAIN,),
)
AWAIT_UNCORDON = _response_step(
    "await_uncordon",
    "Wait until the responder has lifted its quarantine.",
    "offbus_steps.observe.await_quarantine:await_uncordon",
    10,
    times("remediate", "validate", "uncordon"),
    waits_for=(Act.UNCORDON,),
)
AWAIT_DETECTION = _response_step(
    "await_detection",
    "Wait until the responder reports the fault.",
    "offbus_steps.observe.await_detection:await_detection",
    2,
    times("detect"),
    DetectionOutputs,
)
AWAIT_REMEDIATION = _response_step(
    "await_remediation",
    "Wait until the responder has repaired the faulted nodes.",
    "offbus_steps.observe.await_detection:await_remediation",
    15,
    times("remediate"),
    RemediationOutputs,
    waits_for=(Act.REPAIR,),
)
AWAIT_VALIDATION = _response_step(
    "await_validation",
    "Wait until the responder has validated the repaired nodes, which it does before it uncordons them.",
    "offbus_steps.observe.await_detection:await_validation",
    20,
    times("remediate", "validate"),
    ValidationOutputs,
    DEPLOYED_ACCESS,
    preflight="validates",
    waits_for=(Act.VALIDATE,),
)
HOLD = StepType(
    name="hold",
    kind=Kind.OBSERVATION,
    summary="Check that something stays true from the injection on, by watch.",
    params=HoldParams,
    outputs=HoldOutputs,
    run="offbus_steps.observe.hold:hold",
    timeout=timedelta(minutes=10),
    access=TARGET_ACCESS,
    examples=('{id: calm, uses: hold, with: {expr: "node.schedulable", for: 30s}}',),
)
AWAIT_RECOVERY = StepType(
    name="await_recovery",
    kind=Kind.OBSERVATION,
    summary="Wait until the target's replicas are ready elsewhere and it answers again.",
    params=RecoveryParams,
    outputs=RecoveryOutputs,
    run="offbus_steps.observe.await_recovery:await_recovery",
    timeout=timedelta(minutes=10),
    access=TARGET_ACCESS | ASK_ACCESS,
    metrics=times("recover"),
    touches="offbus_steps.observe.preflight:recovery_touches",
    preflight="offbus_steps.inference.strangers:preflight",
    examples=("{id: moved, uses: await_recovery, timeout: 10m}",),
)
