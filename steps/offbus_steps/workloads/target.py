"""The workload under test."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from offbus.errors import StepError
from offbus_steps.object_names import unnamed
from offbus_steps.port import Ref
from offbus_steps.workloads.base import Workload
from offbus_steps.workloads.labels import Expression, selector_text
from offbus_steps.workloads.workload_kinds import WORKLOAD_KINDS

__all__ = ["Target", "required_target"]


class Target(BaseModel):
    """Identifies a workload, its pods and its frontend. A step's output, and other steps' param."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    kind: str = Field(description="Kind of the workload: Deployment, DynamoGraphDeployment, …")
    name: str = Field(description="Name of the object.")
    namespace: str = Field(description="Its namespace.")
    port: int = Field(description="Port on which its frontend serves HTTP.")
    selector: dict[str, str] = Field(
        description="Labels that its pods, and with `expressions` no others, have."
    )
    expressions: tuple[Expression, ...] = Field(
        default=(), description="What else is true of its pods' labels: the selector's matchExpressions."
    )

    @property
    def ref(self) -> Ref:
        """The workload object; requests to it reach its frontend."""
        return Ref(self.kind, self.name, self.namespace)

    @classmethod
    def of(cls, workload: Workload, *, port: int | None = None) -> "Target":
        """The target for a workload object."""
        ref = workload.ref
        return cls(
            kind=ref.kind,
            name=ref.name,
            namespace=ref.namespace,
            port=workload.port if port is None else port,
            selector=dict(workload.selector),
            expressions=workload.expressions,
        )

    def selects(self, labels: Mapping[str, str]) -> bool:
        """Whether a pod of its namespace with these labels is one of its pods."""
        return self.selector.items() <= labels.items() and all(
            one.matches(labels) for one in self.expressions
        )

    @property
    def label_selector(self) -> dict[str, Any]:
        """Its pods' LabelSelector, in Kubernetes' own shape."""
        made: dict[str, Any] = {"matchLabels": dict(self.selector)}
        if self.expressions:
            made["matchExpressions"] = [
                one.model_dump(mode="json", exclude_defaults=True) for one in self.expressions
            ]
        return made

    @property
    def selector_text(self) -> str:
        """What a list of its pods takes."""
        return selector_text(self.selector, self.expressions)

    @property
    def unnamed(self) -> str | None:
        """Why this can be no target; None when it can. A record of an undo may hold anything."""
        if not (self.selector or self.expressions):
            return "the pods of a target without labels"
        return unnamed(WORKLOAD_KINDS, self.kind, self.name, self.namespace)

    def __str__(self) -> str:
        return str(self.ref)


def required_target(target: Target | None) -> Target:
    """The target. Scenario validation requires one; raises StepError if it is missing all the same."""
    if target is None:
        raise StepError("no target", hint="add a `deploy` step before this one, or set `target`")
    return target
