"""Where things are in the workloads that drills act on: one small adapter per kind, over Kubernetes' own shapes.

Shapes: Deployment apps/v1; DynamoGraphDeployment nvidia.com/v1alpha1 (reference/dynamo.md, section 4): `spec.services`
is a map of services with `componentType`, `replicas`, `resources.limits.gpu`, `envs` and `extraPodSpec` (a PodSpec
plus `mainContainer`). Services are recognised by what they ask for, never by their names. Pure.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from offbus.errors import StepError
from offbus_steps import fields, pods
from offbus_steps.port import Object, Ref

__all__ = ["GRAPH_LABEL", "WORKLOAD_KINDS", "Template", "Workload", "workload_of"]

GRAPH_LABEL = "nvidia.com/dynamo-graph-deployment-name"
"""On every pod of a graph, whatever its operator's version."""
COMPONENT_LABEL = "nvidia.com/dynamo-component"
"""The service's name, verbatim."""
FRONTEND_PORT = 8000
"""Of a Dynamo frontend (operator constants)."""


@dataclass(frozen=True, slots=True)
class Template:
    """One container of a pod template that asks for GPUs, and where to write what it needs."""

    name: str
    """For people: the service, or the container."""
    container: str
    """Its name in the pods."""
    labels: Mapping[str, str]
    """More labels that its pods have, beside the workload's."""
    env: tuple[fields.Segment, ...]
    """The list that holds its environment."""
    mounts: tuple[fields.Segment, ...]
    volumes: tuple[fields.Segment, ...]
    replicas: int
    gpus: int
    """For each pod."""


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
    def settled(self) -> bool:
        """Whether its controller says that the newest spec is rolled out and ready."""

    @property
    @abstractmethod
    def port(self) -> int:
        """Where its frontend serves HTTP. Raises StepError when that cannot be told."""

    @abstractmethod
    def gpu_templates(self) -> list[Template]:
        """What of it asks for GPUs; the shim goes there."""

    @abstractmethod
    def surge(self) -> int:
        """How many extra GPU pods a rollout of it may need at once before it can stop an old one."""

    @property
    def _observed(self) -> bool:
        observed = (self.obj.get("status") or {}).get("observedGeneration")
        return observed is not None and observed >= self.obj["metadata"].get("generation", 0)


class Deployment(Workload):
    """apps/v1 Deployment."""

    @property
    def selector(self) -> Mapping[str, str]:
        labels = self.obj["spec"]["selector"].get("matchLabels") or {}
        if not labels:
            raise StepError(
                f"{self.ref} selects its pods without matchLabels", hint="offbus needs matchLabels"
            )
        return dict(labels)

    @property
    def desired(self) -> int:
        return int(self.obj["spec"].get("replicas", 1))

    @property
    def settled(self) -> bool:
        status = self.obj.get("status") or {}
        counts = {int(status.get(key, 0)) for key in ("replicas", "updatedReplicas", "readyReplicas")}
        return self._observed and counts == {self.desired}

    @property
    def port(self) -> int:
        port = pods.http_port(self._pod_spec)
        if port is None:
            raise StepError(
                f"{self.ref} does not say which port serves HTTP",
                hint='name a container port "http", or give `port` in `deploy`',
            )
        return port

    def gpu_templates(self) -> list[Template]:
        at = ("spec", "template", "spec")
        return [
            Template(
                name=one["name"],
                container=one["name"],
                labels={},
                env=(*at, "containers", ("name", one["name"]), "env"),
                mounts=(*at, "containers", ("name", one["name"]), "volumeMounts"),
                volumes=(*at, "volumes"),
                replicas=self.desired,
                gpus=pods.gpu_request({"containers": [one]}),
            )
            for one in pods.containers(self._pod_spec)
            if pods.gpu_request({"containers": [one]})
        ]

    def surge(self) -> int:
        strategy = self.obj["spec"].get("strategy") or {}
        if strategy.get("type") == "Recreate":
            return 0
        rolling = strategy.get("rollingUpdate") or {}
        return 0 if _share(rolling.get("maxUnavailable", "25%"), self.desired) else min(1, self.desired)

    @property
    def _pod_spec(self) -> Mapping[str, Any]:
        spec: Mapping[str, Any] = self.obj["spec"]["template"]["spec"]
        return spec


