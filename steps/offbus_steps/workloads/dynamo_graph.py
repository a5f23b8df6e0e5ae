"""DynamoGraphDeployment nvidia.com, v1alpha1 and v1beta1 (reference: ai-dynamo/dynamo, deploy/operator/api).

v1alpha1: `spec.services`, a map: `componentType`, `replicas`, `multinode.nodeCount`, `resources.limits.gpu`, `envs`
and `extraPodSpec`, a PodSpec plus `mainContainer`. v1beta1: `spec.components`, a list by `name`: `type`, `replicas`,
`multinode.nodeCount` and `podTemplate`, whose container `main` runs the component (the engine may be another). Which
of the two an object is written in shows in its spec: a server without a conversion webhook stores it unchanged.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from offbus.errors import StepError
from offbus_steps.workloads import gpus, pods
from offbus_steps.workloads.base import Main, Part, Workload
from offbus_steps.workloads.fields import Segment
from offbus_steps.workloads.quantity import count, share
from offbus_steps.workloads.shim_mounts import PRELOAD

__all__ = ["COMPONENT_LABEL", "COMPONENT_TYPE_LABEL", "GRAPH_LABEL", "Graph"]

GRAPH_LABEL = "nvidia.com/dynamo-graph-deployment-name"
"""On every pod of a graph, whatever its operator's version."""
COMPONENT_LABEL = "nvidia.com/dynamo-component"
"""The service's name, verbatim."""
COMPONENT_TYPE_LABEL = "nvidia.com/dynamo-component-type"
FRONTEND_PORT = 8000
"""The port of a Dynamo frontend (operator constants)."""
UNAVAILABLE = "nvidia.com/deployment-rolling-update-max-unavailable"
"""The operator rolls 25 % / 25 % by default."""
GROVE_STRATEGY = "nvidia.com/grove-update-strategy"
WITHOUT_SURGE = frozenset({"PodClique", "PodCliqueScalingGroup", "LeaderWorkerSet"})
"""What a component may consist of, beside Deployments: these stop a pod before they start another."""
MAIN = "main"
"""The container that runs the component (operator: MainContainerName)."""


@dataclass(frozen=True)
class _Component(ABC):
    """One service or component of a graph."""

    kind_field: ClassVar[str]
    name: str
    body: Mapping[str, Any]

    @property
    def kind(self) -> str:
        """frontend, worker, prefill, decode, planner, epp."""
        return str(self.body.get(self.kind_field) or "").lower()

    @property
    @abstractmethod
    def pod_spec(self) -> Mapping[str, Any]:
        """The PodSpec that the user wrote, its containers under their names in the pods."""

    @abstractmethod
    def location(self) -> tuple[tuple[Segment, ...], Main]:
        """Where its PodSpec is, and its container `main`."""

    def part(self) -> Part:
        """Its pods' template."""
        at, main = self.location()
        labels = {COMPONENT_LABEL: self.name}
        return Part(self.pod_spec, at, self.pods, self.name, labels, nodes=self.nodes, main=main)

    @property
    def nodes(self) -> int:
        """How many pods one replica has."""
        return count(self.body.get("multinode") or {}, "nodeCount", 1)

    @property
    def pods(self) -> int:
        """How many pods it should have: each replica of a multinode component is `nodeCount` of them."""
        return count(self.body, "replicas", 1) * self.nodes


