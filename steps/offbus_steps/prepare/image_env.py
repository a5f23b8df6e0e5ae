"""The LD_PRELOAD that containers get from their images: no object has it, so the agent reads it from the process.

Only containers that request GPUs and whose spec has no LD_PRELOAD of its own matter: a spec's value hides the image's.
What cannot be read is refused: overwriting an unknown LD_PRELOAD could break the workload. So is what is no list of
plain paths: the value is written into the workload's spec, for its pods on any node, and a node may be anybody's by
now. `$(NAME)` would be expanded there (Kubernetes, EnvVar.value), and a name without a slash is looked for in folders
(ld.so(8)). A library of the right shape can still be chosen by the node, so `offbus plan` says who alone says so.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from offbus.errors import StepError
from offbus_steps.agents.client import AgentRefused
from offbus_steps.cluster.cluster import Cluster
from offbus_steps.port import Object, Unavailable
from offbus_steps.workloads import gpus, pods
from offbus_steps.workloads.preload_chain import PLAIN_PATHS, is_plain
from offbus_steps.workloads.shim_mounts import PRELOAD

__all__ = ["PLAIN", "ImagePreload", "Unread", "image_preloads"]

PLAIN = "set LD_PRELOAD in the container's env, as a plain value"


class Unread(StepError):
    """Raised when an agent does not answer now."""


@dataclass(frozen=True, slots=True)
class ImagePreload:
    """The LD_PRELOAD of a container's image, as agents read it from its processes."""

    value: str
    nodes: frozenset[str]
    """Those whose agents say so."""


async def image_preloads(cluster: Cluster, running: list[Object]) -> Mapping[str, ImagePreload]:
    """Container name -> value, for those that have one.

    Raises StepError for what cannot be read, differs, or is not to be chained.
    """
    found: dict[str, ImagePreload] = {}
    for pod in running:
        wanted = [
            one["name"] for _, one in gpus.gpu_containers(pod["spec"]) if not pods.env_value(one, PRELOAD)
        ]
        if not wanted or not pod["spec"].get("nodeName"):
            continue  # a pod without a node has no process yet
        processes = await _processes(cluster, pod)
        for name in wanted:
            value, node = _value(pod, name, processes), str(pod["spec"]["nodeName"])
            known = found.get(name, ImagePreload(value, frozenset()))
            if known.value != value:
                raise StepError(
                    f"the images of container {name} set different LD_PRELOADs in the target's pods: "
                    f"{known.value!r} and {value!r}",
                    hint="wait until the rollout of the workload is complete",
                )
            found[name] = ImagePreload(value, known.nodes | {node})
    return {name: one for name, one in found.items() if one.value}


async def _processes(cluster: Cluster, pod: Object) -> list[dict[str, Any]]:
    node = str(pod["spec"]["nodeName"])
    try:
        return await cluster.agents.preload(node, pod["metadata"]["uid"])
    except (AgentRefused, Unavailable) as err:
        older = isinstance(err, AgentRefused) and err.code == "no_such_path"
        raise (Unread if isinstance(err, Unavailable) else StepError)(
            f"cannot read whether the image of Pod {pod['metadata']['name']} sets LD_PRELOAD: {err.message}",
            hint="the agents are older than this offbus: restart the DaemonSet offbus-agent with its image"
            if older
            else f"check the agent of {node}",
        ) from err


def _value(pod: Object, container: str, processes: list[dict[str, Any]]) -> str:
    ids = (str(one.get("containerID", "")) for one in pods.statuses(pod) if one["name"] == container)
    known = next((one.rpartition("/")[2] for one in ids), "unknown")  # without the runtime's prefix
    own = [one for one in processes if one["container"] in ("", known)]
    values = {one["value"] for one in own}
    if len(values) != 1 or None in values:
        raise StepError(
            f"cannot read whether the image of container {container} of Pod {pod['metadata']['name']} sets LD_PRELOAD: "
            f"{'its process cannot be inspected' if own else 'the agent finds no process of it'}",
            hint=PLAIN,
        )
    value = str(values.pop())
    if not is_plain(value):
        raise StepError(
            f"the agent of {pod['spec']['nodeName']} says that the image of container {container} of Pod "
            f"{pod['metadata']['name']} sets LD_PRELOAD to {value[:80]!r}{'…' if len(value) > 80 else ''}, which is "
            f"not chained: {PLAIN_PATHS}",
            hint=PLAIN,
        )
    return value
