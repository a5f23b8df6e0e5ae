"""Tells external changes in a cluster's fingerprint from what the run may have done. Pure.

During a drill, others change the cluster, too: a controller labels a node, somebody cordons another one, a release
changes a workload. None of that is this run's residue, and `offbus recover` could not fix it. A run changes names of
its own (offbus_steps.workloads.shim_fields) and makes a responder change the responder's
(offbus_steps.nvsentinel.names); all else is an external change. When it is not certain, a difference counts as ours: a
missing pod, a removed cordon, a taint. That our own patches change nothing else is checked where they are sent
(offbus_steps.residue.patching).
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from offbus_steps.nvsentinel import names

__all__ = [
    "CONDITION",
    "CORDON",
    "META",
    "OURS",
    "PODS",
    "REST",
    "external_change",
    "shown_annotations",
    "split_spec",
]

OURS_PREFIX = "offbus.dev/"
OUR_NAMES = re.compile(r"offbus(?:-page|-lib|-events)?|LD_PRELOAD|OFFBUS_[A-Z_]+")
"""Names of the environment variables, volumes and mounts that `prepare_cuda` sets."""

OURS, REST = "what drills set", "the rest of its spec"
CORDON = "spec.unschedulable"
META, CONDITION, PODS = "metadata.", "condition ", "Pods of "


def split_spec(spec: object) -> tuple[dict[str, Any], str]:
    """A workload's spec as the values that a drill may set, by their path, and a digest of all the rest.

    Other values never leave this function: specs hold secrets.
    """
    ours: dict[str, Any] = {}
    rest = json.dumps(_without_ours(spec, "", ours), sort_keys=True, default=str)
    return ours, _digest(rest)


def shown_annotations(annotations: Mapping[str, str]) -> dict[str, str]:
    """Annotations; the values of those that neither a drill nor a responder sets as digests: some hold secrets."""
    return {
        name: value if _is_ours(name) else f"sha256:{_digest(str(value))}"
        for name, value in annotations.items()
    }


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:16]


def _is_ours(name: str) -> bool:
    return names.is_ours_to_clear(name) or name.startswith(OURS_PREFIX)


def _without_ours(value: object, path: str, ours: dict[str, Any]) -> object:
    """`value` without what is ours, which goes into `ours`, and without what becomes empty by that."""
    if isinstance(value, Mapping):
        remaining = {key: _without_ours(one, f"{path}.{key}", ours) for key, one in value.items()}
        return {key: one for key, one in remaining.items() if one not in ({}, [])}
    if isinstance(value, list):
        return [one for one in _items(value, path, ours) if one not in ({}, [])]
    return value


def _items(value: list[Any], path: str, ours: dict[str, Any]) -> Iterator[object]:
    for index, one in enumerate(value):
        name = one.get("name") if isinstance(one, Mapping) else None
        where = f"{path}[{index if name is None else name}]"
        if isinstance(name, str) and OUR_NAMES.fullmatch(name):
            ours[where.lstrip(".")] = one
        else:
            yield _without_ours(one, where, ours)


def external_change(item: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> str | None:
    """Why a difference in an item of `fingerprint.fingerprint` is external; None when it may be ours."""
    if item.startswith("Node/"):
        return _of_node(item, before.get(item), after.get(item), after)
    if item.startswith(PODS):
        return _of_pods(before.get(item), after.get(item))
    return "no drill sets it" if item.endswith(REST) and item in before and item in after else None


def _of_node(item: str, was: Any, now: Any, after: Mapping[str, Any]) -> str | None:
    node, _, what = item.partition(" ")
    if what.startswith(META):
        key = what[what.index("[") + 1 : -1]
        return None if _is_ours(key) else "neither a drill's nor a responder's name"
    if what.startswith(CONDITION):
        reasons = [str(one[1]) for one in (was, now) if one]
        ends = (names.UNHEALTHY_SUFFIX, names.HEALTHY_SUFFIX)
        return None if any(one.endswith(ends) for one in reasons) else "not a responder's condition"
    if what == CORDON and now is True and not was:
        marks = [
            name for what in ("labels", "annotations") for name in after.get(f"{node} {META}{what}[]") or ()
        ]
        signed = any(map(names.is_ours_to_clear, marks))
        return None if signed else "cordoned, and not by a responder"
    return None


def _of_pods(was: Any, now: Any) -> str | None:
    """Additional pods without the shim were created by somebody else."""
    if was is None or now is None or now["preload"] > was["preload"]:
        return None
    grown = now["count"] >= was["count"] and now["ready"] >= was["ready"]
    return "more pods than before, and none of them was prepared" if grown else None
