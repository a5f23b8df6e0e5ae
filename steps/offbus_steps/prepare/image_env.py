"""The LD_PRELOAD that containers get from their images: no object has it, so the agent reads it from the process.

Only containers that request GPUs and whose spec has no LD_PRELOAD of its own matter: a spec's value hides the image's.
What cannot be read is refused: overwriting an unknown LD_PRELOAD could break the workload.
"""

from typing import Any

from offbus.errors import StepError
from offbus_steps.agents.client import AgentRefused
from offbus_steps.cluster.cluster import Cluster
from offbus_steps.port import Object, Unavailable
from offbus_steps.workloads import gpus, pods
from offbus_steps.workloads.shim_mounts import PRELOAD

__all__ = ["image_preloads"]


async def image_preloads(cluster: Cluster, running: list[Object]) -> dict[str, str]:
    """Container name -> value, for those that have one. Raises StepError for what cannot be read, or differs."""
    found: dict[str, str] = {}
    for pod in running:
        wanted = [
            one["name"] for _, one in gpus.gpu_containers(pod["spec"]) if not pods.env_value(one, PRELOAD)
        ]
        if not wanted or not pod["spec"].get("nodeName"):
            continue  # a pod without a node has no process yet
        processes = await _processes(cluster, pod)
        for name in wanted:
            value = _value(pod, name, processes)
            if found.setdefault(name, value) != value:
                raise StepError(
                    f"the images of container {name} set different LD_PRELOADs in the target's pods: "
                    f"{found[name]!r} and {value!r}",
                    hint="wait until the rollout of the workload is complete",
                )
    return {name: value for name, value in found.items() if value}


async def _processes(cluster: Cluster, pod: Object) -> list[dict[str, Any]]:
    node = str(pod["spec"]["nodeName"])
    try:
        return await cluster.agents.preload(node, pod["metadata"]["uid"])
    except (AgentRefused, Unavailable) as err:
        older = isinstance(err, AgentRefused) and err.code == "no_such_path"
        raise StepError(
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
            hint="set LD_PRELOAD in the container's env, as a plain value",
        )
    return str(values.pop())
