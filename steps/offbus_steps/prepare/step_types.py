"""`prepare_cuda`: load the fault shim into the target's GPU processes, disarmed.

    - {id: prepare, uses: prepare_cuda}
    - {id: prepare, uses: prepare_cuda, with: {by: admission}}

This module only declares it; offbus_steps.prepare.prepare runs it.
"""

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field

from offbus.step import FromAncestor, Kind, Outputs, Params, StepType
from offbus_steps.access import access
from offbus_steps.prepare.admission_kinds import BINDING, POLICY, WEBHOOK
from offbus_steps.watch.access import TARGET_ACCESS
from offbus_steps.workloads.target import Target
from offbus_steps.workloads.workload_kinds import WORKLOAD_KINDS

__all__ = ["PREPARE_CUDA", "PrepareOutputs", "PrepareParams"]

PREPARE_ACCESS = (
    TARGET_ACCESS
    | access("get patch", *WORKLOAD_KINDS)
    | access("list", "Node")
    | access("list", "Pod", "Deployment", everywhere=True)
    | access("create delete", "Pod")
    | access("get", "Pod", subresource="log")
    | access("create", POLICY, BINDING, WEBHOOK)
)
"""Pods are created only as dry runs, which show what a namespace refuses before anything is changed."""


class PrepareParams(Params):
    """What to prepare, and how."""

    target: Annotated[Target | None, FromAncestor("target")] = Field(
        default=None, description="The workload; by default that of the ancestor that outputs one."
    )
    by: Literal["patch", "admission"] = Field(
        default="patch",
        description="patch: the workload's spec is changed and restored. admission: its spec is not changed, for "
        "operators and GitOps that revert changes; by MutatingAdmissionPolicy where the cluster serves it, else by "
        "offbus's webhook (deploy/webhook).",
    )


class PrepareOutputs(Outputs):
    """What was prepared."""

    pods: list[str] = Field(description="The pods that run with the shim loaded.")


PREPARE_CUDA = StepType(
    name="prepare_cuda",
    kind=Kind.ACTION,
    summary="Load the fault shim, disarmed, into the target's GPU processes; its pods restart once.",
    params=PrepareParams,
    outputs=PrepareOutputs,
    run="offbus_steps.prepare.prepare:prepare_cuda",
    timeout=timedelta(minutes=10),
    access=PREPARE_ACCESS,
    touches="offbus_steps.prepare.preflight:touches",
    preflight="offbus_steps.prepare.preflight:preflight",
    examples=(
        "{id: prepare, uses: prepare_cuda}",
        "{id: prepare, uses: prepare_cuda, with: {by: admission}}",
    ),
)
