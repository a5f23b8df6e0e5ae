"""Tells workloads, pods and labelled objects of others, in a fingerprint, from what a run made or changed. Pure.

Whoever may create a pod or a Deployment in any namespace must not decide how a drill ends. So a difference is this
run's only where its records say that it may be: every undo is recorded before its effect, hence what no record names
the run did not do itself, and what was done for it is told by where it is and by its name.

- A workload is the run's if a record names it, or the namespace that it is in was made by the run.
- Pods are the run's if their owner, or they themselves, are called as an object that a record names, or begin with its
  name, as whatever controllers make for it does (also when that owner is gone, and a pod is left alone); if they are in
  a namespace that it made; if one of them has the shim in a namespace in which the run did anything, as admission gives
  it to anybody's pod with the target's labels; and, when the run injected a fault, if they are in the responder's
  namespace, which makes pods to answer it.
- Pods that are missing or not ready may have been drained because of a fault, whoever's they are: they count as the
  run's where their owner had one on a node of a fault (offbus_steps.residue.pod_items), or one that is called as it was
  seen there, at the injection or by a watch, or was seen evicted anywhere; unless somebody else deleted their workload,
  or all are ready of those that its changed spec asks for. A recovery in another process has seen nothing: it goes by
  where they were before the run.
- A label is anybody's to set, and the run's id is no secret: an object that has it is the run's in a namespace in which
  the run did anything.

Who may write in the drill's own namespaces can still make a pod that is called as the target's are, or has the shim:
it cannot be told from one that the run left.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self, runtime_checkable

from offbus_steps.port import Ref
from offbus_steps.residue.pod_items import PODS, may_be_lost

__all__ = [
    "LEFT_BY_RUN",
    "OURS",
    "PODS",
    "REST",
    "Touched",
    "change_of_label",
    "change_of_pods",
    "change_of_workload",
]

OURS, REST = "what drills set", "the rest of its spec"
LEFT_BY_RUN = "left by this run"
ELSEWHERE = "none of its pods was on the node of a fault of this run"

GENERATED = 58
"""Characters of a name that are kept before the random five in a generated one (apiserver, storage/names)."""


@runtime_checkable
class RecordsObject(Protocol):
    """The record of an object that a run made or changed."""

    kind: str
    name: str
    namespace: str


@runtime_checkable
class RecordsNode(Protocol):
    """The record of something that a run did on a node."""

    node: str


@dataclass(frozen=True, slots=True)
class Touched:
    """What a run made or changed, by its records."""

    objects: frozenset[Ref]
    busy: frozenset[str] = frozenset()
    """Namespaces in which something may have been made for the run that no record names."""
    nodes: frozenset[str] = frozenset()
    """Those on which it injected a fault."""
    run: str = ""
    """Its id, with which the ids of its faults begin."""
    pods: frozenset[Ref] = frozenset()
    """Those that were seen on these nodes, or evicted."""

    @classmethod
    def of(
        cls,
        recorded: Sequence[object],
        busy: Sequence[str] = (),
        *,
        run: str = "",
        pods: Callable[[Collection[str]], Iterable[Ref]] | None = None,
    ) -> Self:
        """By all undos that a run recorded; `pods` are those that were seen on nodes, or evicted."""
        made = {Ref(one.kind, one.name, one.namespace) for one in recorded if isinstance(one, RecordsObject)}
        refs = (
            getattr(getattr(one, "target", None), "ref", None) for one in recorded
        )  # any package's records
        targets = {one for one in refs if isinstance(one, Ref)}
        spaces = {one.name for one in made if one.kind == "Namespace"}
        faults = (getattr(one, "fault", one) for one in recorded)  # in the record, or named in it
        nodes = {
            one.node
            for pair in zip(recorded, faults, strict=True)
            for one in pair
            if isinstance(one, RecordsNode)
        }
        everywhere = frozenset(spaces) | frozenset(busy)
        seen = frozenset(pods(nodes)) if pods is not None else frozenset()
        return cls(frozenset(made | targets), everywhere, frozenset(nodes), run, seen)

    @property
    def namespaces(self) -> frozenset[str]:
        """Those in which the run made or changed something."""
        return self.busy | {one.namespace for one in self.objects}

    def has(self, kind: str, namespace: str, name: str) -> bool:
        """Whether an object may be the run's."""
        return namespace in self.busy or Ref(kind, name, namespace) in self.objects

    def has_pods(self, namespace: str, name: str, *, prepared: bool) -> bool:
        """Whether pods whose owner has that name may be there because of the run."""
        return (
            namespace in self.busy
            or (prepared and namespace in self.namespaces)
            or any(_is_called_as(one, namespace, name) for one in self.objects)
        )

    def saw(self, namespace: str, name: str) -> bool:
        """Whether a pod that is called as an owner was seen on the node of a fault, or evicted."""
        owner = Ref("Pod", name, namespace)
        return any(_is_called_as(owner, one.namespace, one.name) for one in self.pods)


