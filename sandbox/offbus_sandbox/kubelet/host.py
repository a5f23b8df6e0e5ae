"""What a node provides to its pods: folders, addresses, GPUs, and the environment of every container."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from offbus_sandbox.config import SandboxConfig
from offbus_sandbox.kubelet.probe import ProbeClient
from offbus_sandbox.layout import Layout
from offbus_sandbox.processes.table import MARK
from offbus_sandbox.store.owners import graph_of
from offbus_sandbox.store.store import Store
from offbus_steps.port import Object

__all__ = ["Host", "log_folder"]

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True)
class Host:
    """One node, for its kubelet."""

    name: str
    layout: Layout
    config: SandboxConfig
    store: Store
    probes: ProbeClient
    driver: Path | None
    """The folder of the stand-in driver's libraries; None when it was not built."""

    @property
    def root(self) -> Path:
        """The node's folder."""
        return self.layout.node(self.name)

    def pod_folder(self, pod: Object) -> Path:
        """The working directory and home of a pod's processes."""
        return self.root / "pods" / str(pod["metadata"]["uid"])

    def below_root(self, path: str) -> Path:
        """A path of the node in its folder. Raises ValueError for one that leads out of it."""
        found = self.root.joinpath(path.lstrip("/"))
        if not found.resolve().is_relative_to(self.root.resolve()):
            raise ValueError(f"{path} leads out of the node's folder")
        return found

    def environment(self, pod: Object, ip: str, gpus: Sequence[str]) -> dict[str, str]:
        """What every container gets, before its own settings; nothing of the user's environment.

        As with NVIDIA's container runtime, only a container with GPUs gets the driver.
        """
        meta = pod["metadata"]
        env = {
            "PATH": f"{Path(sys.executable).parent}:{SYSTEM_PATH}",
            "HOME": str(self.pod_folder(pod)),
            "HOSTNAME": meta["name"],
            "LANG": "C.UTF-8",
            "PYTHONUNBUFFERED": "1",
            "POD_IP": ip,
            MARK: self.layout.id,
            "OFFBUS_NODE_ROOT": str(self.root),
            "OFFBUS_NODE_NAME": self.name,
            "OFFBUS_ENDPOINTS": str(self.layout.endpoints(meta["namespace"], graph_of(pod))),
            "NVIDIA_VISIBLE_DEVICES": ",".join(gpus) or "void",
        }
        if gpus:
            env["OFFBUS_STANDIN_GPUS"] = str(self.root / "gpus.txt")
        if gpus and self.driver:
            env["LD_LIBRARY_PATH"] = str(self.driver)
        return env


def log_folder(node: Path, pod: Object, container: str) -> Path:
    """A container's logs below a node's folder, one file for each start."""
    meta = pod["metadata"]
    return node / "log" / "pods" / f"{meta['namespace']}_{meta['name']}_{meta['uid']}" / container
