"""Drills that together ask for everything that a drill and its recovery may ask for, one state of a responder each.

Each is played twice: once it is interrupted, and its runner undoes; once it is killed, and the reaper does.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from offbus_steps.kinds import KINDS
from tests.kits.kubernetes.role_world import DRILLS

__all__ = ["STORIES", "Story"]

PORT = 8000
CONTAINER = {
    "name": "main",
    "image": "none",
    "ports": [{"name": "http", "containerPort": PORT}],
    "env": [{"name": "LD_PRELOAD", "value": "/opt/theirs.so"}],
    "resources": {"limits": {"nvidia.com/gpu": "1"}},
}
"""There are no processes in which an agent could find its LD_PRELOAD."""
LABELS = {"app": "llm"}
POD = {"containers": [CONTAINER], "terminationGracePeriodSeconds": 1}
TEMPLATE = {"metadata": {"labels": LABELS}, "spec": POD}
PLAIN = {"replicas": 2, "selector": {"matchLabels": LABELS}, "template": TEMPLATE}
GROUPS = {"replicas": 2, "leaderWorkerTemplate": {"size": 1, "workerTemplate": TEMPLATE}}
COMPONENT = {"name": "Worker", "type": "worker", "replicas": 2, "podTemplate": {"spec": POD}}
FRONTEND = {
    "name": "Frontend",
    "type": "frontend",
    "replicas": 1,
    "podTemplate": {"spec": {"containers": [{"name": "main", "image": "none"}]}},
}
SPECS: Mapping[str, Mapping[str, Any]] = {
    "Deployment": {**PLAIN, "strategy": {"type": "Recreate"}},
    "StatefulSet": {**PLAIN, "serviceName": "llm"},
    "LeaderWorkerSet": GROUPS,
    "DynamoGraphDeployment": {"components": [FRONTEND, COMPONENT]},
}


@dataclass(frozen=True)
class Story:
    """A target of one kind, how it is prepared and faulted, and until when the drill goes on."""

    kind: str
    steps: tuple[Mapping[str, Any], ...]
    until: str = ""
    """The kind of object of which the responder makes one; "" for none: until the drill's last step stands."""
    responder: Mapping[str, Any] = field(default_factory=dict)
    beside: tuple[Mapping[str, Any], ...] = ()
    """What the manifest has besides the target."""

    @property
    def manifest(self) -> list[dict[str, Any]]:
        meta = {"name": "llm", "namespace": DRILLS}
        target = {"apiVersion": KINDS[self.kind].api_version, "kind": self.kind, "metadata": meta}
        others = [
            {
                "apiVersion": KINDS[one["kind"]].api_version,
                "metadata": meta if KINDS[one["kind"]].namespaced else {"name": "drill-own"},
                **one,
            }
            for one in self.beside
        ]
        return [*others, {**target, "spec": dict(SPECS[self.kind])}]

    def scenario(self, name: str) -> dict[str, Any]:
        """Its manifest lies beside it, as NAME-target.yaml."""
        deploy = {"manifest": f"{name}-target.yaml", "port": PORT}
        stands = {"id": "stands", "uses": "hold", "with": {"expr": "1 == 1", "for": "10m"}, "timeout": "11m"}
        return {
            "offbus": 1,
            "name": name,
            "environment": {"uses": "kubernetes", "namespace": DRILLS, "lease_s": 6},
            "guards": {"namespaces": [DRILLS, "drill-own"], "real_remediation": "allow"},
            "undo_timeout": "3m",
            "steps": [{"id": "deploy", "uses": "deploy", "with": deploy}, *self.steps, stands],
        }


def step(uses: str, **given: Any) -> dict[str, Any]:
    return {"id": uses, "uses": uses, "with": given}


PREPARE = step("prepare_cuda")
XID79 = step("inject_xid", xid=79, patience="4s")
ASKED = (
    {**step("load", rate=5), "background": True},
    step("baseline", requests=3),
)
BUDGET = {"minAvailable": 0, "selector": {"matchLabels": {"app": "nobody"}}}
CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
STORIES: Mapping[str, Story] = {
    "the whole way": Story(
        "Deployment",
        (
            *ASKED,
            PREPARE,
            XID79,
            step("await_cordon"),
            step("await_drain"),
            step("await_recovery"),
            step("verify_inference"),
            step("await_uncordon"),
            step("cleanup", steps=["inject_xid"]),
        ),
        beside=(
            {"kind": "Namespace"},
            {"kind": "ConfigMap", "data": {"a": "b"}},
            {"kind": "PersistentVolumeClaim", "spec": CLAIM},
            {"kind": "PodDisruptionBudget", "spec": BUDGET},
            {"kind": "Service", "spec": {"selector": LABELS, "ports": [{"port": 80, "targetPort": "http"}]}},
        ),
    ),
    "by admission, calls fail": Story(
        "Deployment",
        (step("prepare_cuda", by="admission"), step("arm_cuda", xid=94), *ASKED[1:]),
    ),
    "nobody reboots": Story("StatefulSet", (PREPARE, XID79), "RebootNode", {"janitor": "manual"}),
    "nobody resets": Story(
        "LeaderWorkerSet",
        (PREPARE, step("inject_xid", xid=119, patience="4s")),
        "GPUReset",
        {"janitor": "manual", "reset_by": "GPUReset"},
    ),
    "a validation that lasts": Story(
        "DynamoGraphDeployment",
        (PREPARE, XID79),
        "ValidationRequest",
        {
            "profile": "v1.33",
            "scale": 20,
            "validation": {"enabled": True},
            "validation_delay_s": 600,
            "circuit_breaker": {"enabled": False},  # one of two nodes trips any
        },
    ),
}
