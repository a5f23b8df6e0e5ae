"""The shapes that scheduler and kubelet rely on in pod specs (see offbus_sandbox.store.shapes)."""
# ruff: noqa: N815  the fields have Kubernetes' own names

import re
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictInt,
    StrictStr,
)

from offbus_steps.workloads.quantity import whole

__all__ = [
    "LABEL",
    "Container",
    "EnvVar",
    "Expression",
    "Labels",
    "MainContainer",
    "PodBase",
    "PodSpec",
    "ProbeShape",
    "Resources",
    "Shape",
    "label",
]

LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


def label(value: str) -> str:
    """A DNS label, as Kubernetes requires for container names: log folders are named after them."""
    if LABEL.fullmatch(value) is None:
        raise ValueError("it must consist of at most 63 lower-case letters, digits and '-'")
    return value


def whole_gpus(amounts: dict[str, Any]) -> dict[str, Any]:
    """GPUs cannot be shared (Kubernetes: extended resources are whole numbers)."""
    for name, amount in amounts.items():
        if name == "gpu" or name.endswith("/gpu"):
            try:
                whole(amount)
            except ValueError as err:
                raise ValueError(f"{name} is {amount!r}, not a whole number") from err
    return amounts


Amounts = Annotated[dict[str, Any], AfterValidator(whole_gpus)]
Labels = dict[str, StrictStr]
Words = list[StrictStr]


class Shape(BaseModel):
    """Parses the known fields and ignores the rest. Kubernetes treats null as absent everywhere."""

    model_config = ConfigDict(extra="ignore")


class EnvVar(Shape):
    name: Annotated[StrictStr, Field(min_length=1, pattern=r"^[^=\x00]+$")]
    value: StrictStr | None = None
    valueFrom: dict[str, dict[str, Any]] | None = None


class ContainerPort(Shape):
    name: StrictStr | None = None
    containerPort: Annotated[StrictInt, Field(ge=1, le=65535)]


class ProbeAction(Shape):
    port: StrictInt | StrictStr
    path: StrictStr | None = None


class ProbeShape(Shape):
    httpGet: ProbeAction | None = None
    tcpSocket: ProbeAction | None = None
    periodSeconds: Annotated[float, Field(gt=0)] = 10
    timeoutSeconds: Annotated[float, Field(gt=0)] = 1
    successThreshold: Annotated[StrictInt, Field(ge=1)] = 1
    failureThreshold: Annotated[StrictInt, Field(ge=1)] = 3


class Resources(Shape):
    limits: Amounts | None = None
    requests: Amounts | None = None


class MainContainer(Shape):
    command: Words | None = None
    args: Words | None = None
    env: list[EnvVar] | None = None
    envFrom: list[dict[str, Any]] | None = None
    ports: list[ContainerPort] | None = None
    resources: Resources | None = None
    workingDir: StrictStr | None = None
    readinessProbe: ProbeShape | None = None
    livenessProbe: ProbeShape | None = None
    startupProbe: ProbeShape | None = None
    volumeMounts: list[dict[str, Any]] | None = None


class Container(MainContainer):
    name: Annotated[StrictStr, AfterValidator(label)]
    restartPolicy: Literal["Always", "OnFailure", "Never"] | None = None


class Toleration(Shape):
    key: StrictStr | None = None
    operator: Literal["Exists", "Equal"] | None = None
    value: StrictStr | None = None
    effect: Literal["", "NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    tolerationSeconds: StrictInt | None = None


class Expression(Shape):
    key: StrictStr
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    values: Words | None = None


class NodeExpression(Expression):
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"]  # type: ignore[assignment]  # two more


class Term(Shape):
    matchExpressions: list[NodeExpression] | None = None
    matchFields: list[NodeExpression] | None = None


class RequiredNodes(Shape):
    nodeSelectorTerms: list[Term]


class NodeAffinity(Shape):
    requiredDuringSchedulingIgnoredDuringExecution: RequiredNodes | None = None


class Affinity(Shape):
    nodeAffinity: NodeAffinity | None = None
    podAffinity: dict[str, Any] | None = None
    podAntiAffinity: dict[str, Any] | None = None


class PodBase(Shape):
    initContainers: list[Container] | None = None
    restartPolicy: Literal["Always", "OnFailure", "Never"] | None = None
    terminationGracePeriodSeconds: Annotated[StrictInt, Field(ge=0)] | None = None
    nodeSelector: Labels | None = None
    tolerations: list[Toleration] | None = None
    affinity: Affinity | None = None
    topologySpreadConstraints: list[dict[str, Any]] | None = None


class PodSpec(PodBase):
    """v1 PodSpec."""

    containers: Annotated[list[Container], Field(min_length=1)]
