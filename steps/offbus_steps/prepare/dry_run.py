"""Whether a namespace admits pods with the shim, checked before anything is changed, by a dry run that stores nothing.

The dry run is a copy of one of the target's GPU pods with the shim's volumes, mounts and environment. The server
answers as for a real pod: Pod Security, other admission policies and webhooks included. A quota that the copy would
exceed does not matter, because pods are replaced and not added.
"""

from typing import Any

from offbus.errors import StepError
from offbus_steps.cluster.cluster import Cluster
from offbus_steps.port import Forbidden, Invalid, Object
from offbus_steps.workloads import gpus
from offbus_steps.workloads.pods import controller_of
from offbus_steps.workloads.shim_mounts import FOLDER
from offbus_steps.workloads.shim_pod import Loading
from offbus_steps.workloads.target import Target

__all__ = ["dry_run_pod", "require_admitted"]

POD_SECURITY = "violates PodSecurity"
QUOTA = "exceeded quota"
LEFT_AWAY = frozenset({"nodeName", "ephemeralContainers"})


async def require_admitted(cluster: Cluster, target: Target, running: list[Object]) -> None:
    """Raises StepError when the target's namespace does not admit pods with the shim."""
    copies = [dry_run_pod(pod) for pod in running if gpus.gpu_request(pod["spec"])]
    if not copies:
        return  # nothing to copy: the rollout itself will show it
    # as a patched workload's pods have it; a chained LD_PRELOAD makes no difference to admission
    loaded = Loading(cluster.port.host_path).loaded(copies[0])
    try:
        await cluster.port.objects.create(loaded, dry_run=True)
    except (Forbidden, Invalid) as err:
        if QUOTA in err.message:
            return
        if POD_SECURITY in err.message:
            raise StepError(
                f"Pod Security forbids the shim's hostPath volumes in namespace {target.namespace}: {err.message}",
                hint=f"run `kubectl label namespace {target.namespace} "
                "pod-security.kubernetes.io/enforce=privileged --overwrite` for the drill, "
                "or use a namespace that allows hostPath",
            ) from err
        raise StepError(
            f"namespace {target.namespace} does not admit pods with the shim: {err.message}",
            hint=f"allow hostPath volumes below {FOLDER} there, or use another namespace",
        ) from err


def dry_run_pod(pod: Object) -> Object:
    """A copy of a running pod that can be created: without its name, node and status, of its owners the controller.

    An admission policy may ask who made a pod. Without `blockOwnerDeletion`, for which a right of its own may be needed
    (kubernetes.io/docs, OwnerReferencesPermissionEnforcement); nothing is stored that could be collected.
    """
    meta, by = pod["metadata"], dict(controller_of(pod) or {})
    by.pop("blockOwnerDeletion", None)
    spec = {key: value for key, value in pod["spec"].items() if key not in LEFT_AWAY}
    copied: dict[str, Any] = {
        "generateName": "offbus-dry-run-",
        "namespace": meta["namespace"],
        "labels": dict(meta.get("labels") or {}),
        "annotations": dict(meta.get("annotations") or {}),
        "ownerReferences": [by] if by else [],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": copied, "spec": spec}
