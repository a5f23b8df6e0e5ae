"""What every kind of workload answers, and what several of them share."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from offbus_steps.port import Object, Ref
from offbus_steps.workloads import pods
from offbus_steps.workloads.fields import Segment

__all__ = ["Template", "Workload", "counts_agree", "gpu_containers", "paths_of", "share"]


@dataclass(frozen=True, slots=True)
class Template:
    """One container of a pod template that asks for GPUs, and where to write what it needs."""

    name: str
    """For people: the service, or the container."""
    container: str
    """Its name in the pods."""
    labels: Mapping[str, str]
    """More labels that its pods have, beside the workload's."""
    env: tuple[Segment, ...]
    """The list that holds its environment."""
    mounts: tuple[Segment, ...]
    volumes: tuple[Segment, ...]
    replicas: int
    gpus: int
    """For each pod."""
    not_labels: Mapping[str, str] = field(default_factory=dict)
    """Labels that none of its pods has."""
    inherited: tuple[tuple[Segment, ...], ...] = ()
    """Further lists of environment that its container gets; entries of `env` win over them."""
    nodes: int = 1
    """Pods of one replica."""
    short: tuple[Segment, ...] = ()
    """Where its GPUs may stand in a short form of the kind's own, beside the container's resources."""

    def is_of(self, labels: Mapping[str, str]) -> bool:
        """Whether a pod of the workload with these labels is made from this template."""
        return self.labels.items() <= labels.items() and not (self.not_labels.items() & labels.items())


class Workload(ABC):
    """One workload object."""

    def __init__(self, obj: Object) -> None:
        self.obj = obj
        self.ref = Ref.of(obj)

    @property
    @abstractmethod
    def selector(self) -> Mapping[str, str]:
        """Labels that its pods, and no others, have."""

    @property
    @abstractmethod
    def desired(self) -> int:
        """How many pods it should have."""

    @property
    @abstractmethod
    def rolled_out(self) -> bool:
        """Whether its controller says that the newest spec is rolled out and ready."""

    @property
    @abstractmethod
    def port(self) -> int:
        """Where its frontend serves HTTP. Raises StepError when that cannot be told."""

    @property
    @abstractmethod
    def serving(self) -> Mapping[str, Any]:
        """The pod template (labels, spec) of the pods that serve HTTP; empty where no single one does."""

    @property
    def frontend_labels(self) -> Mapping[str, str]:
        """More labels that its pods have that serve HTTP, beside the selector's."""
        return {}

    @abstractmethod
    def gpu_templates(self) -> list[Template]:
        """What of it asks for GPUs; the shim goes there."""

    @abstractmethod
    def container_paths(self) -> list[tuple[Segment, ...]]:
        """Where its containers stand, those without GPUs among them."""

    @abstractmethod
    def surge(self) -> int:
        """How many extra GPU pods a rollout of it may need at once before it can stop an old one."""

    @property
    @abstractmethod
    def not_rolling(self) -> str:
        """Why a change of its pod template would not replace all of its pods; "" where it does."""

    @property
    def observed(self) -> bool:
        observed = (self.obj.get("status") or {}).get("observedGeneration")
        return observed is not None and observed >= self.obj["metadata"].get("generation", 0)


def gpu_containers(pod_spec: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """Name and GPUs of a PodSpec's containers that ask for some."""
    for one in pods.containers(pod_spec):
        gpus = pods.gpu_request({"containers": [one]})
        if gpus:
            yield one["name"], gpus


def paths_of(pod_spec: Mapping[str, Any], at: tuple[Segment, ...]) -> list[tuple[Segment, ...]]:
    """Where the containers of a PodSpec stand that stands at `at`."""
    return [(*at, "containers", ("name", one["name"])) for one in pods.containers(pod_spec)]


def counts_agree(status: Mapping[str, Any], wanted: int) -> bool:
    """Whether all that there is is wanted, updated and ready."""
    return {int(status.get(key, 0)) for key in ("replicas", "updatedReplicas", "readyReplicas")} == {wanted}


def share(value: Any, of: int) -> int:
    """Kubernetes' IntOrString for maxUnavailable: a number, or a percentage that is rounded down."""
    text = str(value)
    return int(text[:-1]) * of // 100 if text.endswith("%") else int(text)
