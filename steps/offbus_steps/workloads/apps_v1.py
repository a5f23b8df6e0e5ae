"""apps/v1: Deployment and StatefulSet, which have one pod template."""

from collections.abc import Iterator, Mapping
from typing import Any

from offbus.errors import StepError
from offbus_steps.workloads.base import Part, Workload, counts_agree
from offbus_steps.workloads.labels import Expression, expression_of
from offbus_steps.workloads.quantity import count, share

__all__ = ["Deployment", "StatefulSet"]


class _Plain(Workload):
    """What both have in common."""

    @property
    def selector(self) -> Mapping[str, str]:
        selector = self.obj["spec"]["selector"]
        if not selector.get("matchLabels") and not selector.get("matchExpressions"):
            raise StepError(f"{self.ref} selects no pods", hint="add matchLabels to its selector")
        return dict(selector.get("matchLabels") or {})

    @property
    def expressions(self) -> tuple[Expression, ...]:
        """Raises StepError for an operator that a LabelSelector does not have."""
        listed = self.obj["spec"]["selector"].get("matchExpressions") or ()
        return tuple(map(expression_of, listed))

    @property
    def desired(self) -> int:
        return count(self.obj["spec"], "replicas", 1)

    @property
    def rolled_out(self) -> bool:
        return self.observed and counts_agree(self.obj.get("status") or {}, self.desired)

    @property
    def serving(self) -> Mapping[str, Any]:
        template: Mapping[str, Any] = self.obj["spec"]["template"]
        return template

    def parts(self) -> Iterator[Part]:
        yield Part(self.serving["spec"], ("spec", "template", "spec"), self.desired)


class Deployment(_Plain):
    """apps/v1 Deployment."""

    def surge(self) -> int:
        strategy = self.obj["spec"].get("strategy") or {}
        if strategy.get("type") == "Recreate":
            return 0
        rolling = strategy.get("rollingUpdate") or {}
        return 0 if share(rolling.get("maxUnavailable"), self.desired) else min(1, self.desired)

    @property
    def not_rolling(self) -> str:
        return "it is paused" if self.obj["spec"].get("paused") else ""


class StatefulSet(_Plain):
    """apps/v1 StatefulSet: it stops a pod before it starts the next one."""

    @property
    def rolled_out(self) -> bool:
        status = self.obj.get("status") or {}
        return super().rolled_out and status.get("currentRevision") == status.get("updateRevision")

    def surge(self) -> int:
        return 0

    @property
    def not_rolling(self) -> str:
        strategy = self.obj["spec"].get("updateStrategy") or {}
        if strategy.get("type") == "OnDelete":
            return "its updateStrategy is OnDelete"
        partition = count(strategy.get("rollingUpdate") or {}, "partition", 0)
        return (
            f"its updateStrategy does not replace the pods below partition {partition}" if partition else ""
        )
