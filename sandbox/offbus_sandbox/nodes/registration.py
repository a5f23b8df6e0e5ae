"""The Node objects, as a kubelet registers them."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from offbus_sandbox.nodes.gpus import Gpu
from offbus_sandbox.store.rules import now
from offbus_sandbox.store.store import Store
from offbus_steps.nvsentinel import names
from offbus_steps.port import Object, Ref
from offbus_steps.workloads.gpus import GPU_RESOURCE

__all__ = ["register_node"]

MAX_PODS = "110"
"""The kubelet's default."""


def register_node(store: Store, name: str, gpus: Sequence[Gpu]) -> None:
    """Create the node's object, or after a restart renew its status and leave the fields of other owners."""
    ref = Ref("Node", name)
    if store.find(ref) is None:
        store.create(node_object(name, gpus))
    old = store.get(ref).get("status", {})
    at = now()
    ready = {  # a local node is ready while its supervisor runs: they are one process
        "type": "Ready",
        "status": "True",
        "reason": "KubeletReady",
        "message": "offbus local node",
        "lastHeartbeatTime": at,
        "lastTransitionTime": at,
    }
    conditions = [*(c for c in old.get("conditions", ()) if c["type"] != "Ready"), ready]
    store.set_status(ref, {**old, **node_status(name, gpus), "conditions": conditions})


def node_object(name: str, gpus: Sequence[Gpu]) -> Object:
    """The node as it is created."""
    labels = {
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": {"x86_64": "amd64", "aarch64": "arm64"}.get(
            os.uname().machine, os.uname().machine
        ),
    }
    if gpus:
        labels |= {names.GPU_PRESENT: "true", "nvidia.com/gpu.count": str(len(gpus))}
        labels["nvidia.com/gpu.product"] = gpus[0].name.replace(" ", "-")
    meta = {"name": name, "labels": labels}
    # ClusterGuards knows this provider as simulated: nothing here can really be rebooted
    return {"apiVersion": "v1", "kind": "Node", "metadata": meta, "spec": {"providerID": f"offbus://{name}"}}


def node_status(name: str, gpus: Sequence[Gpu]) -> dict[str, Any]:
    """Capacity and node info. Only GPUs and the number of pods limit scheduling: pods share this machine."""
    memory_kib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 1024
    capacity = {"cpu": str(os.cpu_count()), "memory": f"{memory_kib}Ki", "pods": MAX_PODS}
    if gpus:
        capacity[GPU_RESOURCE] = str(len(gpus))
    addresses = [{"type": "Hostname", "address": name}, {"type": "InternalIP", "address": "127.0.0.1"}]
    info = {
        "bootID": Path("/proc/sys/kernel/random/boot_id").read_text().strip(),
        "kernelVersion": os.uname().release,
        "osImage": "offbus local node",
        "operatingSystem": "linux",
    }
    limits = {name: amount for name, amount in capacity.items() if name not in ("cpu", "memory")}
    return {"capacity": capacity, "allocatable": limits, "addresses": addresses, "nodeInfo": info}
