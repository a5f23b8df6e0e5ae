"""Whether a namespace lets pods with the shim in, asked before anything is touched: by a dry run, which stores nothing.

The dry run is a copy of one of the target's GPU pods with the shim's volume, mount and environment. The server answers
as it would when the pod is really made: Pod Security, other admission policies and webhooks included. A quota that
the copy would exceed says nothing, because pods are replaced and not added.
"""

from typing import Any

from offbus.errors import StepError
from offbus_steps.cluster.cluster import Cluster
from offbus_steps.port import Forbidden, Invalid, Object
from offbus_steps.workloads import pods
from offbus_steps.workloads.shim_fields import LIBRARY, PAGE_DIR
from offbus_steps.workloads.shim_pod import Loading
from offbus_steps.workloads.target import Target

__all__ = ["dry_run_pod", "require_admitted", "shown"]

POD_SECURITY = "violates PodSecurity"
QUOTA = "exceeded quota"
LEFT_AWAY = frozenset({"nodeName", "ephemeralContainers"})


async def require_admitted(cluster: Cluster, target: Target, running: list[Object]) -> None:
    """Raises StepError naming what refuses pods with the shim in the target's namespace."""
    copies = [dry_run_pod(pod) for pod in running if pods.gpu_request(pod["spec"])]
    if not copies:
        return  # there is nothing to copy; the rollout itself will show it
    try:
        await shown(cluster, _loading(cluster).loaded(copies[0]))
    except (Forbidden, Invalid) as err:
        if QUOTA not in err.message:
            raise _refused(target, err.message) from err


async def shown(cluster: Cluster, pod: Object) -> Object:
    """The pod as the server would store it. Raises Forbidden, Invalid."""
    return await cluster.port.objects.create(pod, dry_run=True)


def _loading(cluster: Cluster) -> Loading:
    """As a patched workload's pods have it; what would be chained says nothing about whether it is let in."""
    path = cluster.port.host_path
    return Loading(path(LIBRARY), path(PAGE_DIR))


def dry_run_pod(pod: Object) -> Object:
    """A copy of a running pod that can be created: without its name, node, owner and status."""
    meta = pod["metadata"]
    spec = {key: value for key, value in pod["spec"].items() if key not in LEFT_AWAY}
    copied: dict[str, Any] = {
        "generateName": "offbus-dry-run-",
        "namespace": meta["namespace"],
        "labels": dict(meta.get("labels") or {}),
        "annotations": dict(meta.get("annotations") or {}),
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": copied, "spec": spec}


def _refused(target: Target, why: str) -> StepError:
    if POD_SECURITY in why:
        return StepError(
            f"Pod Security forbids the shim in namespace {target.namespace}: it is a hostPath volume: {why}",
            hint=f"kubectl label namespace {target.namespace} pod-security.kubernetes.io/enforce=privileged "
            "--overwrite for the drill, or drill in a namespace that allows hostPath",
        )
    return StepError(
        f"namespace {target.namespace} does not admit pods with the shim: {why}",
        hint=f"allow the hostPath volume {PAGE_DIR} there, or drill in another namespace",
    )