class Graph(Workload):
    """nvidia.com/v1alpha1 DynamoGraphDeployment."""

    @property
    def selector(self) -> Mapping[str, str]:
        return {GRAPH_LABEL: self.ref.name}

    @property
    def desired(self) -> int:
        return sum(_graph_pods(service) for _, service in self._services())

    @property
    def settled(self) -> bool:
        status = self.obj.get("status") or {}
        ready = any(
            one.get("type") == "Ready" and one.get("status") == "True"
            for one in status.get("conditions") or ()
        )
        return self._observed and ready and status.get("state") == "successful"

    @property
    def port(self) -> int:
        for _, service in self._services():
            if service.get("componentType") == "frontend":
                spec = {"containers": [_main(service)]}
                return pods.http_port(spec) or FRONTEND_PORT
        raise StepError(
            f"{self.ref} has no service of componentType frontend", hint="inference cannot be asked of it"
        )

    def gpu_templates(self) -> list[Template]:
        return [self._template(name, one) for name, one in self._services() if _graph_gpus(one)]

    def surge(self) -> int:
        # The operator rolls 25 % / 25 % by default (annotations nvidia.com/deployment-rolling-update-*).
        share = (self.obj["metadata"].get("annotations") or {}).get(
            "nvidia.com/deployment-rolling-update-max-unavailable", "25%"
        )
        needing = [t for t in self.gpu_templates() if not _share(share, t.replicas)]
        return len(needing)

    def _services(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        yield from (self.obj["spec"].get("services") or {}).items()

    def _template(self, name: str, service: Mapping[str, Any]) -> Template:
        at: tuple[fields.Segment, ...] = ("spec", "services", name)
        main = (*at, "extraPodSpec", "mainContainer")
        in_service = any(one.get("name") == "LD_PRELOAD" for one in service.get("envs") or ())
        return Template(
            name=name,
            container=_main(service).get("name") or "main",
            labels={COMPONENT_LABEL: name},
            env=(*at, "envs") if in_service else (*main, "env"),
            mounts=(*main, "volumeMounts"),
            volumes=(*at, "extraPodSpec", "volumes"),
            replicas=_graph_pods(service),
            gpus=_graph_gpus(service),
        )


_KINDS: Mapping[str, type[Workload]] = {"Deployment": Deployment, "DynamoGraphDeployment": Graph}
WORKLOAD_KINDS = tuple(sorted(_KINDS))
"""The kinds that can be a target."""


def workload_of(obj: Object) -> Workload:
    """The adapter for an object. Raises StepError for a kind that cannot be a target."""
    adapter = _KINDS.get(obj["kind"])
    if adapter is None:
        raise StepError(f"{obj['kind']} cannot be a target", hint=f"possible are {', '.join(WORKLOAD_KINDS)}")
    return adapter(obj)


def _main(service: Mapping[str, Any]) -> Mapping[str, Any]:
    main: Mapping[str, Any] = (service.get("extraPodSpec") or {}).get("mainContainer") or {}
    return main


def _graph_pods(service: Mapping[str, Any]) -> int:
    nodes = int((service.get("multinode") or {}).get("nodeCount", 1))
    return int(service.get("replicas", 1)) * nodes


def _graph_gpus(service: Mapping[str, Any]) -> int:
    resources = service.get("resources") or {}
    amounts = {**(resources.get("requests") or {}), **(resources.get("limits") or {})}
    return int(amounts.get("gpu") or 0) or pods.gpu_request({"containers": [_main(service)]})


def _share(value: Any, of: int) -> int:
    """Kubernetes' IntOrString for maxUnavailable: a number, or a percentage that is rounded down."""
    text = str(value)
    return int(text[:-1]) * of // 100 if text.endswith("%") else int(text)