class _Alpha(_Component):
    """A service of v1alpha1."""

    kind_field = "componentType"

    @property
    def pod_spec(self) -> Mapping[str, Any]:
        own = self.body.get("resources") or {}
        # the service's own short form of its GPUs: `resources.limits.gpu`, of the resource `gpuType`; or `custom`
        amounts = {**(own.get("requests") or {}), **(own.get("limits") or {})}
        short: dict[str, Any] = dict(amounts.get("custom") or {})
        if number := gpus.amount(amounts, "gpu", self.name):
            short[amounts.get("gpuType") or gpus.GPU_RESOURCE] = number
        extra = self.body.get("extraPodSpec") or {}
        given = extra.get("mainContainer") or {}
        resources = given.get("resources") or {}
        # the short form comes before the container's
        asked = {one: {**(resources.get(one) or {}), **short} for one in ("limits", "requests")}
        claims = resources.get("claims") or own.get("claims") or ()
        main = {**given, "name": MAIN, "resources": {**resources, **asked, "claims": claims}}
        inits = extra.get("initContainers") or ()
        return {"containers": [main, *(extra.get("containers") or ())], "initContainers": inits}

    def location(self) -> tuple[tuple[Segment, ...], Main]:
        at: tuple[Segment, ...] = ("spec", "services", self.name)
        pod: tuple[Segment, ...] = (*at, "extraPodSpec")
        in_service = any(one.get("name") == PRELOAD for one in self.body.get("envs") or ())
        return pod, Main(
            MAIN,
            inherited=(("spec", "envs"),),
            at=(*pod, "mainContainer"),
            env=(*at, "envs") if in_service else (),
            short=(*at, "resources"),
        )


class _Beta(_Component):
    """A component of v1beta1."""

    kind_field = "type"

    @property
    def pod_spec(self) -> Mapping[str, Any]:
        spec: Mapping[str, Any] = (self.body.get("podTemplate") or {}).get("spec") or {}
        return spec

    def location(self) -> tuple[tuple[Segment, ...], Main]:
        at = ("spec", "components", ("name", self.name), "podTemplate", "spec")
        return at, Main(MAIN, inherited=(("spec", "env"),))


class Graph(Workload):
    """A DynamoGraphDeployment of either version."""

    observes_generations = False  # the operator's releases before 2026 do not
    frontend_labels: ClassVar[Mapping[str, str]] = {COMPONENT_TYPE_LABEL: "frontend"}

    @property
    def selector(self) -> Mapping[str, str]:
        return {GRAPH_LABEL: self.ref.name}

    @property
    def desired(self) -> int:
        return sum(one.pods for one in self._components())

    @property
    def rolled_out(self) -> bool:
        status = self.obj.get("status") or {}
        generation = count(self.obj["metadata"], "generation", 0)
        ready = any(
            one.get("type") == "Ready"
            and one.get("status") == "True"
            and count(one, "observedGeneration", generation) >= generation
            for one in status.get("conditions") or ()
        )
        return self.observed and ready and status.get("state") == "successful"

    @property
    def port(self) -> int:
        for one in self._components():
            if one.kind == "frontend":
                main = [c for c in pods.containers(one.pod_spec) if c.get("name") == MAIN]
                return pods.http_port({"containers": main}) or FRONTEND_PORT
        raise StepError(
            f"{self.ref} has no component of type frontend",
            hint="set `port` in `deploy` to the port that serves HTTP",
        )

    def parts(self) -> Iterator[Part]:
        return (one.part() for one in self._components())

    def surge(self) -> int:
        status = self.obj.get("status") or {}
        known: Mapping[str, Any] = {**(status.get("services") or {}), **(status.get("components") or {})}
        grouped = {name for name, one in known.items() if one.get("componentKind") in WITHOUT_SURGE}
        allowed = self.obj["metadata"].get("annotations") or {}
        parts = (one for one in self._components() if one.name not in grouped and any(one.part().templates()))
        return sum(1 for one in parts if not share(allowed.get(UNAVAILABLE), one.pods))

    @property
    def not_rolling(self) -> str:
        strategy = (self.obj["metadata"].get("annotations") or {}).get(GROVE_STRATEGY)
        return f"its annotation {GROVE_STRATEGY} is OnDelete" if strategy == "OnDelete" else ""

    def _components(self) -> Iterator[_Component]:
        spec = self.obj.get("spec") or {}  # NVIDIA's schema does not require it
        if "components" in spec:
            yield from (_Beta(one["name"], one) for one in spec["components"] or ())
        else:
            yield from (_Alpha(name, one) for name, one in (spec.get("services") or {}).items())
