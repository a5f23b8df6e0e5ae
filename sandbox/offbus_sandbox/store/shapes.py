"""The shapes that the sandbox relies on in what users write: checked when an object is written, never changed.

Fields that nobody here reads may be anything. A real API server checks more; what it would refuse and we accept does
no harm here, and what we refuse names the field, so that no controller ever meets a value that it cannot handle.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    StrictStr,
    ValidationError,
)

__all__ = ["LABEL", "BudgetSpec", "GraphSpec", "NodeSpec", "PodSpec", "ReplicatedSpec", "problems"]

MAX_SERVICES = 25
"""Services of one DynamoGraphDeployment (its CRD's maxProperties)."""
LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


def label(value: str) -> str:
    """A DNS label, as Kubernetes wants container names: logs are filed under them."""
    if LABEL.fullmatch(value) is None:
        raise ValueError("it must be lower-case letters, digits and '-', at most 63 of them")
    return value


def service_name(value: str) -> str:
    """A service's name becomes part of names of objects, in lower case."""
    label(value.lower())
    return value


def whole_gpus(amounts: dict[str, Any]) -> dict[str, Any]:
    """GPUs cannot be shared (Kubernetes: extended resources are whole numbers)."""
    for name, amount in amounts.items():
        if name == "gpu" or name.endswith("/gpu"):
            try:
                whole = int(str(amount)) >= 0
            except ValueError:
                whole = False
            if not whole:
                raise ValueError(f"{name} is {amount!r}, not a whole number")
    return amounts


def percentage(value: int | str) -> int | str:
    """Kubernetes' IntOrString for counts of pods."""
    if isinstance(value, str) and re.fullmatch(r"\d{1,3}%", value) is None:
        raise ValueError(f"{value!r} is neither a whole number nor a percentage such as '25%'")
    if isinstance(value, int) and value < 0:
        raise ValueError("it must not be negative")
    return value


Count = Annotated[StrictInt | StrictStr, AfterValidator(percentage)]
Amounts = Annotated[dict[str, Any], AfterValidator(whole_gpus)]
Labels = dict[str, StrictStr]
Words = list[StrictStr]
Replicas = Annotated[StrictInt, Field(ge=0, le=1000)]


class Shape(BaseModel):
    """Reads what it knows and ignores the rest. Kubernetes treats null as absent everywhere."""

    model_config = ConfigDict(extra="ignore")


class EnvVar(Shape):
    name: Annotated[StrictStr, Field(min_length=1, pattern=r"^[^=\x00]+$")]
    value: StrictStr | None = None
    valueFrom: dict[str, dict[str, Any]] | None = None  # noqa: N815  # Kubernetes' own name, as all below


class ContainerPort(Shape):
    name: StrictStr | None = None
    containerPort: Annotated[StrictInt, Field(ge=1, le=65535)]  # noqa: N815


class ProbeAction(Shape):
    port: StrictInt | StrictStr
    path: StrictStr | None = None


class ProbeShape(Shape):
    httpGet: ProbeAction | None = None  # noqa: N815
    tcpSocket: ProbeAction | None = None  # noqa: N815
    periodSeconds: Annotated[float, Field(gt=0)] = 10  # noqa: N815
    timeoutSeconds: Annotated[float, Field(gt=0)] = 1  # noqa: N815
    successThreshold: Annotated[StrictInt, Field(ge=1)] = 1  # noqa: N815
    failureThreshold: Annotated[StrictInt, Field(ge=1)] = 3  # noqa: N815


class Resources(Shape):
    limits: Amounts | None = None
    requests: Amounts | None = None


class MainContainer(Shape):
    command: Words | None = None
    args: Words | None = None
    env: list[EnvVar] | None = None
    envFrom: list[dict[str, Any]] | None = None  # noqa: N815
    ports: list[ContainerPort] | None = None
    resources: Resources | None = None
    workingDir: StrictStr | None = None  # noqa: N815
    readinessProbe: ProbeShape | None = None  # noqa: N815
    livenessProbe: ProbeShape | None = None  # noqa: N815
    startupProbe: ProbeShape | None = None  # noqa: N815
    volumeMounts: list[dict[str, Any]] | None = None  # noqa: N815


class Container(MainContainer):
    name: Annotated[StrictStr, AfterValidator(label)]


class Toleration(Shape):
    key: StrictStr | None = None
    operator: Literal["Exists", "Equal"] | None = None
    value: StrictStr | None = None
    effect: Literal["", "NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    tolerationSeconds: StrictInt | None = None  # noqa: N815


class Expression(Shape):
    key: StrictStr
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    values: Words | None = None


class Term(Shape):
    matchExpressions: list[Expression] | None = None  # noqa: N815
    matchFields: list[Expression] | None = None  # noqa: N815


class RequiredNodes(Shape):
    nodeSelectorTerms: list[Term]  # noqa: N815


class NodeAffinity(Shape):
    requiredDuringSchedulingIgnoredDuringExecution: RequiredNodes | None = None  # noqa: N815


class Affinity(Shape):
    nodeAffinity: NodeAffinity | None = None  # noqa: N815
    podAffinity: dict[str, Any] | None = None  # noqa: N815
    podAntiAffinity: dict[str, Any] | None = None  # noqa: N815


class PodBase(Shape):
    initContainers: list[Container] | None = None  # noqa: N815
    restartPolicy: Literal["Always", "OnFailure", "Never"] | None = None  # noqa: N815
    terminationGracePeriodSeconds: Annotated[StrictInt, Field(ge=0)] | None = None  # noqa: N815
    nodeSelector: Labels | None = None  # noqa: N815
    tolerations: list[Toleration] | None = None
    affinity: Affinity | None = None
    topologySpreadConstraints: list[dict[str, Any]] | None = None  # noqa: N815


class PodSpec(PodBase):
    """v1 PodSpec."""

    containers: Annotated[list[Container], Field(min_length=1)]


class TemplateMeta(Shape):
    labels: Labels | None = None
    annotations: Labels | None = None


class PodTemplate(Shape):
    metadata: TemplateMeta | None = None
    spec: PodSpec


class Selector(Shape):
    matchLabels: Labels | None = None  # noqa: N815
    matchExpressions: list[Expression] | None = None  # noqa: N815


class RollingUpdate(Shape):
    maxSurge: Count | None = None  # noqa: N815
    maxUnavailable: Count | None = None  # noqa: N815


class Strategy(Shape):
    type: Literal["RollingUpdate", "Recreate"] | None = None
    rollingUpdate: RollingUpdate | None = None  # noqa: N815


class ReplicatedSpec(Shape):
    """apps/v1 DeploymentSpec and ReplicaSetSpec."""

    replicas: Replicas
    selector: Selector
    template: PodTemplate
    strategy: Strategy | None = None


class BudgetSpec(Shape):
    """policy/v1 PodDisruptionBudgetSpec."""

    minAvailable: Count | None = None  # noqa: N815
    maxUnavailable: Count | None = None  # noqa: N815
    selector: Selector | None = None


class Taint(Shape):
    key: StrictStr
    value: StrictStr | None = None
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"]


class NodeSpec(Shape):
    """v1 NodeSpec."""

    unschedulable: StrictBool | None = None
    taints: list[Taint] | None = None


class GraphPodSpec(PodBase):
    mainContainer: MainContainer  # noqa: N815
    containers: list[Container] | None = None


class GraphService(Shape):
    componentType: StrictStr | None = None  # noqa: N815
    subComponentType: StrictStr | None = None  # noqa: N815
    replicas: Replicas | None = None
    resources: Resources | None = None
    envs: list[EnvVar] | None = None
    labels: Labels | None = None
    annotations: Labels | None = None
    extraPodMetadata: TemplateMeta | None = None  # noqa: N815
    extraPodSpec: GraphPodSpec  # noqa: N815
    readinessProbe: ProbeShape | None = None  # noqa: N815
    livenessProbe: ProbeShape | None = None  # noqa: N815
    volumeMounts: list[dict[str, Any]] | None = None  # noqa: N815


Services = dict[Annotated[StrictStr, AfterValidator(service_name)], GraphService]


class GraphSpec(Shape):
    """nvidia.com/v1alpha1 DynamoGraphDeploymentSpec (reference/dynamo.md §4)."""

    services: Annotated[Services, Field(min_length=1, max_length=MAX_SERVICES)]
    envs: list[EnvVar] | None = None


def problems(shape: type[BaseModel], spec: Any) -> Iterator[str]:
    """Every mistake in `spec`, with its place."""
    try:
        shape.model_validate(spec if isinstance(spec, Mapping) else {})
    except ValidationError as err:
        for found in err.errors(include_url=False, include_context=False):
            place = ".".join(["spec", *map(str, found["loc"])])
            yield f"{place}: {found['msg'].removeprefix('Value error, ')}"
