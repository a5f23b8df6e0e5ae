"""Making a cluster and removing it.

`up` may be called again: a cluster that runs is left as it is and gets a fresh token; what is left of one that did not
come up, or was killed on the way, is removed first. `down` needs no record of what was started.
"""

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from tests.kits.cluster import api
from tests.kits.cluster.cgroups import make_cgroups, remove_cgroups
from tests.kits.cluster.control_plane import ROLES, start_control_plane
from tests.kits.cluster.credentials import make_credentials, write_kubeconfig
from tests.kits.cluster.errors import ClusterError
from tests.kits.cluster.machine import check_machine, install_packages
from tests.kits.cluster.network import check_network, check_owner, make_bridge, remove_network
from tests.kits.cluster.node import boot
from tests.kits.cluster.node_files import write_node_files
from tests.kits.cluster.own_images import make_images
from tests.kits.cluster.paths import ClusterPaths
from tests.kits.cluster.plan import GPUS_PER_NODE, NODES
from tests.kits.cluster.processes import end_processes, find, first_process
from tests.kits.cluster.programs import KUBERNETES, STANDIN, build
from tests.kits.cluster.world import World, difference, ours, restore_settings, snapshot

__all__ = ["Leftover", "down", "programs", "running", "up", "wait_nodes"]

MANIFESTS = Path(__file__).with_name("manifests")
READY_LIMIT_S = 90.0
NODES_LIMIT_S = 180.0
TOKEN_S = 24 * 3600
GPU = "nvidia.com/gpu"

Tell = Callable[[str], None]


def up(paths: ClusterPaths, tell: Tell) -> None:
    """Build what is missing and have a cluster with all nodes and GPUs ready. Raises ClusterError.

    After an error the logs stay for reading; the next `up` or `down` removes them.
    """
    check_machine()
    install_packages()
    check_owner(str(paths.root))
    kubernetes, standin = build(KUBERNETES), build(STANDIN)
    if running(paths):
        tell("a cluster is running")
    else:
        if ours(paths):
            tell("removing what is left of a cluster that did not come up")
            down(paths, tell)
        start(paths, kubernetes, standin / "standin-device-plugin", tell)
    with api.client(paths) as made:
        wait_nodes(made)
        write_kubeconfig(paths, paths.kubeconfig, api.renew_token(made, "offbus-admin", TOKEN_S))


def running(paths: ClusterPaths) -> bool:
    """Whether a whole cluster runs here: it came up once, and all of its programs and nodes are alive."""
    if not paths.complete.exists() or any(not find(paths, role) for role in ROLES):
        return False
    return all(first_process(paths, f"node-{node.name}") for node in NODES)


def programs(paths: ClusterPaths) -> Path:
    """The folder of the programs that this cluster was started with. Raises ClusterError."""
    if not paths.complete.exists():
        raise ClusterError(f"{paths.root}: no cluster came up here; `make cluster` makes one")
    return Path(json.loads(paths.complete.read_text())["programs"])


def start(paths: ClusterPaths, kubernetes: Path, device_plugin: Path, tell: Tell) -> None:
    """Start everything, from nothing."""
    began = time.monotonic()
    check_network()
    before = snapshot()
    paths.make()
    paths.before.write_text(json.dumps(before))
    make_credentials(paths)
    make_images(paths, device_plugin)
    for node in NODES:
        write_node_files(paths, node)
    make_bridge(str(paths.root))
    make_cgroups()
    start_control_plane(paths, kubernetes)
    boot(paths, kubernetes, NODES)
    with api.client(paths) as made:
        api.wait_healthy(made, lambda: check_alive(paths), READY_LIMIT_S)
        tell(f"API server ready after {time.monotonic() - began:.1f} s")
        for name in ("admin", "device-plugin"):
            api.apply(made, (MANIFESTS / f"{name}.yaml").read_text())
        wait_nodes(made)
    paths.complete.write_text(json.dumps({"programs": str(kubernetes)}))
    tell(f"{len(NODES)} nodes with {GPUS_PER_NODE} GPUs each ready after {time.monotonic() - began:.1f} s")


def check_alive(paths: ClusterPaths) -> None:
    """Raise ClusterError, with the end of its log, when a program of the control plane has ended."""
    for role in ROLES:
        if not find(paths, role):
            log = paths.logs / f"{role}.log"
            raise ClusterError(f"{role} has ended; {log} ends:\n{log.read_text()[-2000:]}")


def wait_nodes(made: httpx.Client) -> None:
    """Return when every node is Ready and offers its GPUs. Raises ClusterError."""

    def done(nodes: api.Objects) -> bool:
        return all(usable(nodes.get(node.name, {})) for node in NODES)

    api.wait_until(made, "/api/v1/nodes", done, NODES_LIMIT_S, "all nodes Ready and with their GPUs")


def usable(node: dict[str, Any]) -> bool:
    """Whether a node is Ready and has all its GPUs."""
    status = node.get("status", {})
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions", ()))
    return ready and status.get("allocatable", {}).get(GPU) == str(GPUS_PER_NODE)


class Leftover(ClusterError):
    """Something of the cluster is left after teardown."""


def down(paths: ClusterPaths, tell: Tell) -> None:
    """Remove the cluster, or what is left of one, and look whether anything remains. Raises Left, naming it."""
    check_machine()
    check_owner(str(paths.root))
    before: World | None = json.loads(paths.before.read_text()) if paths.before.exists() else None
    there = bool(ours(paths))
    end_processes(paths)
    remove_network()
    remove_cgroups()
    if before:
        restore_settings(before)
    remove_folder(paths)
    if left := ours(paths):
        raise Leftover("left behind:\n" + "\n".join(left))
    tell("removed; no process, mount, link, cgroup or rule of it is left" if there else "there is no cluster")
    for line in difference(before, snapshot()) if before else ():
        tell(f"changed on this machine since `make cluster`, not by a name of the cluster's: {line}")


def remove_folder(paths: ClusterPaths) -> None:
    """Remove the files. A mount below would be somebody's data: then nothing is removed."""
    if [line for line in ours(paths) if line.startswith("mount ")]:
        return
    if paths.root.exists():
        shutil.rmtree(paths.root)