def change_of_workload(
    item: str, before: Mapping[str, Any], after: Mapping[str, Any], touched: Touched | None
) -> str | None:
    """Why a difference in a workload's spec is external; None when it may be the run's, or `touched` is not known."""
    kind, namespace, name = _named(item.removesuffix(REST).removesuffix(OURS).strip())
    if touched is not None and not touched.has(kind, namespace, name):
        what = "delete" if item not in after else "change" if item in before else "make"
        return f"the run did not {what} it"
    return "no drill sets it" if item.endswith(REST) and item in before and item in after else None


def change_of_pods(
    item: str, before: Mapping[str, Any], after: Mapping[str, Any], touched: Touched | None
) -> str | None:
    """Why a difference in the pods of an owner is external; None when it may be the run's, or it is not certain."""
    owner = item.removeprefix(PODS)
    _, namespace, name = _named(owner)
    was, now = before.get(item), after.get(item)
    prepared = now is not None and now["preload"] > (was["preload"] if was else 0)
    ours = touched is None or touched.has_pods(namespace, name, prepared=prepared)
    if was is None:
        return None if ours else "the run made nothing of that name"
    if prepared and ours:
        return None
    spec = f"{owner} {REST}"
    was_elsewhere = (
        touched is not None
        and not ours
        and not may_be_lost(item, before, after, touched.nodes)
        and not touched.saw(namespace, name)
    )
    if now is None:
        if spec in before and spec not in after and not ours:
            return "its workload is gone, and the run made none of that name"
        return ELSEWHERE if was_elsewhere else None
    if now["count"] >= was["count"] and now["ready"] >= was["ready"]:
        return "more pods than before, and the run prepared none of them"
    changed = spec in before and spec in after and before[spec] != after[spec]
    all_ready = now["ready"] == now["count"]
    if changed and all_ready:
        return "its workload was changed, and all of its pods are ready"
    return ELSEWHERE if was_elsewhere else None


def change_of_label(item: str, touched: Touched | None) -> str | None:
    """Why an object with the run's label is not the run's; None when it may be."""
    if touched is None:
        return None
    kind, _, where = item.removesuffix(LEFT_BY_RUN).strip().partition("/")
    space = where.partition("/")[0]
    if space in touched.namespaces:
        return None
    return "the run made no such namespace" if kind == "Namespace" else f"the run made nothing in {space}"


def _named(text: str) -> tuple[str, str, str]:
    """Kind, namespace and name. The owner that a pod claims may have any text for a name, slashes too."""
    kind, _, where = text.partition("/")
    namespace, _, name = where.partition("/")
    return kind, namespace, name


def _is_called_as(ref: Ref, namespace: str, name: str) -> bool:
    """Whether a name is that of an object, or one that a controller makes of it."""
    return namespace == ref.namespace and (name == ref.name or name.startswith(f"{ref.name}-"[:GENERATED]))
