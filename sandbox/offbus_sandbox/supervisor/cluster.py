"""The cluster inside the supervisor: store, controllers, scheduler, kubelets and their programs."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anyio
import httpx
from anyio.abc import TaskGroup

import offbus_agent
from offbus_sandbox.adapter.unix_http import http_client
from offbus_sandbox.config import SandboxConfig
from offbus_sandbox.controllers.controller import Controller
from offbus_sandbox.controllers.deployment import Deployments
from offbus_sandbox.controllers.disruption import Budgets
from offbus_sandbox.controllers.endpoints import Endpoints
from offbus_sandbox.controllers.garbage import GarbageCollector
from offbus_sandbox.controllers.graph import Graphs
from offbus_sandbox.controllers.namespaces import Namespaces
from offbus_sandbox.controllers.replicaset import ReplicaSets
from offbus_sandbox.controllers.statefulset import StatefulSets
from offbus_sandbox.controllers.taints import TaintEviction
from offbus_sandbox.kubelet.addresses import Addresses
from offbus_sandbox.kubelet.host import Host
from offbus_sandbox.kubelet.kubelet import Kubelet
from offbus_sandbox.layout import Layout
from offbus_sandbox.nodes.folder import make_node_folder
from offbus_sandbox.nodes.gpus import gpus_of
from offbus_sandbox.nodes.programs import programs_of
from offbus_sandbox.nodes.registration import register_node
from offbus_sandbox.scheduler.scheduler import Scheduler
from offbus_sandbox.store.database import Database
from offbus_sandbox.store.store import Store

__all__ = ["LocalCluster"]

PROBES_AT_ONCE = 100
OLDER_S = 3 / os.sysconf("SC_CLK_TCK")
"""How much older than the responder's monitor its metadata file has to be, for everybody to see that it is.

A process's start is told in ticks, a file's time is up to one behind, and a difference below one proves nothing
(offbus_agent.faults.monitors).
"""


class LocalCluster:
    """Everything that acts on objects."""

    def __init__(self, layout: Layout, config: SandboxConfig) -> None:
        """Open the store and create the nodes. Raises CouldNotRun when pods cannot get addresses."""
        self.layout = layout
        self.config = config
        self.store = Store(Database(layout.store), retained_changes=config.retained_changes)
        self.addresses = Addresses(self.store)
        self.services = list(programs_of(layout, config))
        self._probes = http_client(
            limits=httpx.Limits(max_connections=PROBES_AT_ONCE, max_keepalive_connections=0),
        )
        gpus = {name: gpus_of(name, i, config.gpus_per_node) for i, name in enumerate(config.node_names)}
        for node, devices in gpus.items():
            folder, version = layout.node(node), config.driver_version
            make_node_folder(folder, node, devices, driver=version, metadata=config.gpu_metadata)
            register_node(self.store, node, devices)
        standin = Path(offbus_agent.__file__).parent / "native" / "standin"
        driver = standin if standin.is_dir() else None  # the build may not have installed it
        self._kubelets = [
            Kubelet(Host(node, layout, config, self.store, self._probes, driver), self.addresses)
            for node in gpus
        ]
        self._gpus = gpus

    async def start(self, group: TaskGroup) -> None:
        """Start everything; returns when all services are ready. Raises CouldNotRun when one does not start."""
        store = self.store
        uuids = {node: [gpu.uuid for gpu in devices] for node, devices in self._gpus.items()}
        controllers: Sequence[Controller[Any]] = [
            Graphs(store),
            Deployments(store),
            ReplicaSets(store),
            StatefulSets(store),
            GarbageCollector(store),
            Namespaces(store),
            Budgets(store),
            TaintEviction(store),
            Endpoints(store, self.layout),
            Scheduler(store, uuids),
        ]
        for controller in controllers:
            group.start_soon(controller.run)
        await anyio.sleep(OLDER_S)
        async with anyio.create_task_group() as starting:
            for service in self.services:
                starting.start_soon(group.start, service.run)
        for kubelet in self._kubelets:
            group.start_soon(kubelet.run)

    async def stop_pods(self) -> None:
        """End all pods' processes."""
        async with anyio.create_task_group() as group:
            for kubelet in self._kubelets:
                group.start_soon(kubelet.stop)

    async def close(self) -> None:
        """Release files and addresses, once nothing runs any more."""
        await self._probes.aclose()
        self.addresses.close()
        self.store.close()
