"""The interface of all kinds of workloads, and what several of them share."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from offbus.errors import StepError
from offbus_steps.port import Object, Ref
from offbus_steps.workloads import pods
from offbus_steps.workloads.fields import Segment
from offbus_steps.workloads.gpus import gpus_of
from offbus_steps.workloads.labels import Expression
from offbus_steps.workloads.quantity import count

__all__ = ["Main", "Part", "Template", "Workload", "counts_agree"]


@dataclass(frozen=True, slots=True)
class Template:
    """One container of a pod template that requests GPUs, and the paths of its fields."""

    name: str
    """For messages: the service, or the container."""
    container: str
    """Its name in the pods."""
    labels: Mapping[str, str]
    """Labels that its pods have in addition to the workload's."""
    env: tuple[Segment, ...]
    """The list that holds its environment."""
    mounts: tuple[Segment, ...]
    volumes: tuple[Segment, ...]
    replicas: int
    gpus: int
    """GPUs of each pod."""
    not_labels: Mapping[str, str] = field(default_factory=dict)
    """Labels that none of its pods has."""
    inherited: tuple[tuple[Segment, ...], ...] = ()
    """Further environment lists of its container; entries of `env` override them."""
    nodes: int = 1
    """How many pods one replica has."""
    short: tuple[Segment, ...] = ()
    """Where the kind has a short form for its GPUs, beside the container's resources."""

    def is_of(self, labels: Mapping[str, str]) -> bool:
        """Whether a pod of the workload with these labels is made from this template."""
        return self.labels.items() <= labels.items() and not (self.not_labels.items() & labels.items())


@dataclass(frozen=True, slots=True)
class Main:
    """What a kind keeps of one container of its pods beside the PodSpec's lists."""

    container: str
    """Its name in the pods."""
    inherited: tuple[tuple[Segment, ...], ...]
    """As of its `Template`."""
    at: tuple[Segment, ...] = ()
    """The container itself, if it is not in a list."""
    env: tuple[Segment, ...] = ()
    """Its environment, if that is not in the container."""
    short: tuple[Segment, ...] = ()
    """As of its `Template`."""


@dataclass(frozen=True, slots=True)
class Part:
    """One pod template of a workload."""

    spec: Mapping[str, Any]
    """Its PodSpec, the containers under their names in the pods."""
    at: tuple[Segment, ...]
    """Where the PodSpec is."""
    replicas: int
    name: str = ""
    """For messages; "" for the only one."""
    labels: Mapping[str, str] = field(default_factory=dict)
    not_labels: Mapping[str, str] = field(default_factory=dict)
    nodes: int = 1
    main: Main | None = None

    def containers(self) -> Iterator[tuple[tuple[Segment, ...], Mapping[str, Any]]]:
        """Its containers, also those without GPUs, each with its path."""
        for where, one in pods.listed_containers(self.spec):
            elsewhere = self.main.at if self.main is not None and one["name"] == self.main.container else ()
            yield elsewhere or (*self.at, where, ("name", one["name"])), one

    def templates(self) -> Iterator[Template]:
        """Its containers that request GPUs."""
        for path, one in self.containers():
            if not (held := gpus_of(one)):
                continue
            main = self.main if self.main is not None and one["name"] == self.main.container else None
            yield Template(
                name=self.name if main else f"{self.name} {one['name']}".lstrip(),
                container=one["name"],
                labels=self.labels,
                env=(main.env if main else ()) or (*path, "env"),
                mounts=(*path, "volumeMounts"),
                volumes=(*self.at, "volumes"),
                replicas=self.replicas,
                gpus=held,
                not_labels=self.not_labels,
                inherited=main.inherited if main else (),
                nodes=self.nodes,
                short=main.short if main else (),
            )


class Workload(ABC):
    """One workload object."""

    observes_generations = True
    """Whether every version of its controller writes `status.observedGeneration`."""

    whose_port = ""
    """For messages: of which of its pods."""
    frontend_labels: ClassVar[Mapping[str, str]] = {}
    """Labels of the pods that serve HTTP, in addition to the selector's."""

    def __init__(self, obj: Object) -> None:
        self.obj = obj
        self.ref = Ref.of(obj)

    @property
    @abstractmethod
    def selector(self) -> Mapping[str, str]:
        """Labels that its pods, and with `expressions` no others, have."""

    @property
    def expressions(self) -> tuple[Expression, ...]:
        """What else is true of its pods' labels."""
        return ()

    @property
    @abstractmethod
    def desired(self) -> int:
        """How many pods it should have."""

    @property
    @abstractmethod
    def rolled_out(self) -> bool:
        """Whether its controller reports the newest spec as rolled out and ready."""

    @property
    def port(self) -> int:
        """Where its frontend serves HTTP. Raises StepError when it does not declare that."""
        port = pods.http_port(self.serving["spec"])
        if port is None:
            raise StepError(
                f"{self.ref} does not declare which port {self.whose_port}serves HTTP",
                hint='name a container port "http", or set `port` in `deploy`',
            )
        return port

    @property
    def serving(self) -> Mapping[str, Any]:
        """The pod template (labels, spec) of the pods that serve HTTP; empty when no single one does."""
        return {}

    @abstractmethod
    def parts(self) -> Iterator[Part]:
        """Its pod templates."""

    @property
    def pod_specs(self) -> list[Mapping[str, Any]]:
        """The PodSpecs of its pods."""
        return [one.spec for one in self.parts()]

    def gpu_templates(self) -> list[Template]:
        """Its containers that request GPUs; the shim is loaded there."""
        return [template for one in self.parts() for template in one.templates()]

    def container_paths(self) -> list[tuple[Segment, ...]]:
        """The paths of its containers, also of those without GPUs; each once."""
        return list(dict.fromkeys(path for one in self.parts() for path, _ in one.containers()))

    @abstractmethod
    def surge(self) -> int:
        """How many extra GPU pods a rollout of it may need at once before it can stop an old one."""

    @property
    @abstractmethod
    def not_rolling(self) -> str:
        """Why a change of its pod template would not replace all of its pods; "" when it would."""

    @property
    def observed(self) -> bool:
        """Whether the status is that of the newest spec. One that cannot say may lag, and then the pods decide."""
        generation = count(self.obj["metadata"], "generation", 0)
        silent = -1 if self.observes_generations else generation
        return count(self.obj.get("status") or {}, "observedGeneration", silent) >= generation


def counts_agree(status: Mapping[str, Any], wanted: int) -> bool:
    """Whether exactly the wanted replicas exist, updated and ready."""
    return {count(status, key, 0) for key in ("replicas", "updatedReplicas", "readyReplicas")} == {wanted}
