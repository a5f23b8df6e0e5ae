"""LeaderWorkerSet leaderworkerset.x-k8s.io/v1 (kubernetes-sigs/lws): groups of a leader and its workers.

Each of `replicas` groups has `size` pods; the leader has a template of its own or the workers'. The label worker-index
distinguishes pods: 0 is the leader. A rollout replaces whole groups.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from offbus_steps.workloads.base import Part, Workload, counts_agree
from offbus_steps.workloads.quantity import count, share

__all__ = ["LeaderWorkerSet"]

NAME_LABEL = "leaderworkerset.sigs.k8s.io/name"
INDEX_LABEL = "leaderworkerset.sigs.k8s.io/worker-index"
LEADER = {INDEX_LABEL: "0"}


class LeaderWorkerSet(Workload):
    """A LeaderWorkerSet: see the module."""

    observes_generations = False  # versions before 0.8 do not
    frontend_labels = LEADER
    whose_port = "of its leaders "

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
    def serving(self) -> Mapping[str, Any]:
        template = self._template[self._keys[0]]
        meta = template.get("metadata") or {}
        labels = {**(meta.get("labels") or {}), **self.selector, **LEADER}
        return {**template, "metadata": {**meta, "labels": labels}}

    def parts(self) -> Iterator[Part]:
        both, leaders = len(self._keys) > 1, self._groups
        for key in self._keys:
            is_leader = key == "leaderTemplate"
            rest = self.desired - leaders if both else self.desired
            yield Part(
                self._template[key]["spec"],
                ("spec", "leaderWorkerTemplate", key, "spec"),
                leaders if is_leader else rest,
                name=("leader" if is_leader else "worker") if both else "",
                labels=LEADER if is_leader else {},
                not_labels=LEADER if both and not is_leader else {},
                nodes=self._size,
            )

    def surge(self) -> int:
        rolling = (self.obj["spec"].get("rolloutStrategy") or {}).get("rollingUpdateConfiguration") or {}
        if share(rolling.get("maxUnavailable"), self._groups, default=1) or not self._groups:
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
