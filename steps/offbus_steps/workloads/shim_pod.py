"""A pod with the shim in it: what admission makes of a pod as it is created, by either method.

Shared by the webhook (offbus_steps.kubernetes.webhook.server) and the dry run that checks whether a namespace admits
such pods. The admission policy (offbus_steps.prepare.mutating_policy) does the same in CEL, and a test keeps the two
consistent. Only containers and native sidecars that request GPUs are changed; an existing LD_PRELOAD, of the spec or
the image, is chained behind ours. Pure.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from offbus_steps.port import Object
from offbus_steps.workloads import gpus, pods
from offbus_steps.workloads.shim_mounts import MOUNTS, PRELOAD, VOLUMES, preload, variables

__all__ = ["Loading", "needs_shim"]


def needs_shim(spec: Mapping[str, Any]) -> bool:
    """Whether a PodSpec requests GPUs, has no shim yet, and no LD_PRELOAD that cannot be chained (valueFrom)."""
    ours = {one["name"] for one in VOLUMES}
    has_volume = any(one.get("name") in ours for one in spec.get("volumes") or ())
    by_reference = any(
        one["name"] == PRELOAD and "valueFrom" in one
        for container in pods.containers(spec)
        for one in container.get("env") or ()
    )
    return not has_volume and gpus.gpu_request(spec) > 0 and not by_reference


@dataclass(frozen=True, slots=True)
class Loading:
    """How the shim is loaded. `images`: the LD_PRELOAD from their images, by the containers' names."""

    host_path: Callable[[str, str], str] = lambda path, _sub: path
    images: Mapping[str, str] = field(default_factory=dict)

    def loaded(self, pod: Object) -> Object:
        """A copy of the pod with the shim."""
        spec = pod["spec"]
        holders = {one["name"] for _, one in gpus.gpu_containers(spec)}
        lists = {
            field: [self._container(one) if one["name"] in holders else one for one in spec[field]]
            for field in ("initContainers", "containers")
            if spec.get(field)
        }
        volumes = [*(spec.get("volumes") or ()), *VOLUMES]
        return {**pod, "spec": {**spec, **lists, "volumes": volumes}}

    def _container(self, container: Mapping[str, Any]) -> dict[str, Any]:
        own = pods.env_value(container, PRELOAD) or self.images.get(container["name"], "")
        env = list(container.get("env") or ())
        for entry in (preload(self.host_path, own), *variables(self.host_path)):
            if any(one["name"] == entry["name"] for one in env):
                # at its old position: others may refer to it by $(NAME)
                env = [entry if one["name"] == entry["name"] else one for one in env]
            else:
                env.append(entry)
        ours = {one["mountPath"] for one in MOUNTS}
        others = [one for one in container.get("volumeMounts") or () if one["mountPath"] not in ours]
        return {**container, "env": env, "volumeMounts": [*others, *MOUNTS]}
