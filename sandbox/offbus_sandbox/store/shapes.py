"""The shapes that the sandbox relies on in users' objects: checked when an object is written, never changed.

Fields that nothing here reads may have any value. A real API server checks more; what it would refuse and we accept
does no harm here. Our refusals name the field, so that no controller ever gets a value that it cannot handle.
"""
# ruff: noqa: N815  the fields have Kubernetes' own names

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, Field, StrictBool, StrictInt, StrictStr, ValidationError

from offbus_sandbox.store.pod_shapes import (
    Container,
    EnvVar,
    Expression,
    Labels,
    MainContainer,
    PodBase,
    PodSpec,
    ProbeShape,
    Resources,
    Shape,
    label,
)

__all__ = ["BudgetSpec", "ComponentsSpec", "GraphSpec", "NodeSpec", "PodSpec", "ReplicatedSpec", "problems"]

MAX_SERVICES = 25
"""Services of one DynamoGraphDeployment (its CRD's maxProperties)."""


def service_name(value: str) -> str:
    """A service's name becomes part of object names, in lower case."""
    label(value.lower())
    return value


def percentage(value: int | str) -> int | str:
    """Kubernetes' IntOrString for counts of pods."""
    if isinstance(value, str) and re.fullmatch(r"\d{1,3}%", value) is None:
        raise ValueError(f"{value!r} is neither a whole number nor a percentage such as '25%'")
    if isinstance(value, int) and value < 0:
        raise ValueError("it must not be negative")
    return value


Count = Annotated[StrictInt | StrictStr, AfterValidator(percentage)]
Replicas = Annotated[StrictInt, Field(ge=0, le=1000)]


class TemplateMeta(Shape):
    labels: Labels | None = None
    annotations: Labels | None = None


class PodTemplate(Shape):
    metadata: TemplateMeta | None = None
    spec: PodSpec


class Selector(Shape):
    matchLabels: Labels | None = None
    matchExpressions: list[Expression] | None = None


class RollingUpdate(Shape):
    maxSurge: Count | None = None
    maxUnavailable: Count | None = None


class Strategy(Shape):
    type: Literal["RollingUpdate", "Recreate"] | None = None
    rollingUpdate: RollingUpdate | None = None


class ReplicatedSpec(Shape):
    """apps/v1 DeploymentSpec, ReplicaSetSpec and StatefulSetSpec."""

    replicas: Replicas
    selector: Selector
    template: PodTemplate
    strategy: Strategy | None = None


class BudgetSpec(Shape):
    """policy/v1 PodDisruptionBudgetSpec."""

    minAvailable: Count | None = None
    maxUnavailable: Count | None = None
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
    mainContainer: MainContainer
    containers: list[Container] | None = None


class GraphService(Shape):
    componentType: StrictStr | None = None
    subComponentType: StrictStr | None = None
    replicas: Replicas | None = None
    resources: Resources | None = None
    envs: list[EnvVar] | None = None
    labels: Labels | None = None
    annotations: Labels | None = None
    extraPodMetadata: TemplateMeta | None = None
    extraPodSpec: GraphPodSpec
    readinessProbe: ProbeShape | None = None
    livenessProbe: ProbeShape | None = None
    volumeMounts: list[dict[str, Any]] | None = None


Services = dict[Annotated[StrictStr, AfterValidator(service_name)], GraphService]


class GraphSpec(Shape):
    """nvidia.com/v1alpha1 DynamoGraphDeploymentSpec (reference/dynamo.md §4)."""

    services: Annotated[Services, Field(min_length=1, max_length=MAX_SERVICES)]
    envs: list[EnvVar] | None = None


class ComponentTemplate(Shape):
    metadata: TemplateMeta | None = None
    spec: PodSpec


class GraphComponent(Shape):
    name: Annotated[StrictStr, AfterValidator(service_name)]
    type: StrictStr | None = None
    replicas: Replicas | None = None
    podTemplate: ComponentTemplate


class ComponentsSpec(Shape):
    """nvidia.com/v1beta1 DynamoGraphDeploymentSpec."""

    components: Annotated[list[GraphComponent], Field(min_length=1, max_length=MAX_SERVICES)]
    env: list[EnvVar] | None = None


def problems(shape: type[BaseModel], spec: Any) -> Iterator[str]:
    """Every mistake in `spec`, with its path."""
    try:
        shape.model_validate(spec if isinstance(spec, Mapping) else {})
    except ValidationError as err:
        for found in err.errors(include_url=False, include_context=False):
            path = ".".join(["spec", *map(str, found["loc"])])
            yield f"{path}: {found['msg'].removeprefix('Value error, ')}"
