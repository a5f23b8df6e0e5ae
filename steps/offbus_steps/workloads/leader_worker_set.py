"""LeaderWorkerSet leaderworkerset.x-k8s.io/v1 (kubernetes-sigs/lws): groups of a leader and its workers.

Each of `replicas` groups has `size` pods; the leader has a template of its own or the workers'. The label worker-index
distinguishes pods: 0 is the leader. A rollout replaces whole groups.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from offbus.errors import StepError
from offbus_steps.workloads import pods
from offbus_steps.workloads.base import Template, Workload, counts_agree, paths_of, share
from offbus_steps.workloads.fields import Segment
from offbus_steps.workloads.gpus import gpu_containers, gpus_of
from offbus_steps.workloads.quantity import count

__all__ = ["LeaderWorkerSet"]

NAME_LABEL = "leaderworkerset.sigs.k8s.io/name"
INDEX_LABEL = "leaderworkerset.sigs.k8s.io/worker-index"
LEADER = {INDEX_LABEL: "0"}


class LeaderWorkerSet(Workload):
    """A LeaderWorkerSet: see the module."""

    observes_generations = False  # versions before 0.8 do not
    frontend_labels = LEADER

    @property
    def selector(self) -> Mapping[str, str]:
        return {NAME_LABEL: self.ref.name}

    @property
    def desired(self) -> int:
        return self._groups * self._size

    @property
    def rolled_out(self) -> bool:
        status = self.obj.get("status") or {}
        updating = any(
            one.get("type") == "UpdateInProgress" and one.get("status") == "True"
            for one in status.get("conditions") or ()
        )
        return self.observed and not updating and counts_agree(status, self._groups)

    @property
    def port(self) -> int:
        port = pods.http_port(self.serving["spec"])
        if port is None:
            raise StepError(
                f"{self.ref} does not declare which port of its leaders serves HTTP",
                hint='name a container port "http", or set `port` in `deploy`',
            )
        return port

    @property
    def serving(self) -> Mapping[str, Any]:
        template = self._template[self._keys[0]]
        meta = template.get("metadata") or {}
        labels = {**(meta.get("labels") or {}), **self.selector, **LEADER}
        return {**template, "metadata": {**meta, "labels": labels}}

    def gpu_templates(self) -> list[Template]:
        if "leaderTemplate" not in self._keys:
            return list(self._templates("workerTemplate", "", self.desired, {}, {}))
        leaders = self._templates("leaderTemplate", "leader ", self._groups, LEADER, {})
        workers = self._templates("workerTemplate", "worker ", self.desired - self._groups, {}, LEADER)
        return [*leaders, *workers]

    @property
    def pod_specs(self) -> list[Mapping[str, Any]]:
        return [self._template[key]["spec"] for key in self._keys]

    def container_paths(self) -> list[tuple[Segment, ...]]:
        return [
            path
            for key in self._keys
            for path in paths_of(self._template[key]["spec"], ("spec", "leaderWorkerTemplate", key, "spec"))
        ]

    def surge(self) -> int:
        rolling = (self.obj["spec"].get("rolloutStrategy") or {}).get("rollingUpdateConfiguration") or {}
        if share(rolling, "maxUnavailable", 1, self._groups) or not self._groups:
            return 0
        return sum(1 for one in self.gpu_templates() for _ in range(one.replicas // self._groups))

    @property
    def not_rolling(self) -> str:
        rolling = (self.obj["spec"].get("rolloutStrategy") or {}).get("rollingUpdateConfiguration") or {}
        partition = count(rolling, "partition", 0)
        return (
            f"its rolloutStrategy does not replace the groups below partition {partition}"
            if partition
            else ""
        )

    def _templates(
        self, key: str, what: str, replicas: int, labels: Mapping[str, str], not_labels: Mapping[str, str]
    ) -> Iterator[Template]:
        at: tuple[Segment, ...] = ("spec", "leaderWorkerTemplate", key, "spec")
        for field, one in gpu_containers(self._template[key]["spec"]):
            yield Template(
                name=f"{what}{one['name']}",
                container=one["name"],
                labels=labels,
                env=(*at, field, ("name", one["name"]), "env"),
                mounts=(*at, field, ("name", one["name"]), "volumeMounts"),
                volumes=(*at, "volumes"),
                replicas=replicas,
                gpus=gpus_of(one),
                not_labels=not_labels,
                nodes=self._size,
            )

    @property
    def _template(self) -> Mapping[str, Any]:
        template: Mapping[str, Any] = self.obj["spec"]["leaderWorkerTemplate"]
        return template

    @property
    def _keys(self) -> tuple[str, ...]:
        """Its templates, the leaders' first: they have one of their own, or the workers'."""
        both = bool(self._template.get("leaderTemplate"))
        return ("leaderTemplate", "workerTemplate") if both else ("workerTemplate",)

    @property
    def _groups(self) -> int:
        return count(self.obj["spec"], "replicas", 1)

    @property
    def _size(self) -> int:
        return count(self._template, "size", 1)
