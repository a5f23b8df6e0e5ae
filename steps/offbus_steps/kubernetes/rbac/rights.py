"""Rights in a cluster: what parts of offbus declare to use (offbus_steps.access), in the words of RBAC.

A right has a scope: the whole cluster (what a drill must see, and its nodes), the drill's namespaces (what it makes
and changes), the agents' namespace (the run's Lease and records, the agents themselves), or only what `prepare_cuda`
by admission needs of the cluster, which other drills do without. `optional` rights concern kinds that a cluster need
not serve; they are asked for only where it does. What the adapter itself needs is listed here; all else follows from
the declarations. Pure.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from offbus_steps.access import Access
from offbus_steps.kubernetes.rest.paths import group_of, resource_of
from offbus_steps.port import KINDS

__all__ = ["ADAPTER", "Right", "Scope", "right_of", "rights_of", "roles"]

ADMISSION = "admissionregistration.k8s.io"
VERBS = ("get", "list", "watch", "create", "patch", "delete")
"""In the order in which roles name them."""


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


def _rights(verbs: str, group: str, resources: str, scope: Scope, *, name: str = "") -> Iterable[Right]:
    for resource in resources.split():
        for verb in verbs.split():
            yield Right(verb, group, resource, scope, name)


ADAPTER: tuple[Right, ...] = (
    # whether the reaper could undo there
    *_rights("create", "authorization.k8s.io", "localsubjectaccessreviews", Scope.DRILL),
    # the agents, the run's Lease and its records
    *_rights("get", "", "secrets", Scope.AGENTS, name="offbus-agent-token"),
    *_rights("get create", "", "pods/proxy", Scope.AGENTS),
    *_rights("get watch create patch delete", "coordination.k8s.io", "leases", Scope.AGENTS),
    *_rights("get create patch delete", "", "configmaps", Scope.AGENTS),
)
"""What the adapter itself needs, whatever the steps are."""


def right_of(use: Access) -> Right:
    """The right that a use needs. Raises Invalid for a kind that offbus does not know."""
    resource = resource_of(use.kind)
    group = group_of(resource.api_version)
    name = f"{resource.plural}/{use.subresource}" if use.subresource else resource.plural
    scope = Scope.DRILL if resource.namespaced and not use.everywhere else Scope.CLUSTER
    return Right(
        use.verb, group, name, Scope.ADMISSION if group == ADMISSION else scope, optional=_is_custom(group)
    )


def rights_of(used: Iterable[Access]) -> list[Right]:
    """The rights that these uses need, in one order. What is held everywhere is not given in namespaces again."""
    found = {right_of(use) for use in used}
    everywhere = {replace(right, scope=Scope.DRILL) for right in found if right.scope is Scope.CLUSTER}
    return sorted(found - everywhere, key=_order)


def _order(right: Right) -> tuple[int, int, str, int]:
    """By scope, then as KINDS has them."""
    plural, _, subresource = right.resource.partition("/")
    known = [(group_of(one.api_version), one.plural) for one in KINDS.values()]
    where = known.index((right.group, plural))
    return list(Scope).index(right.scope), where, subresource, VERBS.index(right.verb)


def _is_custom(group: str) -> bool:
    """Whether a group is not Kubernetes' own: clusters serve it when its operator is installed."""
    return "." in group and not group.endswith(".k8s.io")


def roles(agent_namespace: str, name: str, rights: Iterable[Right]) -> list[dict[str, Any]]:
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
