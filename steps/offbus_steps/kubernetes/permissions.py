"""Every right that a runner needs in a cluster: one table, for the check before a run and for deploy/'s roles.

A right has a scope: the whole cluster (what a drill must see, and its nodes), the drill's namespaces (what it makes
and changes), the agents' namespace (the run's Lease and records, the agents themselves), or only what `prepare_cuda`
by admission needs of the cluster, which other drills do without. `optional` rights concern
kinds that a cluster need not serve; they are asked for only where it does. Pure.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

__all__ = ["RIGHTS", "RUNNER", "Right", "Scope", "roles"]

RUNNER = "offbus-runner"
NVIDIA = "nvidia.com"
JANITOR = "janitor.dgxc.nvidia.com"
LWS = "leaderworkerset.x-k8s.io"


class Scope(StrEnum):
    """Where a right is needed."""

    CLUSTER = "cluster"
    DRILL = "drill"
    AGENTS = "agents"
    ADMISSION = "admission"


@dataclass(frozen=True, slots=True)
class Right:
    """One verb on one resource. `resource` may name a subresource ("pods/log")."""

    verb: str
    group: str
    resource: str
    scope: Scope
    name: str = ""
    """Only this object."""
    optional: bool = False

    def attributes(self, namespace: str) -> dict[str, str]:
        """What an access review asks about."""
        resource, _, subresource = self.resource.partition("/")
        found = {
            "verb": self.verb,
            "group": self.group,
            "resource": resource,
            "subresource": subresource,
            "namespace": namespace,
            "name": self.name,
        }
        return {key: value for key, value in found.items() if value}

    def __str__(self) -> str:
        what = f"{self.resource}.{self.group}" if self.group else self.resource
        return f"{self.verb} {what}" + (f" {self.name!r}" if self.name else "")


def _rights(
    verbs: str, group: str, resources: str, scope: Scope, *, name: str = "", optional: bool = False
) -> Iterable[Right]:
    for resource in resources.split():
        for verb in verbs.split():
            yield Right(verb, group, resource, scope, name, optional)


RIGHTS: tuple[Right, ...] = (
    # what a drill watches, and what it compares before and after
    *_rights("get list watch patch", "", "nodes", Scope.CLUSTER),
    *_rights("patch", "", "nodes/status", Scope.CLUSTER),
    *_rights("get list watch", "", "pods", Scope.CLUSTER),
    *_rights("list", "", "configmaps", Scope.CLUSTER),
    *_rights("get list watch create delete", "", "namespaces", Scope.CLUSTER),
    *_rights("list", "apps", "replicasets", Scope.CLUSTER),
    *_rights("list watch", "apps", "deployments statefulsets", Scope.CLUSTER),
    *_rights("list", "", "services persistentvolumeclaims", Scope.CLUSTER),
    *_rights("list", "policy", "poddisruptionbudgets", Scope.CLUSTER),
    *_rights("list watch", NVIDIA, "dynamographdeployments", Scope.CLUSTER, optional=True),
    *_rights("list watch", LWS, "leaderworkersets", Scope.CLUSTER, optional=True),
    # what a responder says of a fault that is not fatal
    *_rights("list watch", "", "events", Scope.CLUSTER),
    # what the fault's undo clears of the responder's
    *_rights("list watch delete", JANITOR, "rebootnodes gpuresets", Scope.CLUSTER, optional=True),
    # targets: made, prepared, asked, restarted
    *_rights("get create patch delete", "apps", "deployments statefulsets", Scope.DRILL),
    *_rights("get create patch delete", NVIDIA, "dynamographdeployments", Scope.DRILL, optional=True),
    *_rights("get create patch delete", LWS, "leaderworkersets", Scope.DRILL, optional=True),
    *_rights("get watch create delete", "", "configmaps services persistentvolumeclaims", Scope.DRILL),
    *_rights("get watch create delete", "policy", "poddisruptionbudgets", Scope.DRILL),
    # creating pods: only as dry runs, which show before anything is touched what a namespace would refuse
    *_rights("create delete", "", "pods", Scope.DRILL),
    *_rights("get", "", "pods/log", Scope.DRILL),
    *_rights("get create", "", "pods/proxy services/proxy", Scope.DRILL),
    # whether the reaper could undo there
    *_rights("create", "authorization.k8s.io", "localsubjectaccessreviews", Scope.DRILL),
    # the agents, the run's Lease and its records
    *_rights("get", "", "secrets", Scope.AGENTS, name="offbus-agent-token"),
    *_rights("get create", "", "pods/proxy", Scope.AGENTS),
    *_rights("get create patch delete watch", "coordination.k8s.io", "leases", Scope.AGENTS),
    *_rights("get create patch delete", "", "configmaps", Scope.AGENTS),
    # prepare_cuda by admission
    *_rights(
        "get list watch create delete",
        "admissionregistration.k8s.io",
        "mutatingadmissionpolicies mutatingadmissionpolicybindings mutatingwebhookconfigurations",
        Scope.ADMISSION,
    ),
)


def roles(agent_namespace: str, name: str = RUNNER, rights: Iterable[Right] = RIGHTS) -> list[dict[str, Any]]:
    """The RBAC roles that hold exactly these rights. Bind `NAME-drill` in each namespace of drills, and
    `NAME-admission` only for drills that prepare by admission."""
    held = tuple(rights)
    return [
        _role("ClusterRole", name, "", (one for one in held if one.scope is Scope.CLUSTER)),
        _role("ClusterRole", f"{name}-drill", "", (one for one in held if one.scope is Scope.DRILL)),
        _role("Role", name, agent_namespace, (one for one in held if one.scope is Scope.AGENTS)),
        _role("ClusterRole", f"{name}-admission", "", (one for one in held if one.scope is Scope.ADMISSION)),
    ]


def _role(kind: str, name: str, namespace: str, rights: Iterable[Right]) -> dict[str, Any]:
    meta: dict[str, Any] = {"name": name} | ({"namespace": namespace} if namespace else {})
    meta["labels"] = {"app.kubernetes.io/part-of": "offbus"}
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": kind,
        "metadata": meta,
        "rules": [_rule(key, verbs) for key, verbs in _by_resource(rights).items()],
    }


def _by_resource(rights: Iterable[Right]) -> Mapping[tuple[str, str, str], list[str]]:
    found: dict[tuple[str, str, str], list[str]] = {}
    for right in rights:
        found.setdefault((right.group, right.resource, right.name), []).append(right.verb)
    return found


def _rule(key: tuple[str, str, str], verbs: list[str]) -> dict[str, Any]:
    group, resource, name = key
    rule: dict[str, Any] = {"apiGroups": [group], "resources": [resource], "verbs": verbs}
    return rule | ({"resourceNames": [name]} if name else {})
