"""What a pod requests of a node: of every resource, as Kubernetes' scheduler counts it.

The rule is that of k8s.io/component-helpers, resource/helpers.go (PodRequests, release 0.34): the containers and native
sidecars together, or more while an init container runs beside the sidecars that were started before it; cpu, memory
and huge pages of the pod's own `resources` instead; and its overhead. A limit without a request is the request,
as the API server's defaults make it. A resize that is under way is not counted. Pure.
"""

from collections.abc import Mapping
from fractions import Fraction
from operator import add
from typing import Any

from offbus.errors import StepError
from offbus_steps.workloads import pods
from offbus_steps.workloads.quantity import quantity

__all__ = ["Amounts", "amounts", "pod_requests", "requested"]

Amounts = dict[str, Fraction]
"""By resource; what is absent is not requested."""


def pod_requests(spec: Mapping[str, Any]) -> Amounts:
    """Of a PodSpec. Raises StepError for an amount that is no quantity."""
    beside: Amounts = {}
    fullest: Amounts = {}
    for one in spec.get("initContainers") or ():
        own = _requests(one)
        fullest = _combined(max, fullest, _combined(add, beside, own))
        if pods.is_sidecar(one):
            beside = _combined(add, beside, own)
    running = beside
    for one in spec.get("containers") or ():
        running = _combined(add, running, _requests(one))
    whole = _requests({"name": "the pod", **{key: spec[key] for key in ("resources",) if key in spec}})
    # what a pod may request as a whole (feature PodLevelResources)
    own = {
        name: size
        for name, size in whole.items()
        if name in ("cpu", "memory") or name.startswith("hugepages-")
    }
    overhead = amounts(spec.get("overhead"), "the pod's overhead")
    found = _combined(add, {**_combined(max, running, fullest), **own}, overhead)
    return {name: size for name, size in found.items() if size}


def amounts(given: Mapping[str, Any] | None, where: str) -> Amounts:
    """A list of resources as numbers. Raises StepError saying where one is no quantity."""
    found = {}
    for name, value in (given or {}).items():
        try:
            found[name] = quantity(value)
        except ValueError as err:
            raise StepError(f"{where}: {name}: {err}") from err
    return found


def requested(container: Mapping[str, Any]) -> dict[str, Any]:
    """What a container's `resources` request, as it is written; an amount that is null is not given."""
    resources = container.get("resources") or {}
    listed = [
        (resources.get(one) or {}).items() for one in ("limits", "requests")
    ]  # a request comes before its limit
    return {name: value for one in listed for name, value in one if value is not None}


def _requests(container: Mapping[str, Any]) -> Amounts:
    return amounts(requested(container), f"container {container.get('name', '')}")


def _combined(how: Any, one: Amounts, other: Amounts) -> Amounts:
    none = Fraction(0)
    return {name: how(one.get(name, none), other.get(name, none)) for name in one | other}
