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
from tests.kits.cluster.place import Place
from tests.kits.cluster.plan import GPUS_PER_NODE, NODES
from tests.kits.cluster.processes import end_processes, find, first_process
from tests.kits.cluster.programs import KUBERNETES, STANDIN, build
from tests.kits.cluster.world import World, difference, ours, restore_settings, snapshot

__all__ = ["Left", "down", "programs", "running", "up", "wait_nodes"]

MANIFESTS = Path(__file__).with_name("manifests")
READY_LIMIT_S = 90.0
NODES_LIMIT_S = 180.0
TOKEN_S = 24 * 3600
GPU = "nvidia.com/gpu"

Tell = Callable[[str], None]


def up(place: Place, tell: Tell) -> None:
    """Build what is missing and have a cluster with all nodes and GPUs ready. Raises ClusterError.

    After an error the logs stay for reading; the next `up` or `down` removes them.
    """
    check_machine()
    install_packages()
    check_owner(str(place.root))
    kubernetes, standin = build(KUBERNETES), build(STANDIN)
    if running(place):
        tell("a cluster is running")
    else:
        if ours(place):
            tell("removing what is left of a cluster that did not come up")
            down(place, tell)
        start(place, kubernetes, standin / "standin-device-plugin", tell)
    with api.client(place) as made:
        wait_nodes(made)
        write_kubeconfig(place, place.kubeconfig, api.renew_token(made, "offbus-admin", TOKEN_S))


def running(place: Place) -> bool:
    """Whether a whole cluster runs here: it came up once, and all of its programs and nodes are alive."""
    if not place.complete.exists() or any(not find(place, role) for role in ROLES):
        return False
    return all(first_process(place, f"node-{node.name}") for node in NODES)


def programs(place: Place) -> Path:
    """The folder of the programs that this cluster was started with. Raises ClusterError."""
    if not place.complete.exists():
        raise ClusterError(f"{place.root}: no cluster came up here; `make cluster` makes one")
    return Path(json.loads(place.complete.read_text())["programs"])


def start(place: Place, kubernetes: Path, device_plugin: Path, tell: Tell) -> None:
    """Start everything, from nothing."""
    began = time.monotonic()
    check_network()
    before = snapshot()
    place.make()
    place.before.write_text(json.dumps(before))
    make_credentials(place)
    make_images(place, device_plugin)
    for node in NODES:
        write_node_files(place, node)
    make_bridge(str(place.root))
    make_cgroups()
    start_control_plane(place, kubernetes)
    boot(place, kubernetes, NODES)
    with api.client(place) as made:
        api.wait_healthy(made, lambda: check_alive(place), READY_LIMIT_S)
        tell(f"API server ready after {time.monotonic() - began:.1f} s")
        for name in ("admin", "device-plugin"):
            api.apply(made, (MANIFESTS / f"{name}.yaml").read_text())
        wait_nodes(made)
    place.complete.write_text(json.dumps({"programs": str(kubernetes)}))
    tell(f"{len(NODES)} nodes with {GPUS_PER_NODE} GPUs each ready after {time.monotonic() - began:.1f} s")


def check_alive(place: Place) -> None:
    """Raise ClusterError, with the end of its log, when a program of the control plane has ended."""
    for role in ROLES:
        if not find(place, role):
            log = place.logs / f"{role}.log"
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


class Left(ClusterError):
    """Something of the cluster is left after teardown."""


def down(place: Place, tell: Tell) -> None:
    """Remove the cluster, or what is left of one, and look whether anything remains. Raises Left, naming it."""
    check_machine()
    check_owner(str(place.root))
    before: World | None = json.loads(place.before.read_text()) if place.before.exists() else None
    there = bool(ours(place))
    end_processes(place)
    remove_network()
    remove_cgroups()
    if before:
        restore_settings(before)
    remove_folder(place)
    if left := ours(place):
        raise Left("left behind:\n" + "\n".join(left))
    tell("removed; no process, mount, link, cgroup or rule of it is left" if there else "there is no cluster")
    for line in difference(before, snapshot()) if before else ():
        tell(f"changed on this machine since `make cluster`, not by a name of the cluster's: {line}")


def remove_folder(place: Place) -> None:
    """Remove the files. A mount below would be somebody's data: then nothing is removed."""
    if [line for line in ours(place) if line.startswith("mount ")]:
        return
    if place.root.exists():
        shutil.rmtree(place.root)
