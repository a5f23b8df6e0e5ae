"""Permissions in a cluster: what parts of offbus declare in `access` (offbus_steps.access), in terms of RBAC.

A permission has a scope: the whole cluster (what a drill must see, and its nodes), the drill's namespaces (what it
creates and changes), the agents' namespace (the run's Lease and records, the agents themselves), or cluster permissions
that only `prepare_cuda` by admission needs. `optional` ones concern kinds that a cluster need not serve; they are
checked only where it does. What the adapter itself needs is listed here; all else follows from the declarations. Pure.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from offbus_steps.access import Access
from offbus_steps.kinds import KINDS
from offbus_steps.kubernetes.rest.paths import group_of, resource_of

__all__ = ["ADAPTER", "Right", "Scope", "right_of", "rights_of", "roles"]

ADMISSION = "admissionregistration.k8s.io"
VERBS = ("get", "list", "watch", "create", "patch", "delete")
"""In the order in which roles list them."""


class Scope(StrEnum):
    """Where a permission is needed."""

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
    """Only this object; "" for all."""
    optional: bool = False

    def attributes(self, namespace: str) -> dict[str, str]:
        """Its `resourceAttributes` in an access review."""
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


def _rights(verbs: str, group: str, resources: str, scope: Scope, *, name: str = "") -> Iterable[Right]:
    for resource in resources.split():
        for verb in verbs.split():
            yield Right(verb, group, resource, scope, name)


ADAPTER: tuple[Right, ...] = (
    # to check whether the reaper could undo there
    *_rights("create", "authorization.k8s.io", "localsubjectaccessreviews", Scope.DRILL),
    # the agents: their token, whose pods they are; the run's Lease and its records
    *_rights("get", "", "secrets", Scope.AGENTS, name="offbus-agent-token"),
    *_rights("get create", "", "pods/proxy", Scope.AGENTS),
    *_rights("list", "apps", "daemonsets", Scope.AGENTS),
    *_rights("get", "", "pods", Scope.AGENTS),
    *_rights("get watch create patch delete", "coordination.k8s.io", "leases", Scope.AGENTS),
    *_rights("get create patch delete", "", "configmaps", Scope.AGENTS),
)
"""What the adapter itself needs, independent of the steps."""


def right_of(use: Access) -> Right:
    """The permission that an access needs. Raises Invalid for a kind that offbus does not know."""
    resource = resource_of(use.kind)
    group = group_of(resource.api_version)
    name = f"{resource.plural}/{use.subresource}" if use.subresource else resource.plural
    scope = Scope.DRILL if resource.namespaced and not use.everywhere else Scope.CLUSTER
    if group == ADMISSION:
        scope = Scope.ADMISSION
    # a group that is not Kubernetes' own: clusters serve it when its operator is installed
    custom = "." in group and not group.endswith(".k8s.io")
    return Right(use.verb, group, name, scope, optional=custom)


def rights_of(used: Iterable[Access]) -> list[Right]:
    """The permissions for these accesses, in a fixed order. What is granted everywhere is not granted per namespace."""
    found = {right_of(use) for use in used}
    everywhere = {replace(right, scope=Scope.DRILL) for right in found if right.scope is Scope.CLUSTER}
    return sorted(found - everywhere, key=_order)


def _order(right: Right) -> tuple[int, int, str, int]:
    """By scope, then in the order of KINDS."""
    plural, _, subresource = right.resource.partition("/")
    known = [(group_of(one.api_version), one.plural) for one in KINDS.values()]
    where = known.index((right.group, plural))
    return list(Scope).index(right.scope), where, subresource, VERBS.index(right.verb)


def roles(agent_namespace: str, name: str, rights: Iterable[Right]) -> list[dict[str, Any]]:
    """The RBAC roles that grant exactly these permissions. Bind `NAME-drill` in each namespace of drills, and
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
    rules: dict[tuple[str, str, str], dict[str, Any]] = {}
    for right in rights:
        named = {"resourceNames": [right.name]} if right.name else {}
        rule = {"apiGroups": [right.group], "resources": [right.resource], "verbs": [], **named}
        rules.setdefault((right.group, right.resource, right.name), rule)["verbs"].append(right.verb)
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": kind,
        "metadata": meta,
        "rules": list(rules.values()),
    }
