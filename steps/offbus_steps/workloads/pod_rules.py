"""Whether a node accepts a pod beside the pods that run there and elsewhere: topology spread and pod (anti-)affinity.

As Kubernetes' scheduler decides (plugins PodTopologySpread and InterPodAffinity of release 1.34, filtering.go of each)
and in its words. What it cannot decide without the labels of namespaces is named by `undecided`. Pure.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from offbus_steps.workloads import pods
from offbus_steps.workloads.labels import labels_of, selects
from offbus_steps.workloads.node_rules import matches_node, tolerates_all

__all__ = ["Host", "Rule", "affinity_rule", "spread_rule", "undecided"]

Pod = Mapping[str, Any]
Pair = tuple[str, str]
"""A topology key, and a node's value of it."""
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
NAME_LABEL = "kubernetes.io/metadata.name"
"""Every namespace has it (feature NamespaceDefaultLabelName)."""


@dataclass(slots=True)
class Host:
    """A node, and the pods that hold its resources."""

    node: Mapping[str, Any]
    pods: list[Pod] = field(default_factory=list)

    def pair(self, key: str) -> Pair | None:
        """The node's value of a topology key."""
        value = labels_of(self.node).get(key)
        return None if value is None else (key, value)


Rule = Callable[[Host], str]
"""Why a host does not accept the pod; "" when it does."""


def spread_rule(pod: Pod, hosts: Sequence[Host]) -> Rule:
    """topologySpreadConstraints that must hold."""
    listed = (pod.get("spec") or {}).get("topologySpreadConstraints") or ()
    hard = (one for one in listed if one.get("whenUnsatisfiable") != "ScheduleAnyway")
    constraints = [_Constraint.of(one, pod) for one in hard]
    keys = [one.key for one in constraints]
    counted = [host for host in hosts if all(host.pair(key) for key in keys)] if keys else []
    domains = [one.domains(pod, counted) for one in constraints]

    def rule(host: Host) -> str:
        for one, found in zip(constraints, domains, strict=True):
            pair = host.pair(one.key)
            if pair is None:
                return "node(s) didn't match pod topology spread constraints (missing required label)"
            fewest = min(found.values(), default=0) if len(found) >= one.min_domains else 0
            if found.get(pair[1], 0) + selects(one.selector, labels_of(pod)) - fewest > one.max_skew:
                return "node(s) didn't match pod topology spread constraints"
        return ""

    return rule


def affinity_rule(pod: Pod, hosts: Sequence[Host]) -> Rule:
    """Required pod affinity and anti-affinity: the pod's own, and the anti-affinity of the pods that run."""
    near, far = _terms(pod, "podAffinity"), _terms(pod, "podAntiAffinity")
    beside = set(_pairs(near, pod, hosts)) if near else set()
    apart = {pair for one in far for pair in _pairs([one], pod, hosts)}
    unwanted_at = {  # where pods run that do not want this one
        pair
        for host in hosts
        for other in host.pods
        for one in _terms(other, "podAntiAffinity")
        if (pair := host.pair(one["topologyKey"])) and _selects(one, other, pod)
    }
    first_of_its_kind = not beside and all(_selects(one, pod, pod) for one in near)

    def rule(host: Host) -> str:
        pairs = [host.pair(one["topologyKey"]) for one in near]
        if None in pairs or not (first_of_its_kind or beside.issuperset(p for p in pairs if p)):
            return "node(s) didn't match pod affinity rules"
        if any(host.pair(one["topologyKey"]) in apart for one in far):
            return "node(s) didn't match pod anti-affinity rules"
        if not unwanted_at.isdisjoint(labels_of(host.node).items()):
            return "node(s) didn't satisfy existing pods anti-affinity rules"
        return ""

    return rule


def undecided(pod: Pod) -> Iterator[str]:
    """The pod's rules that need the labels of namespaces to be decided."""
    for kind in ("podAffinity", "podAntiAffinity"):
        for term in _terms(pod, kind):
            selector = term.get("namespaceSelector") or {}
            keys = {*(selector.get("matchLabels") or {})}
            keys |= {one["key"] for one in selector.get("matchExpressions") or ()}
            if keys - {NAME_LABEL}:
                yield f"its required {kind} selects namespaces by labels"


@dataclass(frozen=True, slots=True)
class _Constraint:
    """One entry of topologySpreadConstraints."""

    key: str
    max_skew: int
    min_domains: int
    selector: Mapping[str, Any] | None
    by_affinity: bool
    by_taints: bool

    @classmethod
    def of(cls, given: Mapping[str, Any], pod: Pod) -> "_Constraint":
        selector = given.get("labelSelector")
        same = {
            key: value for key, value in labels_of(pod).items() if key in (given.get("matchLabelKeys") or ())
        }
        if same and selector is not None:
            selector = {**selector, "matchLabels": {**(selector.get("matchLabels") or {}), **same}}
        return cls(
            key=given["topologyKey"],
            max_skew=int(given.get("maxSkew") or 1),
            min_domains=int(given.get("minDomains") or 1),
            selector=selector,
            by_affinity=(given.get("nodeAffinityPolicy") or "Honor") == "Honor",
            by_taints=(given.get("nodeTaintsPolicy") or "Ignore") == "Honor",
        )

    def domains(self, pod: Pod, hosts: Iterable[Host]) -> Counter[str]:
        """How many pods count in each domain that the pod could go to; an empty selector counts none."""
        found: Counter[str] = Counter()
        empty = self.selector is not None and not any(self.selector.values())
        for host in hosts:
            spec = pod.get("spec") or {}
            if (self.by_affinity and not matches_node(spec, host.node)) or (
                self.by_taints and not tolerates_all(spec, host.node)
            ):
                continue
            beside = (one for one in host.pods if not empty and not pods.is_terminating(one))
            found[labels_of(host.node)[self.key]] += sum(
                _namespace(one) == _namespace(pod) and selects(self.selector, labels_of(one))
                for one in beside
            )
        return found


def _terms(pod: Pod, kind: str) -> Sequence[Mapping[str, Any]]:
    affinity = (pod.get("spec") or {}).get("affinity") or {}
    terms: Sequence[Mapping[str, Any]] = (affinity.get(kind) or {}).get(REQUIRED) or ()
    return terms


def _selects(term: Mapping[str, Any], owner: Pod, other: Pod) -> bool:
    """Whether a term of one pod is about another."""
    names, spaces = term.get("namespaces") or (), term.get("namespaceSelector")
    space = _namespace(other)
    if not names and spaces is None:
        within = space == _namespace(owner)
    else:
        within = space in names or selects(spaces, {NAME_LABEL: space})
    return within and selects(term.get("labelSelector"), labels_of(other))


def _pairs(terms: Sequence[Mapping[str, Any]], pod: Pod, hosts: Iterable[Host]) -> Iterator[Pair]:
    """Where pods run that all terms are about: Kubernetes takes them together."""
    for host in hosts:
        if any(all(_selects(one, pod, other) for one in terms) for other in host.pods):
            yield from (pair for one in terms if (pair := host.pair(one["topologyKey"])))


def _namespace(pod: Pod) -> str:
    return str(pod["metadata"].get("namespace") or "default")
