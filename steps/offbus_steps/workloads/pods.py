"""Facts about one Pod (or a pod template): pure functions over Kubernetes' own shapes.

They never guess: what an object does not contain is None or empty.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

__all__ = [
    "containers",
    "controller_of",
    "env_value",
    "http_port",
    "is_finished",
    "is_of_kubelet",
    "is_ready",
    "is_sidecar",
    "is_terminating",
    "lean",
    "listed_containers",
    "statuses",
]

MIRROR = "kubernetes.io/config.mirror"
"""The annotation of a mirror pod, by which a kubelet shows a static pod of its node to the API server."""


UNREAD = frozenset(
    ("args", "command", "env", "envFrom", "lifecycle", "livenessProbe", "readinessProbe", "startupProbe")
)
"""Fields of a container for which nobody looks who asks where pods are, and what they hold."""


def lean(pod: Mapping[str, Any], nodes: Collection[str] | None = None) -> dict[str, Any] | None:
    """A pod that has a node (one of `nodes`), without what its author may make large; None for all others.

    For looks at all pods of a cluster: a pod may have 1.5 MB, and anybody may create many, in any namespace.
    """
    spec = pod.get("spec") or {}
    node = spec.get("nodeName")
    if not node or (nodes is not None and node not in nodes):
        return None
    lighter = {
        field: [{key: value for key, value in one.items() if key not in UNREAD} for one in spec[field]]
        for field in ("containers", "initContainers", "ephemeralContainers")
        if spec.get(field)
    }
    return {**pod, "spec": {**spec, **lighter}}


def is_sidecar(init_container: Mapping[str, Any]) -> bool:
    """Whether an init container is a native sidecar: it goes on running beside the containers."""
    return init_container.get("restartPolicy") == "Always"


def listed_containers(spec: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """What runs beside one another in a pod, each with the PodSpec's field for it: containers, sidecars."""
    yield from (("containers", one) for one in spec.get("containers") or ())
    yield from (("initContainers", one) for one in spec.get("initContainers") or () if is_sidecar(one))


def containers(spec: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The containers and native sidecars of a PodSpec, without the init containers that end."""
    return (one for _, one in listed_containers(spec))


def statuses(pod: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The statuses of the pod's containers and native sidecars."""
    status = pod.get("status") or {}
    inits = (pod.get("spec") or {}).get("initContainers") or ()
    sidecars = {one["name"] for one in inits if is_sidecar(one)}
    yield from status.get("containerStatuses") or ()
    yield from (one for one in status.get("initContainerStatuses") or () if one["name"] in sidecars)


def is_ready(pod: Mapping[str, Any]) -> bool:
    """Whether the pod's Ready condition is True and it is not being deleted."""
    conditions = (pod.get("status") or {}).get("conditions") or ()
    ready = any(one.get("type") == "Ready" and one.get("status") == "True" for one in conditions)
    return ready and not is_terminating(pod)


def is_terminating(pod: Mapping[str, Any]) -> bool:
    """Whether the pod's deletion has been asked for."""
    return bool(pod["metadata"].get("deletionTimestamp"))


def controller_of(pod: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Its owner reference with `controller: true`, of which an object has one at most; None without one."""
    owners = pod["metadata"].get("ownerReferences") or ()
    return next((one for one in owners if one.get("controller")), None)


def is_of_kubelet(pod: Mapping[str, Any]) -> bool:
    """Whether a node's kubelet created it: such a pod belongs to no workload and no DaemonSet, whatever its labels.

    A kubelet may create pods in any namespace, with any labels, and report them ready at any address. The API server
    admits only mirror pods from it, and lets nobody add, change or remove their annotation later; since Kubernetes 1.17
    their one owner is the kubelet's own Node. Sources: the admission plugin NodeRestriction (kubernetes/kubernetes,
    plugin/pkg/admission/noderestriction/admission.go), kubernetes/enhancements#279.
    """
    by = controller_of(pod)
    mirror = MIRROR in (pod["metadata"].get("annotations") or {})
    return mirror or (by is not None and by.get("kind") == "Node")


def is_finished(pod: Mapping[str, Any]) -> bool:
    """Whether the pod has ended and released its resources."""
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def env_value(container: Mapping[str, Any], name: str) -> str | None:
    """The literal value of a container's environment variable; None when absent or taken from elsewhere."""
    for entry in container.get("env") or ():
        if entry.get("name") == name:
            value = entry.get("value")
            return None if value is None else str(value)
    return None


def http_port(spec: Mapping[str, Any]) -> int | None:
    """The port that a pod serves HTTP on: the one named "http", else the only one of its containers, or of its native
    sidecars when the containers have none; None when there is none."""
    ports = [(field, port) for field, one in listed_containers(spec) for port in one.get("ports") or ()]
    named = [port for _, port in ports if port.get("name") == "http"]
    own = [port for field, port in ports if field == "containers"] or [port for _, port in ports]
    chosen = named or (own if len(own) == 1 else [])
    return int(chosen[0]["containerPort"]) if chosen else None
