"""A pod with the shim in it: what admission makes of a pod as it is created, by either method.

Shared by the webhook (offbus_steps.kubernetes.webhook.server) and the dry run that checks whether a namespace admits
such pods. The admission policy (offbus_steps.prepare.mutating_policy) does the same in CEL, and a test keeps the two
consistent. Only containers and native sidecars that request GPUs are changed; an existing LD_PRELOAD, of the spec or
the image, is chained behind ours. Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from offbus_steps.port import Object
from offbus_steps.workloads import gpus, pods
from offbus_steps.workloads.shim_fields import LIBRARY, PAGE_DIR, VOLUME

__all__ = ["Loading", "needs_shim"]


def needs_shim(spec: Mapping[str, Any]) -> bool:
    """Whether a PodSpec requests GPUs, has no shim yet, and no LD_PRELOAD that cannot be chained (valueFrom)."""
    has_volume = any(one.get("name") == VOLUME for one in spec.get("volumes") or ())
    by_reference = any(
        one["name"] == "LD_PRELOAD" and "valueFrom" in one
        for container in pods.containers(spec)
        for one in container.get("env") or ()
    )
    return not has_volume and gpus.gpu_request(spec) > 0 and not by_reference


@dataclass(frozen=True, slots=True)
class Loading:
    """How the shim is loaded. `images`: the LD_PRELOAD from their images, by the containers' names."""

    library: str = LIBRARY
    folder: str = PAGE_DIR
    images: Mapping[str, str] = field(default_factory=dict)

    def loaded(self, pod: Object) -> Object:
        """A copy of the pod with the shim."""
        spec = pod["spec"]
        volume = {"name": VOLUME, "hostPath": {"path": PAGE_DIR, "type": "Directory"}}
        holders = {one["name"] for _, one in gpus.gpu_containers(spec)}
        lists = {
            field: [self._container(one) if one["name"] in holders else one for one in spec[field]]
            for field in ("initContainers", "containers")
            if spec.get(field)
        }
        volumes = [*(spec.get("volumes") or ()), volume]
        return {**pod, "spec": {**spec, **lists, "volumes": volumes}}

    def _container(self, container: Mapping[str, Any]) -> dict[str, Any]:
        own = pods.env_value(container, "LD_PRELOAD") or self.images.get(container["name"], "")
        env = _with(container.get("env") or (), "LD_PRELOAD", self.library + (f":{own}" if own else ""))
        env = _with(env, "OFFBUS_PAGE_DIR", self.folder)
        mount = {"name": VOLUME, "mountPath": PAGE_DIR}
        others = [one for one in container.get("volumeMounts") or () if one["mountPath"] != PAGE_DIR]
        return {**container, "env": env, "volumeMounts": [*others, mount]}


def _with(env: Any, name: str, value: str) -> list[dict[str, Any]]:
    """The environment with a variable set, at its old position if it has one: others may refer to it by $(NAME)."""
    entry = {"name": name, "value": value}
    if any(one["name"] == name for one in env):
        return [entry if one["name"] == name else one for one in env]
    return [*env, entry]
