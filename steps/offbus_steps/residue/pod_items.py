"""The pods of a cluster in a fingerprint: of each owner how many there are, and on which nodes. Pure.

    "Pods of Job/team/train" -> {"count": 2, "ready": 1, "preload": 0, "on()": "0,7", "not ready on()": "7"}
    "Nodes of pods"          -> {"in order()": ["node-0", …]}

Where they are is not compared (offbus.environment.Environment.fingerprint): pods move in every cluster. It tells
afterwards whether a missing or unready pod may be one that a responder evicted from a fault's node, also in another
process, from the record of the run. Nodes are numbers, and numbers in a row one range, because a cluster has 20,000
pods, and a record of a run its bound. A pod without a node is counted, and nowhere.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any

__all__ = ["NODES", "ON", "PODS", "PodItems", "may_be_lost"]

PODS, NODES = "Pods of ", "Nodes of pods"
ON, UNREADY_ON, IN_ORDER = "on()", "not ready on()", "in order()"
ON_EACH_NODE = "DaemonSet"
"""Owners whose pod is bound to its node: it is there and ready again, or it is missing there."""


class PodItems:
    """Collects the items, one pod after the other."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._items: dict[str, dict[str, Any]] = {}

    def add(self, owner: str, node: str, *, ready: bool, preloads: bool) -> None:
        """Count a pod that has not ended; `node` is "" until it has one."""
        item = self._items.setdefault(f"{PODS}{owner}", {"count": 0, "ready": 0, "preload": 0})
        item["count"] += 1
        item["ready"] += ready
        item["preload"] += preloads
        if node:
            number = self._numbers.setdefault(node, len(self._numbers))
            for key in (ON,) if ready else (ON, UNREADY_ON):
                item.setdefault(key, []).append(number)

    def items(self) -> dict[str, Any]:
        """The items. Called once, last."""
        names = sorted(self._numbers)
        position = {self._numbers[name]: number for number, name in enumerate(names)}
        for item in self._items.values():
            item.setdefault(ON, [])
            for key in (ON, UNREADY_ON) if UNREADY_ON in item else (ON,):
                item[key] = _ranges({position[one] for one in item[key]})
        return {**self._items, NODES: {IN_ORDER: names}}


def may_be_lost(item: str, before: Mapping[str, Any], after: Mapping[str, Any], nodes: Iterable[str]) -> bool:
    """Whether a pod of an owner that is missing or unready may have been evicted from one of these nodes.

    It may when the owner had a pod there, or when the fingerprint from before does not say where its pods were. Whose
    pods are bound to their nodes may have lost one only there.
    """
    bound = item.removeprefix(PODS).startswith(f"{ON_EACH_NODE}/")
    try:
        if ON not in before[item] or IN_ORDER not in before[NODES]:
            return True
        states = [(_state(before, item, node), _state(after, item, node)) for node in nodes]
    except (AttributeError, KeyError, TypeError, ValueError):  # a record may hold anything
        return True
    return any(now < was if bound else was > 0 for was, now in states)


def _state(items: Mapping[str, Any], item: str, node: str) -> int:
    """Of an owner's pods on a node: 0 for none, 1 when one of them is not ready, 2 when all are."""
    value, names = items.get(item) or {}, items[NODES][IN_ORDER]
    number = bisect_left(names, node)
    if names[number : number + 1] != [node] or not _has(value.get(ON, ""), number):
        return 0
    return 1 if _has(value.get(UNREADY_ON, ""), number) else 2


def _ranges(numbers: Iterable[int]) -> str:
    """ "0-3,7" for 3, 0, 1, 2, 7."""
    rows = groupby(enumerate(sorted(numbers)), key=lambda pair: pair[1] - pair[0])
    return ",".join(_range([number for _, number in row]) for _, row in rows)


def _range(row: list[int]) -> str:
    return f"{row[0]}-{row[-1]}" if len(row) > 1 else f"{row[0]}"


def _has(ranges: str, number: int) -> bool:
    def parts() -> Iterator[tuple[int, int]]:
        for part in filter(None, ranges.split(",")):
            first, _, last = part.partition("-")
            yield int(first), int(last or first)

    return any(first <= number <= last for first, last in parts())
